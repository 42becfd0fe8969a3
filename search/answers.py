"""A study's answer in words and as JSON: the setting to use, how good it is, what it cost."""

from typing import Any

from objectives.results import Accuracy, Finalist, Study
from spaces import SearchError, Setting


def answer_of(study: Study) -> dict[str, Any]:
    """JSON-ready. The test fields are None until a run has re-evaluated its finalists.

    Raises SearchError where no trial is complete yet.
    """
    if study.finalists:
        found: Finalist = study.finalists[0]
        setting: Setting = found.setting
        validation, validation_interval = found.validation, found.validation_interval
        test: dict[str, Any] = {
            "test_accuracy": found.test,
            "test_interval": list(found.test_interval),
            "seeds": [final.seed for final in found.finals],
        }
    elif study.complete:
        best = study.complete[0]
        assert isinstance(best.validation, Accuracy)
        setting = best.setting
        validation, validation_interval = best.validation.value, best.validation.interval()
        test = {"test_accuracy": None, "test_interval": None, "seeds": []}
    else:
        raise SearchError(f"study {study.name} has no complete trial yet; `search run` makes some")
    return {
        "study": study.name,
        "dataset": study.dataset,
        "backbone": study.backbone,
        "setting": setting.to_dict(),
        "validation_accuracy": validation,
        "validation_interval": list(validation_interval),
        **test,
        "trials": study.finished,
        "passes": study.passes_made,
        "passes_saved": study.passes_needed - study.passes_made,
    }


def answer_lines(study: Study) -> list[str]:
    """The same for people."""
    answer = answer_of(study)
    low, high = (100 * bound for bound in answer["validation_interval"])
    lines = [
        f"study       {study.name}",
        f"setting     {Setting.from_dict(answer['setting'])}",
        f"validation  {100 * answer['validation_accuracy']:.1f} %  (95 % interval {low:.1f} to {high:.1f})",
    ]
    if answer["test_accuracy"] is not None:
        low, high = (100 * bound for bound in answer["test_interval"])
        seeds = f"mean of {len(answer['seeds'])} seeds"
        lines.append(
            f"test        {100 * answer['test_accuracy']:.1f} %  (95 % interval {low:.1f} to {high:.1f}; {seeds})"
        )
    else:
        lines.append("test        not read yet: the run has not come to its finalists")
    made, saved = answer["passes"], answer["passes_saved"]
    share = saved / (made + saved) if made + saved else 0.0
    lines.append(f"passes      {made:,} made, {saved:,} saved by the cache ({100 * share:.1f} % of the work)")
    return lines
