"""Plans a search without starting it, in a process of its own: it reads every image, and may load torch.

    python -m search.server.content.planning

The process reads a `PlanTask` from standard input, as one line of JSON, and writes the plan or its error.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

from objectives.results import StudyResults
from search.database.records import StudyRecord
from search.options.run_options import RunOptions
from search.queue.job_process import import_path
from search.queue.submission import job_options, job_record
from search.server.problems import ProblemError, problem_of
from spaces import SearchError

SECONDS = 600.0
"""Longest time for a plan: a dataset of a million images takes minutes to read."""

MOST_WAITING = 4
"""Plans that wait for their turn. Further ones are refused."""


@dataclass(frozen=True)
class SearchPlan:
    """The plan of a search: an upper bound on its passes and bytes, and its expected time.

    study: the one that it begins or continues. finished: its finished trials; None for a new study. settings: of the
    space, of which `trials` are tried. counts: images by "train", "validation" and "test"; with folds all training
    images validate. passes: forward passes, of which `cached` are in the cache. bytes: of the features that are not.
    seconds: from start to report, on a machine like this server, which has so many cores and GPUs, with so many
    workers. Passes, bytes and seconds are 0 where nothing is missing of the study. facts: the same for people, label →
    paragraphs.
    """

    study: str
    finished: int | None
    dataset: str
    images: int
    classes: int
    counts: Mapping[str, int]
    settings: int
    trials: int
    passes: int
    cached: int
    bytes: int
    seconds: float
    workers: int
    cores: int
    gpus: int
    facts: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class PlanTask:
    """A search to be planned. record: its options, as a job keeps them. storage: may hold a password."""

    record: Mapping[str, Any]
    home: str
    storage: str | None


@final
class Planner:
    """Makes plans, one at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def plan(self, options: RunOptions) -> SearchPlan:
        """Return what a search takes. Raises ProblemError, in the words of `search run`."""
        if self._waiting >= MOST_WAITING:
            raise ProblemError(503, "unavailable", "too many searches are being planned", {"Retry-After": "10"})
        self._waiting += 1
        try:
            async with self._turn:
                return await _planned(PlanTask(job_record(options, "run", {}), str(options.home), options.storage))
        finally:
            self._waiting -= 1


async def _planned(task: PlanTask) -> SearchPlan:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "search.server.content.planning"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **import_path(os.environ)},
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(json.dumps(asdict(task)).encode()), SECONDS)
    except TimeoutError:
        raise ProblemError(503, "unavailable", f"the search was not planned within {SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    if not output:
        raise ProblemError(503, "unavailable", "the process that plans died; try again")
    answer = json.loads(output.splitlines()[-1])
    if "problem" in answer:
        raise ProblemError(**answer["problem"])
    return SearchPlan(**answer["plan"])


def search_plan(options: RunOptions) -> SearchPlan:
    """Plan a search, and say what it takes. Nothing is written. Raises SearchError in words."""
    from dashboards.formatting import count, duration, image_counts
    from objectives.devices import available_cores, gpu_count
    from search.database.store import Store
    from search.estimate import RunEstimate
    from search.prepare import left_out_phrases, prepare
    from search.running.engine import are_complete, last_stages, why_no_trial
    from search.running.limits import RunLimits
    from search.workload import workload

    prepared = prepare(options)
    record, dataset, plan = prepared.record, prepared.probe.spec.dataset, prepared.plan
    folds = str(prepared.options.folds) if prepared.options.folds else None
    why, is_done = None, False
    with Store.open(options.database, reading=True) as store:
        name = store.name_of(record)
        study = store.read_study(name) if name in store.names() else None
        if study is not None:
            limits = RunLimits(prepared.options, time.monotonic(), study)
            why = why_no_trial(prepared.options, study, limits)
            is_done = why is not None and are_complete(*last_stages(prepared, store, name, limits))
            if why is not None and limits.why_no_trial() is None:
                why = f"{why}; a larger number of trials tries more"
    images = f"{len(dataset):,} images of {len(dataset.classes)} classes"
    work = workload(prepared, study or new_study(name, record), 0, 0)
    expected = 0.0 if is_done else RunEstimate(work, 0.0).seconds_left(0.0)
    finished = "" if study is None else f", which has {count(study.finished, 'finished trial')}"
    workers = count(prepared.resources.workers, "worker")
    tried = f"{options.trials:,} are tried" if why is None else f"none is tried now: {why}"
    facts = {
        "study": [f"{name}{finished or ', a new one'}"],
        "dataset": [f"{record.called or options.dataset}: {images} ({image_counts(prepared.counts, folds)})"],
        "left out": [*left_out_phrases(dataset)],
        "settings": [f"{len(prepared.probe.space):,}, of which {tried}"],
        "passes": ["none" if is_done else plan.words().removeprefix("plan: ")],
        "time": ["none" if is_done else f"about {duration(expected)} on a machine like this server, with {workers}"],
    }
    return SearchPlan(
        study=name,
        finished=None if study is None else study.finished,
        dataset=record.called or options.dataset,
        images=len(dataset),
        classes=len(dataset.classes),
        counts=prepared.counts,
        settings=len(prepared.probe.space),
        trials=options.trials,
        passes=0 if is_done else plan.passes,
        cached=0 if is_done else plan.cached,
        bytes=0 if is_done else plan.new_bytes,
        seconds=expected,
        workers=prepared.resources.workers,
        cores=available_cores(),
        gpus=gpu_count(),
        facts={label: paragraphs for label, paragraphs in facts.items() if paragraphs},
    )


def new_study(name: str, record: StudyRecord) -> StudyResults:
    """Return the results of a study without trials."""
    return StudyResults(
        name=name,
        dataset=record.dataset,
        backbone=record.backbone,
        architecture=record.space.architecture,
        preset=record.preset,
        space_size=len(record.space),
        classes=record.classes,
        counts=record.counts,
        provenance=record.protocol,
        wall_seconds=0.0,
        trials=(),
        finals=(),
    )


def main() -> None:
    """Make the plan of the task on standard input."""
    task = PlanTask(**json.loads(sys.stdin.readline()))
    answer: dict[str, Any]
    try:
        answer = {"plan": asdict(search_plan(job_options(task.record, task.home, task.storage).options))}
    except SearchError as error:
        answer = {"problem": vars(problem_of(error))}
    print(json.dumps(answer))  # noqa: T201  the answer to the process that asked


if __name__ == "__main__":
    main()
