"""Says which baselines a study lacks, and keeps them. What another study has made already is not made again."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dashboards.selection.answer import answer_finalist
from objectives.results import Baseline
from search.scheduling.requests import BaselineRequest
from spaces import Setting, Space
from spaces.dimensions import RECIPES

if TYPE_CHECKING:
    from search.database.records import StudyRecord
    from search.database.store import Store

HEAD = "linear"

RECIPE = 1
"""Version of how baselines are made. If you change it, raise the version; otherwise studies reuse the old ones."""

EARLY_SHARE = 0.25
"""The first share of a network's blocks. A space that begins later has no baseline of its first block."""

IRRELEVANT = ("objectives", "fold fits")
"""Parts of a study's protocol on which no baseline depends. Fold fits are those of the space's heads."""


def first_block(space: Space, answer: Setting) -> Setting | None:
    """Return the setting of the baseline "first block"; None where the space has no early block.

    It reads the first block of the space at the answer's least noisy timestep, with the answer's noise draws and the
    largest pool of the space. The forward passes of the answer have made these features.
    """
    block = min(space.blocks)
    pools = set(space.pools).intersection(space.architecture.block(block).pools)
    if block > max(1, EARLY_SHARE * len(space.architecture.blocks)) or not pools:
        return None
    return Setting(answer.timestep, block, max(pools), HEAD, answer.draws)


@dataclass(frozen=True)
class StudyBaselines:
    """The baselines of a study. They follow from its record and from the answer that was tested.

    together: whether the head fits all folds together.
    """

    store: "Store"
    study: str
    record: "StudyRecord"
    together: bool
    _requested: set[Setting | None] = field(default_factory=set, init=False, repr=False)

    def are_missing(self) -> bool:
        """Return whether an answer is tested, and neither its study nor another one has a baseline of it."""
        kept = [self.store.find_baseline(self._key(setting)) for setting in self._settings()]
        return bool(kept) and not any(kept)

    def take_over(self) -> None:
        """Save in the study the baselines that another study has made."""
        for setting in self._settings():
            self._is_kept(setting)

    def next_request(self, answer_is_tested: bool) -> BaselineRequest | None:
        """Return a baseline to be made, each once; None if there is none.

        answer_is_tested: whether all finals are done. Before that, only the pixels can be read.
        """
        for setting in self._settings() if answer_is_tested else [None]:
            if setting not in self._requested:
                self._requested.add(setting)
                if not self._is_kept(setting):
                    return BaselineRequest(setting)
        return None

    def keep(self, baseline: Baseline) -> None:
        """Save a baseline that was made."""
        self.store.record_baseline(self.study, self._key(baseline.setting), baseline)

    def _settings(self) -> list[Setting | None]:
        """Return the setting of each baseline, None for the pixels; nothing if no answer is tested."""
        answer = answer_finalist(self.store.read_study(self.study))
        if answer is None:
            return []
        setting = first_block(self.record.space, answer.setting)
        return [None] if setting is None else [None, setting]

    def _is_kept(self, setting: Setting | None) -> bool:
        """Return whether the study has a baseline, after taking over that of another study."""
        key = self._key(setting)
        baseline = self.store.find_baseline(key)
        if baseline is not None:
            self.store.record_baseline(self.study, key, baseline)
        return baseline is not None

    def _key(self, setting: Setting | None) -> str:
        """Return a digest of all that the numbers of a baseline depend on."""
        record = self.record
        parts = [
            RECIPE,
            RECIPES.get(HEAD, 1),
            record.dataset_fingerprint,
            record.space.architecture.image_side,
            sorted((name, value) for name, value in record.protocol.items() if name not in IRRELEVANT),
            self.together,
            *([record.weights_digest, setting.to_dict()] if setting else []),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
