"""Sentences about the answer of a study, the same on every page and in the terminal: plain text, escaped by whoever
prints it."""

from collections.abc import Sequence

from dashboards.formatting import amount, count, gap_text, percent, shortened, with_interval
from dashboards.study.answer.answer import Answer
from objectives.results import ACCURACY, ChoiceCoverage, StudyResults
from spaces import HEAD_OPTIONS

MARGIN = "within a quarter of a standard error of the best mean"
"""The settings among which an answer is the cheapest, then the simplest."""

VALUES_NAMED = 10
"""The most values of a choice that a sentence names."""

TELLING = 0.1
"""Test images that leave a gain of more than this share possible are too few to call the answer no better."""

NOUNS = {"timestep": "timestep", "block": "block", "pool": "pool size", "head": "head", "draws": "number of draws"}
NOUNS["taps"] = "number of taps"


def confidence_sentences(answer: Answer, complete: int) -> tuple[str, ...]:
    """Say how the answer was chosen, and how certain it is. complete: the number of complete trials."""
    told = (
        tied_sentence(answer, complete),
        beaten_sentence(answer),
        loss_sentence(answer),
        chance_sentence(answer),
        best_trial_sentence(answer),
    )
    return tuple(filter(None, told))


def tied_sentence(answer: Answer, complete: int) -> str:
    """Say what is as good as the answer, and by which rule it was chosen. complete: the number of complete trials."""
    if answer.rule == "trials":
        return _untested_text(answer, complete)
    others = (answer.candidates or answer.finalists) - 1
    if not others:
        return "It is the only setting that was re-evaluated on other seeds and tested."
    tied, images = len(answer.tied), count(answer.validation.images, "validation image")
    worse = others - tied
    if not tied:
        which = "the other setting" if others == 1 else f"each of the {others} other settings"
        told = f"It is significantly better than {which} compared with it on other splits of the images."
    else:
        told = f"{count(tied, 'other setting')} {_are(tied)} tied with it: {images} cannot tell them apart."
        if worse:
            told += f" {worse} more {_are(worse)} significantly worse."
        told += (
            f" The answer has the best mean, and no cheaper setting is {MARGIN.replace('the best mean', 'it')}."
            if answer.leads
            else f" Of the settings {MARGIN}, the answer is the cheapest, and the simplest of those that cost the same."
        )
    return told if answer.is_finalist else f"{told} It was not tested yet."


def _untested_text(answer: Answer, complete: int) -> str:
    if complete == 1:
        return "It is the only complete trial. No other split has tested it, so its test accuracy is unknown."
    metric = answer.validation.metric
    return (
        f"It is only the best of {complete:,} trials so far, each measured on the same validation images: the best of "
        f"many looks better than it is. Its test {metric.label} is unknown until the run compares the best settings on "
        "other splits."
    )


def best_trial_sentence(answer: Answer) -> str:
    """Say why the best single trial is not the answer; empty where it is."""
    best = answer.best_trial
    if best is None:
        return ""
    told = (
        f"Trial {best.number}, {best.setting}, has the best value on the validation images of the search, "
        f"{amount(best.validation.value, best.validation.metric)}."
    )
    if best.dropped:
        return f"{told} On the splits of other seeds it is significantly worse than the answer."
    if best.compared:
        better = "has the better mean there" if answer.leads else "is cheaper, or else simpler"
        return f"{told} On the splits of other seeds it is tied with the answer, which {better}."
    return f"{told} It was not compared on the splits of other seeds."


def loss_sentence(answer: Answer) -> str:
    """Say what the answer is expected to lose to the best of all settings tried; empty if it is not known."""
    loss, metric = answer.expected_loss, answer.validation.metric
    if loss is None:
        return ""
    return (
        f"It is expected to lose {gap_text(loss.value, metric)} of {metric.label} to the best setting tried "
        f"(95\N{NO-BREAK SPACE}% interval {metric.number(loss.low)} to {metric.number(loss.high)})."
    )


def chance_sentence(answer: Answer) -> str:
    """Warn of an answer that is no better than chance, or tied with a baseline; empty if neither is known to be so."""
    told, test, majority = [], answer.test_accuracy, answer.majority
    if answer.better_than_chance is False and test is not None and majority is not None:
        few = test.high > majority + TELLING
        told.append(
            f"{_too_few(test.images)} to tell it from chance"
            if few
            else "As far as the test images tell, it is no better than chance"
        )
        told[-1] += f": always naming the most frequent class is right on {percent(majority)} of them."
        validation = answer.validation
        if few and validation.metric == ACCURACY and validation.low > majority:
            told.append(f"On the validation images it lies above that: {with_interval(validation)}.")
    better, equal, unknown = _baselines_not_beaten(answer)
    if better:
        told.append(f"A linear head on {' or on '.join(better)} is significantly better on the test images.")
    if equal:
        told.append(f"A linear head on {' or on '.join(equal)} is as good, as far as the test images can tell.")
    if unknown:
        images = count(answer.baselines[0].test.images, "test image")
        told.append(
            f"It is not significantly better than a linear head on {' or on '.join(unknown)}: {images} cannot tell "
            "them apart."
        )
    return " ".join(told)


def _baselines_not_beaten(answer: Answer) -> tuple[list[str], list[str], list[str]]:
    """Return the words of the baselines that are better than the answer, as good, and of which neither is known."""
    better: list[str] = []
    equal: list[str] = []
    unknown: list[str] = []
    for baseline in answer.baselines:
        if baseline.difference is None or baseline.beaten:
            continue
        if baseline.difference.significant:
            better.append(baseline.words)
        else:
            (unknown if baseline.difference.high > TELLING else equal).append(baseline.words)
    return better, equal, unknown


def _too_few(images: int) -> str:
    return "1 test image is too few" if images == 1 else f"{images:,} test images are too few"


def beaten_sentence(answer: Answer) -> str:
    """Name the trivial classifiers that the answer beats on the test images; empty where it beats none."""
    beaten = ["chance"] if answer.better_than_chance else []
    beaten += [f"a linear head on {baseline.words}" for baseline in answer.baselines if baseline.beaten]
    if not beaten:
        return ""
    *first, last = beaten
    return f"On the test images it is significantly better than {', '.join(first)}{' and ' if first else ''}{last}."


def coverage_sentence(coverage: Sequence[ChoiceCoverage]) -> str:
    """Say how much of the space was tried; empty where the space is not known."""
    return f"Tried: {coverage_text(coverage)}." if coverage else ""


def coverage_text(coverage: Sequence[ChoiceCoverage]) -> str:
    """ "7 of 8 timesteps, all 19 blocks, all 3 pool sizes, only the linear head"."""
    return ", ".join(map(_covered_text, coverage))


def untried_sentence(coverage: Sequence[ChoiceCoverage], screened: int = 0) -> str:
    """Name what was not tried; empty where everything was. screened: how many settings a screening scored."""
    told = []
    for choice in coverage:
        if choice.untried:
            noun = NOUNS[choice.choice] + (
                "s" if len(choice.untried) > 1 and "number" not in NOUNS[choice.choice] else ""
            )
            told.append(f"{noun} {shortened(choice.untried, VALUES_NAMED)}{_screened_text(choice) if screened else ''}")
    return f"Not tried: {'; '.join(told)}." if told else ""


def _screened_text(choice: ChoiceCoverage) -> str:
    """Say which untried values the screening before the search saw."""
    if choice.choice == "head":
        return ""
    if not choice.unseen:
        return " (screened only)"
    screened = [value for value in choice.untried if value not in choice.unseen]
    return f" (screened only: {shortened(screened, VALUES_NAMED)})" if screened else " (not screened either)"


def outside_sentence(study: StudyResults) -> str:
    """Say which blocks of the network and which heads the space leaves out; empty where it has all, or is not known."""
    if study.space is None:
        return ""
    blocks = len(study.architecture.blocks) - len(study.space.blocks)
    heads = [head for head in HEAD_OPTIONS if head not in study.space.heads]
    told = [f"{blocks} of the {len(study.architecture.blocks)} blocks of the network"] if blocks else []
    told += [f"the head{'s' if len(heads) > 1 else ''} {', '.join(heads)}"] if heads else []
    return f"The space leaves out {' and '.join(told)}." if told else ""


def screening_sentence(study: StudyResults) -> str:
    """Say what the screening before the search saw; empty where there was none."""
    timesteps = next((choice for choice in study.coverage if choice.choice == "timestep"), None)
    if not study.screened:
        return ""
    images = f" of all {count(study.fitted_images, 'image')}" if _screened_all_images(study) else ""
    at = f" at {count(len(timesteps.screened), 'timestep')}" if timesteps and timesteps.screened else ""
    return f"A screening{images} scored {count(len(study.screened), 'setting')}{at} before the first trial."


def _screened_all_images(study: StudyResults) -> bool:
    """Whether the screening is known to have seen all images that train or validate.

    It is known from the passes that the screening made: one for each image and timestep. Passes that were in the cache
    before are not counted, and a study with flips or several noise draws makes more; then it is not known.
    """
    if "flips" in study.provenance or any(setting.draws > 1 for setting in study.screened):
        return False
    timesteps = {tap.timestep for setting in study.screened for tap in setting.taps}
    return study.screening_passes == study.fitted_images * len(timesteps)


def _covered_text(choice: ChoiceCoverage) -> str:
    """ "all 19 blocks", "7 of 8 timesteps", or "only the linear head"."""
    noun, values, tried = NOUNS[choice.choice], len(choice.values), len(choice.tried)
    if values == 1:
        value = choice.values[0]
        return f"only the {value} head" if choice.choice == "head" else f"only {noun} {value}"
    return f"all {values} {_plural(noun)}" if tried == values else f"{tried} of {values} {_plural(noun)}"


def _plural(noun: str) -> str:
    return noun.replace("number", "numbers") if noun.startswith("number") else f"{noun}s"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
