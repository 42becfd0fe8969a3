"""A client of the HTTP server, with the methods of the Python interface: submit, follow, control and read.

client = search.Client("https://gpu7.example.org", token)
job = client.submit("digits", trials=40)
for event in client.events(job["id"]):
    print(event)
client.best(client.job(job["id"])["study"])
"""

import os
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final
from urllib.parse import quote

import httpx2

from objectives.atomic_write import replacing
from spaces import SearchError, UsageError
from spaces.errors import shown

VARIABLE = "SEARCH_TOKEN"
"""The environment variable that may hold the token."""

SECONDS = 600.0
"""Longest wait for an answer: the first image that a server classifies loads the network."""

RETRY_SECONDS = 2.0

Json = dict[str, Any]


class UnavailableError(SearchError):
    """The server is busy, or its database does not answer. Later it may do what it was asked for."""


@final
class Client:
    """The jobs, studies and classifiers of a server. Answers are plain values, as the HTTP API returns them.

    Every method raises SearchError in words: UsageError where the request cannot be carried out as it is.
    """

    def __init__(self, url: str, token: str | None = None, *, verify: bool | ssl.SSLContext = True) -> None:
        """url: of the server, such as https://gpu7.example.org:8080. token: None for that in SEARCH_TOKEN, if any.

        verify: whether the certificate of the server is checked, or a context that knows its authority.
        """
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise UsageError(f"`server` must be a URL such as http://127.0.0.1:8080, got {shown(url)}")
        secret = token if token is not None else os.environ.get(VARIABLE)
        if secret is not None and not (secret.isascii() and secret.isprintable() and secret.strip()):
            raise UsageError("the token must be printable ASCII text; `search token create` makes one")
        headers = {} if secret is None else {"Authorization": f"Bearer {secret.strip()}"}
        self._url = url.rstrip("/")
        try:
            check = verify if url.startswith("https://") else False  # without a certificate nothing need be loaded
            self._http = httpx2.Client(base_url=self._url, headers=headers, timeout=SECONDS, verify=check)
        except httpx2.InvalidURL as error:
            raise UsageError(
                f"`server` must be a URL such as http://127.0.0.1:8080, got {shown(url)}: {error}"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # Jobs

    def plan(self, dataset: str, **options: Any) -> Json:
        """Say what a search would take: its study, settings, passes, bytes and seconds; nothing is queued.

        options: as of `submit`. Raises UnavailableError where the server plans too many searches already.
        """
        return self._object("POST", "jobs/plan", json={"kind": "run", "options": {"dataset": dataset, **options}})

    def submit(self, dataset: str, *, priority: int = 0, **options: Any) -> Json:
        """Put a search into the queue, and return the job. options: as of `search.run`, see GET /docs of the server."""
        return self._object(
            "POST", "jobs", json={"kind": "run", "priority": priority, "options": {"dataset": dataset, **options}}
        )

    def recommend(
        self,
        dataset: str,
        *,
        passes: int | None = None,
        budget: float | None = None,
        memory: bool = True,
        priority: int = 0,
        **options: Any,
    ) -> Json:
        """Put a recommendation into the queue, and return the job, whose `result` is the recommendation at the end.

        dataset, passes, budget, memory, options: as of `search.recommend`.
        """
        limits = {"passes": passes, "budget": budget, "memory": memory}
        content = {"kind": "recommend", "priority": priority, "limits": limits}
        return self._object("POST", "jobs", json={**content, "options": {"dataset": dataset, **options}})

    def jobs(
        self, states: Sequence[str] | None = None, owner: str | None = None, limit: int | None = None
    ) -> list[Json]:
        """List jobs: those that run, those that wait in their order, paused ones, ended ones.

        states, owner: only such jobs. limit: at most so many of them, None for 100.
        """
        chosen = {"state": states, "owner": owner, "limit": limit}
        return self._list("GET", "jobs", params={name: value for name, value in chosen.items() if value is not None})

    def job(self, job: int) -> Json:
        """Return a job and how far it is."""
        return self._object("GET", f"jobs/{int(job)}")

    def log(self, job: int, after: int = 0) -> tuple[str, int]:
        """Return what the process of a job printed after a character, and the number of characters that it printed."""
        part = self._object("GET", f"jobs/{int(job)}/log", params={"after": after})
        return part["text"], part["offset"]

    def logs(self, job: int, follow: bool = False) -> Iterator[str]:
        """Yield what the process of a job printed, in parts. follow: until the job has ended or is paused."""
        offset = 0
        while True:
            waits = self.job(job)["state"] in ("queued", "running")
            text, offset = self.log(job, offset)
            if text:
                yield text
            if not (follow and waits):
                return
            time.sleep(1)

    def events(self, job: int) -> Iterator[tuple[str, Json]]:
        """Yield (kind, value) of each event of a job until it has ended: "state", "progress" or "log".

        A connection that is lost is made again, and no event is missed.
        """
        last: str | None = None
        while True:
            headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last})
            try:
                with self._http.stream("GET", f"/api/v1/jobs/{int(job)}/events", headers=headers) as answer:
                    if answer.status_code == 204:
                        return
                    if answer.status_code != 200:
                        answer.read()
                        raise self._error(answer)
                    for event in httpx2.EventSource(answer):
                        last = event.id or last
                        if event.data:
                            value: Any = event.json()
                            yield event.event, value
            except httpx2.HTTPError:
                if last is None:
                    raise self._no_answer() from None
            time.sleep(RETRY_SECONDS)

    def wait(self, job: int) -> Json:
        """Wait until a job has ended, and return it. Raises SearchError where it has failed."""
        for _ in self.events(job):
            pass
        ended = self.job(job)
        if ended["state"] == "failed":
            raise SearchError(f"job {job} failed: {ended['error']}")
        return ended

    def cancel(self, job: int) -> Json:
        """Cancel a job, and return it. A running one ends within seconds; what it finished is kept."""
        return self._object("POST", f"jobs/{int(job)}/cancel")

    def pause(self, job: int) -> Json:
        """Pause a job until it is resumed, and return it."""
        return self._object("POST", f"jobs/{int(job)}/pause")

    def resume(self, job: int) -> Json:
        """Queue a job again that is paused, failed or cancelled, and return it."""
        return self._object("POST", f"jobs/{int(job)}/resume")

    def set_priority(self, job: int, priority: int) -> Json:
        """Change the priority of a job, and return it."""
        return self._object("PUT", f"jobs/{int(job)}/priority", json={"priority": priority})

    # Studies

    def studies(self, dataset: str | None = None) -> list[Json]:
        """List the studies, the one that ran last first. dataset: its studies alone, first the one to answer with."""
        return self._list("GET", "studies", params={} if dataset is None else {"dataset": dataset})

    def study(self, study: str) -> Json:
        """Show one study: its trials, its answer and its runs, as `search status --json` does."""
        return self._object("GET", f"studies/{_part(study)}")

    def best(self, study: str) -> Json:
        """Return the best setting of a study, its scores and its cost, as `search best --json` does."""
        return self._object("GET", f"studies/{_part(study)}/best")

    def lines(self, study: str) -> dict[str, list[str]]:
        """Return the lines for people that `search status` and `search best` print: "status" and "best"."""
        return self._object("GET", f"studies/{_part(study)}/lines")

    def trials(self, study: str) -> Iterator[Json]:
        """Yield all trials of a study, in order of their numbers."""
        offset, total = 0, 1
        while offset < total:
            page = self._object("GET", f"studies/{_part(study)}/trials", params={"offset": offset, "limit": 1000})
            yield from page["trials"]
            offset, total = offset + len(page["trials"]), page["total"] if page["trials"] else 0

    def report(self, study: str, path: str | Path | None = None, form: str = "html") -> bytes | Path:
        """Return the report of a study; where a path is given, write it there and return the path.

        form: "html", "md", "latex", "json" or "csv".
        """
        return self._file(f"studies/{_part(study)}/report", path, {"format": form})

    def download_trials(self, study: str, path: str | Path, form: str = "parquet") -> Path:
        """Write all trials of a study into a file. form: "parquet" or "csv"."""
        written = self._file(f"studies/{_part(study)}/trials.{_part(form)}", path)
        assert isinstance(written, Path)
        return written

    def try_settings(self, study: str, settings: Sequence[Mapping[str, Any]], finals: bool = False) -> Json:
        """Let settings be tried in a study. The answer says in `tried` how they did, and has the `job` that tries them.

        There is no job where all are measured, and where a run works on the study, which tries them before its others.
        settings: such as `{"block": 19, "timestep": 90, "pool": 4, "head": "linear"}`; a value may be text. finals:
        whether the candidates are then compared and the answer is tested.
        """
        content = {"settings": [dict(setting) for setting in settings], "finals": finals}
        return self._object("POST", f"studies/{_part(study)}/settings", json=content)

    def export(self, study: str, *, data_root: str | None = None, backbone: str | None = None) -> Json:
        """Put the export of a study's answer into the queue, and return the job.

        At its end its `result` has the name of the `classifier`. data_root, backbone: where the images and the network
        of the study lie now, if they have moved: NAME/sub/folder below a root of the server.
        """
        places = {"data_root": data_root, "backbone": backbone}
        return self._object("POST", f"studies/{_part(study)}/export", json=places)

    def stop(self, study: str, now: bool = False) -> Json:
        """Ask the runs of a study to end. now: at once, and without a test of the answer."""
        return self._object("POST", f"studies/{_part(study)}/stop", params={"now": now})

    def pause_study(self, study: str) -> Json:
        """Ask the runs of a study to begin nothing until they are resumed."""
        return self._object("POST", f"studies/{_part(study)}/pause")

    def resume_study(self, study: str) -> Json:
        """Let the paused runs of a study go on."""
        return self._object("POST", f"studies/{_part(study)}/resume")

    def rename(self, study: str, new: str) -> Json:
        """Rename a study, with its report and its classifiers."""
        return self._object("PUT", f"studies/{_part(study)}/name", json={"name": new})

    def delete(self, study: str) -> Json:
        """Delete a study: its trials, its results and the pages of its report."""
        return self._object("DELETE", f"studies/{_part(study)}")

    # Classifiers, and what jobs can name

    def classifiers(self) -> list[Json]:
        """List the classifiers that were exported, the newest first."""
        return self._list("GET", "classifiers")

    def download_classifier(self, classifier: str, path: str | Path) -> Path:
        """Write the file of a classifier, which `search.Classifier.load` reads."""
        written = self._file(f"classifiers/{_part(classifier)}/file", path)
        assert isinstance(written, Path)
        return written

    def classify(self, classifier: str, images: Sequence[str | Path], top: int = 1) -> list[Json]:
        """Classify images with a classifier of the server.

        Returns for each image its most probable classes, or the error why it has none.
        """
        files = []
        for image in images:
            try:
                files.append(("images", (Path(image).name, Path(image).read_bytes())))
            except OSError as error:
                raise SearchError(f"{image} cannot be read: {error.strerror}") from None
        return self._list("POST", f"classifiers/{_part(classifier)}/classify", files=files, params={"top": top})

    def datasets(self) -> list[Json]:
        """List the datasets that a job can name."""
        return self._list("GET", "datasets")

    def backbones(self) -> list[Json]:
        """List the networks that a job can name."""
        return self._list("GET", "backbones")

    def data_roots(self) -> list[Json]:
        """List the folders of the server below which the images and networks of jobs may lie."""
        return self._list("GET", "data-roots")

    def workers(self) -> list[Json]:
        """List the workers that are alive."""
        return self._list("GET", "workers")

    def caller(self) -> Json:
        """Say whose token this is, and its role."""
        return self._object("GET", "caller")

    # Requests

    def _object(self, method: str, path: str, **options: Any) -> Json:
        value: Json = self._json(method, path, **options)
        return value

    def _list(self, method: str, path: str, **options: Any) -> list[Json]:
        value: list[Json] = self._json(method, path, **options)
        return value

    def _json(self, method: str, path: str, **options: Any) -> Any:
        with self._answering(method, path, **options) as answer:
            answer.read()
            try:
                return answer.json()
            except ValueError:
                raise self._no_answer() from None

    def _file(self, path: str, target: str | Path | None, params: Json | None = None) -> bytes | Path:
        with self._answering("GET", path, params=params) as answer:
            if target is None:
                content: bytes = answer.read()
                return content
            try:
                with replacing(Path(target)) as part, part.open("wb") as file:
                    for chunk in answer.iter_bytes():
                        file.write(chunk)
            except OSError as error:
                raise SearchError(f"{target} cannot be written: {error.strerror}") from None
        return Path(target)

    @contextmanager
    def _answering(self, method: str, path: str, **options: Any) -> Iterator[httpx2.Response]:
        """Yield the answer to a request. Raises SearchError in words where it is none that was asked for."""
        try:
            with self._http.stream(method, f"/api/v1/{path}", **options) as answer:
                if not answer.is_success:
                    answer.read()
                    raise self._error(answer)
                yield answer
        except (httpx2.HTTPError, httpx2.InvalidURL):
            raise self._no_answer() from None

    def _error(self, answer: httpx2.Response) -> SearchError:
        try:
            problem: Any = answer.json()
            kind, detail = problem["type"], str(problem["detail"])
        except (ValueError, KeyError, TypeError):
            return self._no_answer()
        if answer.status_code == 401:
            return SearchError(
                f"{self._url} needs a token that it knows; give it in the environment variable {VARIABLE}"
            )
        if kind == "unavailable":
            return UnavailableError(detail)
        return (
            UsageError(detail)
            if kind in ("usage", "unknown-name", "unreadable", "content-type")
            else SearchError(detail)
        )

    def _no_answer(self) -> SearchError:
        return SearchError(
            f"{self._url} does not answer as `search serve` does; is it running, and is `server` its address?"
        )


def _part(name: str) -> str:
    """Return a name as a part of a path."""
    return quote(str(name), safe="", errors="replace")
