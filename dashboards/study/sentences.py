"""One or two sentences about each table of a study: plain text, escaped by whoever prints it."""

from collections.abc import Sequence

from dashboards.formatting import (
    amount,
    count,
    duration,
    gmacs,
    other_trials,
    percent,
    signed,
    with_interval,
)
from dashboards.selection.answer import Selection
from dashboards.statistics import verdict
from dashboards.study.answer.answer import Answer
from dashboards.study.answer.scores import Confusions
from dashboards.study.answer.tradeoff import TradeOff
from dashboards.study.choices.contested import Contested, ContestedImage
from dashboards.study.published import Published
from dashboards.study.tables import (
    FINALS_PHASE,
    NOT_KEPT,
    FinalistRow,
    HistoryPoint,
    Leaderboard,
    Passes,
    Phase,
    TrialCounts,
)
from objectives.results import Metric, Picture, StudyResults
from spaces import Setting

PHASES = {
    "extract": "forward passes",
    "wait": "waiting for another worker's passes",
    "read": "reading the cache",
    "fit": "fitting heads",
    FINALS_PHASE: "re-evaluation on other splits",
}


STAGES = {
    "start": "start: checks, decoding and workers",
    "screening": "screening",
    "trials": "trials",
    "finals": "comparison on other splits, test, and baselines",
    "end": "end: pictures",
    NOT_KEPT: "runs that did not keep their stages",
}


def phase_text(name: str) -> str:
    return PHASES.get(name, name)


def finalists_sentence(rows: Sequence[FinalistRow]) -> str:
    """Say which finalists are as good as the first. rows: at least one."""
    best, *others = rows
    if not others:
        return f"One setting was re-evaluated, over {count(len(best.seeds), 'seed')}."
    tied = sum(row.tied for row in others)
    if not tied:
        told = "The best on validation is significantly better than every other."
    elif tied == len(others):
        which = {1: "The other setting is", 2: "Both other settings are"}.get(tied, f"All {tied} other settings are")
        told = f"{which} tied with the best, as far as {count(best.validation.images, 'validation image')} can tell."
    else:
        which = "is" if tied == 1 else "are"
        told = f"{tied} of the {len(others)} other settings {which} tied with the best, as far as "
        told += f"{count(best.validation.images, 'validation image')} can tell."
    return f"{told} The first is the answer. Test images had no influence on the choice."


def candidates_sentence(chosen: Selection) -> str:
    """Say how the candidates were compared, and where the answer stands. chosen: with at least two candidates."""
    rounds = count(chosen.rounds, "round")
    told = (
        f"{count(len(chosen.candidates), 'setting')} were compared in {rounds}. A round measures all of them on the "
        "same new split of the images. After each round, the settings that were significantly worse than the leader, "
        "the one with the best mean, were dropped."
    )
    if chosen.leader == chosen.answer.setting:
        return f"{told} The answer is the leader. No test image was read."
    return (
        f"{told} The answer is the cheapest, then the simplest, of those within a quarter of a standard error of the "
        "leader. No test image was read."
    )


def leaderboard_sentence(table: Leaderboard) -> str:
    if table.complete == 1:
        return "Only one trial is complete."
    if table.tied == 1:
        return f"The first of {table.complete:,} complete trials is significantly better than every other."
    others, tied = table.complete - 1, table.tied - 1
    return (
        f"{tied:,} of the {others:,} other complete trials {'differs' if tied == 1 else 'differ'} from the first by "
        "less than chance would."
    )


def history_sentence(points: Sequence[HistoryPoint]) -> str:
    last = points[-1]
    first_best = next(index for index, point in enumerate(points) if point.best == last.best)
    after = len(points) - 1 - first_best
    finished = points[first_best].finished
    time = "" if finished is None else f" after {duration(finished)}"
    found = f"Trial {points[first_best].trial} reached the best value, {amount(last.best, last.metric)}{time}"
    if not after:
        return f"{found}. It is the last complete trial."
    if after == 1:
        return f"{found}. The complete trial after it was not better."
    return f"{found}. None of the {after:,} complete trials after it was better."


def rank_sentence(study: StudyResults, answer: Answer | None) -> str:
    """Say where the trial of the answer stands among the trials; empty where it is the first, or there is none."""
    ranks = [rank for rank, trial in enumerate(study.complete, 1) if answer and trial.number == answer.trial]
    if not ranks or ranks[0] == 1:
        return ""
    return f"The trial of the answer is number {ranks[0]:,}: the answer was chosen on other splits too."


def trade_off_sentence(table: TradeOff, answer: Setting | None = None) -> str:
    """Say what the best trial costs, and what the study's answer, or else a cheaper setting, reaches beside it."""
    best, tied, first = table.best, table.tied, table.pareto_front[0]
    points = (*table.pareto_front, *table.others)
    point = next((point for point in points if point.setting == answer), best)
    if point.setting != best.setting:
        return (
            f"The answer, {point.setting}, costs {gmacs(point.gmacs)} GMAC an image. Its trial reaches "
            f"{with_interval(point.validation)}. The best single trial, {best.setting}, reaches "
            f"{with_interval(best.validation)} for {gmacs(best.gmacs)} GMAC; "
            f"{verdict(best.validation.difference(point.validation))}."
        )
    reached = with_interval(best.validation)
    told = f"The best trial, {best.setting}, reaches {reached} for {gmacs(best.gmacs)} GMAC an image"
    if tied is not best:
        return (
            f"{told}. The setting {tied.setting} takes {percent(tied.gmacs / best.gmacs)} of that and reaches "
            f"{with_interval(tied.validation)}; {verdict(best.validation.difference(tied.validation))}."
        )
    if first is best:
        return f"{told}; no cheaper setting was tried."
    return f"{told}; every cheaper setting is significantly worse."


def metrics_sentence(metric: Metric) -> str:
    return (
        f"The setting was chosen by its validation {metric.label}. Lower is better for the negative "
        "log-likelihood and the calibration error; higher is better for the other metrics."
    )


def confusions_sentence(table: Confusions) -> str:
    first, *others = table.rows
    where = f"on the validation images of {count(table.seeds, 'seed')}. Test images are not used here."
    mistakes = count(table.wrong, "mistake")
    if others and others[0].images == first.images:
        return f"No pair of classes is the most frequent of the {mistakes} {where}"
    share = percent(first.images / table.wrong)
    return f"‘{first.true}’ predicted as ‘{first.predicted}’ is the most frequent: {share} of the {mistakes} {where}"


def time_sentence(phases: Sequence[Phase]) -> str:
    longest = phases[0]
    total = sum(row.seconds for row in phases)
    return (
        f"{duration(total)} of work in trials and re-evaluations, summed over the workers: "
        f"{percent(longest.share)} of it was {phase_text(longest.name)}."
    )


def passes_sentence(table: Passes) -> str:
    """Say how many forward passes were made and for what, and how many a script without screening and cache makes."""
    if not table.needed and not table.made:
        return "No forward pass was needed."
    parts = [
        f"{number:,} of them {purpose}"
        for number, purpose in ((table.screening, "to screen"), (table.unfinished, "in trials that did not finish"))
        if number
    ]
    told = f"{table.made:,} forward passes were made{''.join(f', {part}' for part in parts)}."
    plain = f"A plain script that makes its own passes for each trial would have made {table.needed:,}"
    saved = f": {percent(table.saved / table.needed)} were saved" if table.saved > 0 else ""
    return f"{told} {plain}{saved}."


def stages_sentence(stages: Sequence[Phase], wall_seconds: float) -> str:
    """Say what took most of the running time. stages: at least one. wall_seconds: of the study."""
    longest, total = max(stages, key=lambda stage: stage.seconds), sum(stage.seconds for stage in stages)
    together = total > 1.05 * wall_seconds  # several runs worked at the same time
    rest = "Runs at the same time each count." if together else "The stages add up to the running time of the study."
    return f"The longest stage, {STAGES[longest.name]}, took {duration(longest.seconds)} of {duration(total)}. {rest}"


def selection_text(folds: str | None) -> str:
    """Return the words for the images on which settings are compared. folds: None if there is one validation split."""
    return "on the validation split" if folds is None else f"by cross-validation in {folds} folds"


def trial_counts_text(counts: TrialCounts) -> str:
    """ "40 trials: 37 complete, 1 pruned, 2 failed". Only states that occur are named."""
    states = (
        (counts.complete, "complete"),
        (counts.pruned, "pruned"),
        (counts.failed, "failed"),
        (counts.interrupted, "interrupted (and tried again)"),
        (counts.running, "running"),
    )
    words = [f"{number:,} {state}" for number, state in states if number]
    return f"{count(counts.total, 'trial')}: {', '.join(words)}" if words else "no trial yet"


def other_trials_sentence(counts: TrialCounts) -> str:
    """ "2 other trials left out: no run measured them.", or nothing where there are none."""
    words = other_trials(counts.waiting, counts.others)
    return f"{'; '.join(words)}." if words else ""


def contested_sentences(table: Contested) -> str:
    """Say how many images every good setting gets right, and how many no setting does."""
    always, never = percent(table.always / table.images), percent(table.never / table.images)
    return (
        f"Of {count(table.images, 'validation image')}, {always} are right in each of the best "
        f"{count(table.settings, 'trial')}, and {never} are right in no trial. Below are the images on which the best "
        f"{table.settings:,} and the worst {table.settings:,} trials differ most."
    )


def contested_caption(picture: Picture, image: ContestedImage, study: StudyResults, settings: int) -> str:
    """The caption of a picture: "cat: right in 8 of the 8 best trials, 2 of the 8 worst". settings: of a quarter."""
    label, good, bad = study.classes[picture.label], round(image.good * settings), round(image.bad * settings)
    return f"{label}: right in {good:,} of the {settings:,} best trials, {bad:,} of the {settings:,} worst"


def published_sentences(table: Published) -> tuple[str, ...]:
    """Compare the study with the published results: the accuracy of a head, and the rank correlation over settings."""
    told = []
    head = next((head for head in table.heads if head.ours and head.tested), None)
    if head is not None and head.ours is not None:
        told.append(
            f"{head.head.capitalize()} heads were published with {percent(head.accuracy)} ({head.source}); ours reach "
            f"{with_interval(head.ours)} on test images."
        )
    both = sum(cell.ours is not None for cell in table.cells)
    if (correlation := table.rank_correlation) is not None:
        told.append(
            f"{both} published settings were tried here too: their rank correlation with our accuracies is "
            f"{signed(correlation)}."
        )
    if not told:
        told.append("No published setting has been tried here yet.")
    told.append("Published settings were chosen on the test split, ours on validation images.")
    return tuple(told)
