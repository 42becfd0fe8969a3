"""Reads studies for requests. What was read is kept until the study changes, since a large study takes seconds."""

import gc
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, cast

from objectives.results import StudyResults
from search.database.connection.outages import OutageError
from search.database.records import RunSummary, StudySummary
from search.database.store import Store
from search.server.problems import not_found
from spaces import StorageError
from spaces.errors import did_you_mean, shown

T = TypeVar("T")

MOST_NAMED = 5
"""Studies of a dataset that an error names."""

FRESH_SECONDS = 1.0
"""How long something is answered without asking the database whether it has changed."""

MOST_KEPT = 256
"""Results that are kept at once, of all studies together."""


class Reading(NamedTuple):
    """A value from the database. version: of the database when it was read."""

    value: Any
    version: Hashable


NOTHING = Reading(None, None)


@dataclass
class Entry:
    """A reading that is kept. checked: the moment at which its version was compared last."""

    reading: Reading = NOTHING
    checked: float = -1e9
    lock: threading.Lock = field(default_factory=threading.Lock)


class StudyReader:
    """Reads studies. Threads may share it; of several that want the same, one reads and the others wait."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self._lock = threading.Lock()

    def summaries(self) -> list[StudySummary]:
        """Return all studies, the one that ran last first."""
        return cast(list[StudySummary], self._kept(("summaries",), self.store.version, self.store.studies).value)

    def of_dataset(self, dataset: str) -> list[StudySummary]:
        """Return the studies of a dataset, first the one to answer with; none where there is none."""
        if "\0" in dataset:
            return []
        try:
            return self.store.find_studies(dataset=dataset)
        except OutageError:
            raise
        except StorageError:
            return []

    def results(self, name: str) -> StudyResults:
        """Return all that is known of a study. Raises ProblemError where there is none of this name."""
        return cast(StudyResults, self._results(name).value)

    def runs(self, name: str) -> tuple[RunSummary, ...]:
        """Return the runs of a study in the order in which they began."""
        self.check(name)
        return self.store.read_runs(name)

    def derived(self, name: str, kind: str, make: Callable[[StudyResults], T]) -> T:
        """Return something that is made from the results of a study. kind: names what is made."""
        results = self._results(name)  # its version, and not that of the database, which may be newer
        return cast(T, self._kept((name, kind), lambda: results.version, lambda: make(results.value)).value)

    def _results(self, name: str) -> Reading:
        self.check(name)
        return self._kept((name, "results"), lambda: self.store.version(name), lambda: self.store.read_study(name))

    def check(self, name: str) -> None:
        """Raise ProblemError, status 404, where there is no study of this name."""
        names = self._kept(("names",), lambda: time.monotonic() // FRESH_SECONDS, self.store.names).value
        if name not in names:
            raise not_found(f"there is no study {shown(name)}; {self._instead(name, names)}")

    def _instead(self, name: str, names: Collection[str]) -> str:
        """Return what would do in place of a name that no study has: often it is that of a dataset."""
        rule = "this address takes the name of a study"
        of_dataset = [summary.name for summary in self.of_dataset(name)]
        if not of_dataset:
            return f"{rule}; {did_you_mean(name, names)}`search status` lists them"
        more = f" and {len(of_dataset) - MOST_NAMED} more" if len(of_dataset) > MOST_NAMED else ""
        return f"{rule}, not of a dataset; studies of {shown(name)}: {', '.join(of_dataset[:MOST_NAMED])}{more}"

    def forget(self) -> None:
        """Forget everything that was read, as after a study was renamed or deleted."""
        with self._lock:
            self._entries.clear()

    def _kept(self, key: Hashable, version: Callable[[], Hashable], read: Callable[[], Any]) -> Reading:
        with self._lock:
            entry = self._entries.setdefault(key, Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > MOST_KEPT:
                self._entries.popitem(last=False)
        if time.monotonic() - entry.checked < FRESH_SECONDS:
            return entry.reading
        with entry.lock:
            if time.monotonic() - entry.checked < FRESH_SECONDS:
                return entry.reading
            now = version()
            if entry.reading.version != now or entry.checked < 0:
                entry.reading = Reading(read(), now)
                gc.collect(1)
                gc.freeze()  # else a collection looks at the trials of all studies, and everybody waits for a second
            entry.checked = time.monotonic()
            return entry.reading
