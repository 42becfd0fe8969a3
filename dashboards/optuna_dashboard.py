"""What Optuna Dashboard shows of a study: the trials it reads itself, our note and our figures beside them.

It is handed a study; it opens no storage.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Any, Self, final

from dashboards import formatting as sentences
from dashboards.server import report_link
from dashboards.study import figures, scores, tradeoff
from dashboards.study import tables as summaries
from objectives.results import StudyResults

# Whoever reads the dashboard may write too: what stands below this line is theirs and is kept.
OWN_NOTES = "*Notes below this line are yours and are kept; what is above is written anew as runs go.*"
FORMER_OWN_NOTES = "*Notes below this line are yours; what is above is written anew after each run.*"
NOTE_VERSION = "dashboard:note_ver"
"""The system attribute that counts a note's versions. Optuna Dashboard saves no edit of a former one."""

UNTOLD = frozenset({"command", "versions"})
"""Of a study's provenance: not of its protocol, but of its last run."""

DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")  # whose beginning tells it from others
CARD_HEIGHT = 450  # pixels of a card in Optuna Dashboard, which cuts a taller figure off
LINE_CHARACTERS = 84  # of a figure's sentence, in a card of half a window


@final
@dataclass(frozen=True)
class Shown:
    """What is shown of a study. figures: by an id that stays the same from run to run; made of plotly."""

    note: str
    figures: Mapping[str, Any]

    @classmethod
    def of(cls, study: StudyResults, report_path: Path | None, at_work: int = 0) -> Self:
        """report_path: where the report's file lies once a run has ended. at_work: how many runs work on the study.

        History has no figure of ours: Optuna Dashboard draws that itself.
        """
        drawn = {name: _card(*figure) for name, figure in _figures(study).items()}
        return cls(_note(study, report_path, at_work), drawn)

    def save(self, optuna_study: Any) -> None:
        """In place of what an earlier call saved in it. What people wrote below our note is kept."""
        from optuna_dashboard import get_note, save_note, save_plotly_graph_object

        *_, own = get_note(optuna_study).replace(FORMER_OWN_NOTES, OWN_NOTES).rpartition(OWN_NOTES)
        save_note(optuna_study, f"{self.note}\n\n{OWN_NOTES}\n\n{own.strip()}".strip() + "\n")
        for name, figure in self.figures.items():
            save_plotly_graph_object(optuna_study, figure, graph_object_id=name)


def _card(title: str, sentence: str, figure: Any) -> Any:
    """The figure as it fits a card, with the title and the sentence that says what to see in it."""
    lines = [escape(line, quote=False) for line in wrap(sentence, LINE_CHARACTERS)]
    small = [f"<span style='font-size:12px'>{line}</span>" for line in lines]
    top = 52 + 17 * len(lines) + (22 if figure.layout.showlegend else 0)
    figure.update_layout(
        title={"text": "<br>".join([f"<b>{title}</b>", *small]), "font": {"size": 15}, "x": 0, "y": 1},
        title_yanchor="top",
        title_pad={"t": 14, "l": 24},
        height=CARD_HEIGHT,
        margin={"t": top, "l": 24, "r": 24},
    )
    return figure


def _figures(study: StudyResults) -> dict[str, tuple[str, str, Any]]:
    """By its id: title, sentence and figure. Empty tables have none."""
    drawn: dict[str, tuple[str, str, Any]] = {}
    measured = sentences.title(study.metric)
    if costs := tradeoff.trade_off(study):
        figure = figures.trade_off_figure(costs)
        drawn["search-cost"] = (f"{measured} against cost", sentences.of_trade_off(costs), figure)
    if study.complete:
        pools, heads, taps = summaries.by_pooling(study), summaries.by_head(study), summaries.by_taps(study)
        cells = summaries.block_by_timestep(study)
        if cells.cells:
            told = sentences.of_blocks_and_timesteps(cells)
            drawn["search-blocks"] = (
                f"{measured} by block and timestep",
                told,
                figures.block_by_timestep_figure(cells),
            )
        for name, title, told, axis, groups in (
            ("search-pooling", "pooling", sentences.of_groups("Pool", pools), "Pool size", pools),
            ("search-heads", "head", sentences.of_groups("Head", heads), "Head", heads),
            *([("search-taps", "number of taps", sentences.of_taps(taps), "Taps", taps)] if len(taps) > 1 else []),
        ):
            drawn[name] = (f"{measured} by {title}", told, figures.groups_figure(axis, groups))
    if phases := summaries.time_by_phase(study):
        told = f"{sentences.of_time(phases)} {sentences.of_passes(summaries.passes(study))}"
        drawn["search-time"] = ("Time by phase", told, figures.time_figure(phases))
    return drawn


def _note(study: StudyResults, report_path: Path | None, at_work: int) -> str:
    """Markdown. Names from the data stand in code spans, where nothing is interpreted."""
    written = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    runs = sentences.count(at_work, "run") if at_work else "no run"
    facts = (
        f"**Dataset:** {_code(study.dataset)}, {len(study.classes):,} classes; "
        f"{sentences.of_images(study.counts, study.folds)} images",
        f"**Backbone:** {_code(study.backbone)}, {len(study.architecture.blocks)} blocks on images of "
        f"{study.architecture.image_side} × {study.architecture.image_side} pixels",
        f"**Space:** {_code(study.preset)}, {study.space_size:,} settings",
        f"**Protocol:** {_protocol(study)}",
        f"**State:** {sentences.of_trials(summaries.trial_counts(study))}; {runs} at work as of {written} UTC",
    )
    lines = [f"## {_code(study.dataset)}", *_best(study)]
    lines.append(f"[Open the report]({report_link(study.name)}), which `search dashboard` serves.")
    if report_path is not None:
        # A browser follows no link from http to file, so the address is there to be copied.
        lines[-1] += f" The file, once a run has ended: {_code(report_path.absolute().as_uri())}"
    lines += ["### The study", "\n".join(f"- {fact}" for fact in facts), "### How to read it", _reading(study)]
    return "\n\n".join(lines)


def _best(study: StudyResults) -> list[str]:
    best = summaries.answer(study)
    if best is None:
        return ["No trial is complete yet."]
    told = [f"- validation {study.metric.label} {sentences.with_interval(best.validation)}"]
    if best.test is not None:
        seeds = ", ".join(map(str, best.seeds))
        told.append(f"- test {study.metric.label} {sentences.with_interval(best.test)}, mean over seeds {seeds}")
    for row in scores.scores(study):
        kept = row.test or row.validation
        if row.metric != study.metric and kept is not None:
            part = "test" if row.test else "validation"
            told.append(f"- {part} {row.metric.label} {sentences.with_interval(kept)}")
    if (cost := tradeoff.gmacs_of(study, best.setting)) is not None:
        told.append(f"- cost {sentences.gmacs(cost)} GMAC an image, passes and head")
    name = f"**Best so far:** {_code(best.setting)}"
    return [name, "\n".join(told), sentences.of_answer(best, len(study.complete))]


def _reading(study: StudyResults) -> str:
    metric, told = study.metric, []
    if metric.higher_is_better:
        share = ", a share of 1" if metric.is_proportion else ""
        told.append(f"A trial's value is its validation {metric.label}{share}: more is better.")
    else:
        told.append(f"A trial's value is the {metric.score_label}, never above 0: nearer to 0 is better.")
    if study.by_cost:
        told.append("Its second value is its cost, GMAC an image: less is better.")
    told.append(
        "Brackets hold 95\N{NO-BREAK SPACE}% intervals. The test split is read once, for the finalists, after "
        "refitting on train and validation images. A trial's user attributes say what its setting means, what it took, "
        "and why it failed or was stopped."
    )
    return " ".join(told)


def _protocol(study: StudyResults) -> str:
    """How settings are chosen, and all else that two trials must share to be comparable."""
    chosen = f"chosen {sentences.of_choice(study.folds)}, by {study.metric.label}"
    told = {name: DIGEST.sub(r"\1…", value) for name, value in study.provenance.items() if name not in UNTOLD}
    facts = [f"{_code(name)} {_code(value)}" for name, value in told.items()]
    return "; ".join([chosen, ", ".join(facts)] if facts else [chosen])


def _code(text: object) -> str:
    return "`" + str(text).replace("`", "'").replace("\n", " ") + "`"
