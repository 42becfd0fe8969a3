"""Reads studies from the database as plain results: joins Optuna's trials with the project's own rows."""

import zlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import cast

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select
from sqlalchemy.orm import Session

from objectives.datasets.catalog import called
from objectives.features.versions import FIRST, key_of
from objectives.results import (
    ACCURACY,
    BASELINE_KINDS,
    METRICS,
    Accuracy,
    Baseline,
    BaselineKind,
    Confusion,
    CorrectMask,
    Final,
    ImageScores,
    Picture,
    Reevaluation,
    StudyResults,
    Trial,
)
from objectives.results import TrialState as State
from search.database.models import BaselineRow, FinalRow, ReevaluationRow, ScreeningRow, StudyRow, TrialRow
from search.database.optuna_storage.own_trials import INTERRUPTED, LOST, LOST_REASON, RUN, STOPPED, StudyTrials
from search.database.optuna_storage.parameters import to_setting
from search.database.records import (
    RunCosts,
    RunSummary,
    SavedOptions,
    StudyRequest,
    StudyScores,
    StudySummary,
    architecture_from_dict,
    scores_from_dict,
)
from search.database.runs.leases import running_seconds
from search.options.run_options import rounds_of
from spaces import Setting, Space, Tap

STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def study_results(session: Session, row: StudyRow, trials: StudyTrials, alive: Collection[int]) -> StudyResults:
    """Return all that the database knows of a study. trials: of the Optuna study. alive: the ids of its live runs."""
    architecture = architecture_from_dict(row.architecture)
    space = Space.from_dict(architecture, row.space)
    rows = {trial.number: trial for trial in row.trials}
    costs = [RunCosts(**run.costs) for run in row.runs if run.costs is not None]
    kept = {baseline.kind: baseline for baseline in map(baseline_of, row.baselines)}
    return StudyResults(
        name=row.name,
        dataset=row.dataset,
        backbone=row.backbone,
        architecture=architecture,
        preset=row.preset,
        space_size=row.space_size,
        classes=tuple(row.classes),
        counts=row.counts,
        provenance=_provenance(row),
        trials=tuple(_trial(trial, rows.get(trial.number), alive) for trial in trials.own),
        finals=tuple(_final(final) for final in row.finals),
        wall_seconds=running_seconds(row.runs),
        pictures=tuple(
            Picture(picture.image, picture.position, picture.label, picture.name, picture.jpeg)
            for picture in row.pictures
        ),
        waiting=len(trials.enqueued),
        others=len(trials.others),
        reevaluations=tuple(_reevaluation(reevaluation) for reevaluation in row.reevaluations),
        rounds=_rounds(row),
        majority=row.majority,
        space=space,
        screened=_screened(session, row, space),
        screening_passes=sum(run.screening_passes for run in costs),
        unfinished_passes=sum(run.unfinished_passes for run in costs),
        stages=_stages(costs),
        baselines=tuple(kept[kind] for kind in BASELINE_KINDS if kind in kept),
        called=called_of(row),
    )


def study_scores(row: StudyRow, trials: StudyTrials) -> StudyScores:
    """Return the settings of the complete trials with their scores."""
    return StudyScores(
        name=row.name,
        dataset=row.dataset,
        backbone=row.backbone,
        architecture=architecture_from_dict(row.architecture),
        classes=len(row.classes),
        images=row.counts["train"],
        scores=tuple(
            (to_setting(trial.params), trial.values[0]) for trial in trials.own if trial.state == TrialState.COMPLETE
        ),
        dataset_fingerprint=row.dataset_fingerprint,
        weights_digest=row.weights_digest,
        data_root=(saved_options(row).options or {}).get("data_root"),
    )


def saved_options(row: StudyRow) -> SavedOptions:
    """Return the space of a study and the options of its last run that kept them."""
    kept = (run.options for run in reversed(row.runs) if run.options is not None)
    return SavedOptions(Space.from_dict(architecture_from_dict(row.architecture), row.space), next(kept, None))


def called_of(row: StudyRow) -> str:
    """Return what a person calls the dataset of a study; see `objectives.datasets.catalog.called`."""
    options = saved_options(row).options or {}
    return called(row.dataset, options.get("data_root"))


def study_summary(row: StudyRow, trials: StudyTrials, alive: Collection[int]) -> StudySummary:
    """Return one line of a list of studies. trials, alive: as of `study_results`."""
    at_work = bool(alive)
    states = [_state(trial, alive) for trial in trials.own]
    return StudySummary(
        name=row.name,
        dataset=row.dataset,
        backbone=row.backbone,
        space_size=row.space_size,
        created=row.created,
        complete=states.count("complete"),
        pruned=states.count("pruned"),
        failed=states.count("failed"),
        running=states.count("running"),
        interrupted=states.count("interrupted"),
        waiting=len(trials.enqueued),
        others=len(trials.others),
        best=max((trial.values[0] for trial in trials.own if trial.state == TrialState.COMPLETE), default=None),
        metric=METRICS[row.protocol.get("metric", ACCURACY.name)],
        last_run=max((run.started for run in row.runs), default=None),
        at_work=at_work,
        dataset_fingerprint=row.dataset_fingerprint,
        weights_digest=row.weights_digest,
        seed=int(row.protocol.get("seed", 0)),
        tested=bool(row.finals),
        request=cast(StudyRequest | None, row.request) if at_work else None,
    )


def run_summaries(row: StudyRow, alive: Collection[int]) -> tuple[RunSummary, ...]:
    """Return the runs of a study in the order in which they began. alive: the ids of those that are alive."""
    ends: dict[int, list[float]] = defaultdict(list)
    for trial in sorted(row.trials, key=lambda trial: trial.finished):
        if trial.validation_correct is not None:
            ends[trial.run_id].append(trial.finished)
    return tuple(
        RunSummary(
            host=run.host,
            pid=run.pid,
            started=run.started,
            ended=run.ended,
            state=run.state,
            alive=run.id in alive,
            workers=run.workers,
            command=run.command,
            options=run.options,
            ends=tuple(ends[run.id]),
            reason=run.reason,
            request=cast(StudyRequest | None, row.request) if run.id in alive else None,
        )
        for run in row.runs
    )


def _stages(costs: Sequence[RunCosts]) -> dict[str, float]:
    """Return the seconds of each stage, of all runs together."""
    seconds: dict[str, float] = defaultdict(float)
    for run in costs:
        for stage, value in run.stages.items():
            seconds[stage] += value
    return dict(seconds)


def _screened(session: Session, row: StudyRow, space: Space) -> tuple[Setting, ...]:
    """Return the settings that a screening of the same images, network and seed scored; none without one.

    Only those whose features the space offers, since the screening may be of another study's space.
    """
    errors = session.scalar(
        select(ScreeningRow.errors).where(
            ScreeningRow.dataset_fingerprint == row.dataset_fingerprint,
            ScreeningRow.weights_digest == key_of(row.weights_digest),
            ScreeningRow.seed == int(row.protocol.get("seed", 0)),
        )
    )
    settings = (Setting.from_dict(setting) for setting, _ in errors or ())
    return tuple(setting for setting in settings if all(_is_offered(tap, setting.pool, space) for tap in setting.taps))


def _is_offered(tap: Tap, pool: int, space: Space) -> bool:
    return tap.timestep in space.timesteps and tap.block in space.blocks and pool in space.pools_at(tap.block)


def _provenance(row: StudyRow) -> dict[str, str]:
    provenance = {
        "dataset fingerprint": row.dataset_fingerprint,
        "weights digest": row.weights_digest,
        "space digest": row.space_digest,
        **FIRST,
        **row.protocol,
    }
    if row.runs:
        # Only a run of `search run` keeps its options. Before schema 0003 no run did.
        searches = [run for run in row.runs if run.options is not None] or row.runs
        provenance["command"] = searches[-1].command
        provenance["versions"] = ", ".join(f"{name} {version}" for name, version in row.runs[-1].versions.items())
        if row.runs[-1].reason is not None:
            provenance["ended"] = row.runs[-1].reason
    return provenance


def _state(trial: FrozenTrial, alive: Collection[int]) -> State:
    """Return the state of a trial. alive: the ids of the runs that work; the next run closes the trials of others."""
    is_lost = trial.state == TrialState.RUNNING and trial.user_attrs[RUN] not in alive
    is_interrupted = trial.state == TrialState.FAIL and trial.user_attrs.get(INTERRUPTED) in (STOPPED, LOST)
    return "interrupted" if is_lost or is_interrupted else STATES[trial.state]


def _trial(trial: FrozenTrial, row: TrialRow | None, alive: Collection[int]) -> Trial:
    setting, state, reason = to_setting(trial.params), _state(trial, alive), trial.user_attrs.get("reason")
    is_unfinished = trial.state == TrialState.RUNNING
    if is_unfinished and state == "interrupted":
        reason = LOST_REASON
    if reason is not None:
        reason = " ".join(str(reason).split())
    elif state == "failed":
        reason = "ended with Optuna, not by a run"
    curve = tuple(sorted(trial.intermediate_values.items()))
    if row is None or is_unfinished:
        return Trial(trial.number, state, setting, reason=reason, curve=curve)
    counted = (
        state not in ("failed", "interrupted")
        and row.validation_correct is not None
        and row.validation_total is not None
    )
    return Trial(
        trial.number,
        state,
        setting,
        validation=Accuracy(row.validation_correct or 0, row.validation_total or 0) if counted else None,
        reason=reason,
        finished=row.finished,
        seconds=row.seconds,
        passes_made=row.passes_made,
        passes_needed=row.passes_needed,
        details=row.details,
        curve=curve,
        scores=scores_from_dict(row.scores),
        correct_mask=_mask(row.answers, row.validation_total),
    )


def _final(row: FinalRow) -> Final:
    return Final(
        setting=row.setting,
        seed=row.seed,
        validation=Accuracy(row.validation_correct, row.validation_total),
        test=Accuracy(row.test_correct, row.test_total),
        seconds=row.seconds,
        passes_made=row.passes_made,
        passes_needed=row.passes_needed,
        validation_scores=scores_from_dict(row.validation_scores),
        test_scores=scores_from_dict(row.test_scores),
        confused=tuple(_confusion(*pair) for pair in row.confused or ()),
        test_correct_mask=_mask(row.test_answers, row.test_total),
    )


def _reevaluation(row: ReevaluationRow) -> Reevaluation:
    return Reevaluation(
        setting=row.setting,
        seed=row.seed,
        validation=Accuracy(row.validation_correct, row.validation_total),
        seconds=row.seconds,
        passes_made=row.passes_made,
        passes_needed=row.passes_needed,
        image_scores=ImageScores(zlib.decompress(row.images), zlib.decompress(row.image_scores)),
        validation_scores=scores_from_dict(row.scores),
    )


def baseline_of(row: BaselineRow) -> Baseline:
    """Return the baseline of a row."""
    return Baseline(
        kind=cast(BaselineKind, row.kind),
        setting=row.setting,
        side=row.side,
        features=row.features,
        seed=row.seed,
        validation=Accuracy(row.validation_correct, row.validation_total),
        test=Accuracy(row.test_correct, row.test_total),
        seconds=row.seconds,
        validation_scores=scores_from_dict(row.validation_scores),
        test_scores=scores_from_dict(row.test_scores),
        test_correct_mask=_mask(row.test_answers, row.test_total),
    )


def _rounds(row: StudyRow) -> int:
    """Return the most rounds of re-evaluation that the last run allowed; 0 if no run kept its options."""
    options = next((run.options for run in reversed(row.runs) if run.options is not None), None)
    return 0 if options is None else rounds_of(options.get("final_seeds"), options.get("folds"))


def _confusion(true: int, predicted: int, count: int, examples: Sequence[int] = ()) -> Confusion:
    return Confusion(true, predicted, count, tuple(examples))


def _mask(kept: bytes | None, total: int | None) -> CorrectMask | None:
    return None if kept is None or total is None else CorrectMask.from_bytes(total, kept)
