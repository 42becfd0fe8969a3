"""The note and the figures that Optuna Dashboard shows beside the trials of a study. It opens no storage."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import Any, Self, final

from dashboards.formatting import count, gmacs, image_counts, named_seeds, other_trials, percent, title, with_interval
from dashboards.page.figures import block_by_timestep_figure, groups_figure
from dashboards.page.style import plotly_text
from dashboards.selection.answer import answer_setting
from dashboards.server import report_link
from dashboards.study import figures, sentences, tables
from dashboards.study.answer.answer import study_answer
from dashboards.study.answer.scores import scores
from dashboards.study.answer.sentences import (
    confidence_sentences,
    coverage_sentence,
    outside_sentence,
    untried_sentence,
)
from dashboards.study.answer.tradeoff import trade_off
from dashboards.study.choices import sentences as choice_sentences
from objectives.results import StudyResults
from spaces.text import one_line

# Readers of the dashboard can edit the note: text below this line is theirs and is kept.
OWN_NOTES = "*Notes below this line are yours and are kept; text above it is rewritten during runs.*"
FORMER_OWN_NOTES = (
    "*Notes below this line are yours and are kept; what is above is written anew as runs go.*",
    "*Notes below this line are yours; what is above is written anew after each run.*",
)
"""The same line in notes that earlier versions wrote."""
NOTE_VERSION = "dashboard:note_ver"
"""The system attribute that counts a note's versions. Optuna Dashboard refuses an edit of an older version."""

NOT_PROTOCOL = frozenset({"command", "versions"})
"""Provenance of a study that describes its last run and not its protocol."""

DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")  # its beginning is enough to identify it
CARD_HEIGHT = 450  # pixels of a card in Optuna Dashboard, which cuts off a taller figure
LINE_CHARACTERS = 84  # of a sentence above a figure, in a card of half a window


@final
@dataclass(frozen=True)
class DashboardView:
    """The note and the Plotly figures of a study. figures: by an id that stays the same from run to run."""

    note: str
    figures: Mapping[str, Any]

    @classmethod
    def of(cls, study: StudyResults, report_path: Path | None, at_work: int = 0) -> Self:
        """report_path: the report's file once a run has ended. at_work: how many runs work on the study.

        There is no figure of the history: Optuna Dashboard draws that itself.
        """
        drawn = {name: _card(*figure) for name, figure in _figures(study).items()}
        return cls(_note(study, report_path, at_work), drawn)

    def save(self, optuna_study: Any) -> None:
        """Save the note and the figures in an Optuna study, in place of earlier ones. Readers' own notes are kept."""
        from optuna_dashboard import get_note, save_note, save_plotly_graph_object

        note = get_note(optuna_study)
        for former in FORMER_OWN_NOTES:
            note = note.replace(former, OWN_NOTES)
        *_, own = note.rpartition(OWN_NOTES)
        save_note(optuna_study, f"{self.note}\n\n{OWN_NOTES}\n\n{own.strip()}".strip() + "\n")
        for name, figure in self.figures.items():
            save_plotly_graph_object(optuna_study, figure, graph_object_id=name)


def _card(title: str, sentence: str, figure: Any) -> Any:
    """The figure sized for a card, with its title and the sentence that says what to see."""
    lines = [plotly_text(line) for line in wrap(one_line(sentence), LINE_CHARACTERS)]
    small = [f"<span style='font-size:12px'>{line}</span>" for line in lines]
    top = 52 + 17 * len(lines) + (22 if figure.layout.showlegend else 0)
    for heatmap in figure.select_traces(selector={"type": "heatmap"}):
        heatmap.colorbar.title.text += "<br> "  # else Plotly sets the title on the bar in so low a figure
    figure.update_layout(
        title={"text": "<br>".join([f"<b>{title}</b>", *small]), "font": {"size": 15}, "x": 0, "y": 1},
        title_yanchor="top",
        title_pad={"t": 14, "l": 24},
        height=CARD_HEIGHT,
        margin={"t": top, "l": 24, "r": 24},
    )
    return figure


def _figures(study: StudyResults) -> dict[str, tuple[str, str, Any]]:
    """Id → title, sentence and figure. Empty tables have no figure."""
    drawn: dict[str, tuple[str, str, Any]] = {}
    measured = title(study.metric)
    if costs := trade_off(study):
        figure = figures.trade_off_figure(costs, answer_setting(study))
        drawn["search-cost"] = (
            f"{measured} against cost",
            sentences.trade_off_sentence(costs, answer_setting(study)),
            figure,
        )
    if study.complete:
        pools, heads, taps = tables.pooling_groups(study), tables.head_groups(study), tables.tap_groups(study)
        cells = tables.block_by_timestep(study)
        if cells.cells:
            told = choice_sentences.block_by_timestep_sentence(cells)
            drawn["search-blocks"] = (
                f"{measured} by block and timestep",
                told,
                block_by_timestep_figure(cells),
            )
        for name, kind, told, axis, groups in (
            ("search-pooling", "pooling", choice_sentences.groups_sentence("Pool", pools), "Pool size", pools),
            ("search-heads", "head", choice_sentences.groups_sentence("Head", heads), "Head", heads),
            *(
                [("search-taps", "number of taps", choice_sentences.taps_sentence(taps), "Taps", taps)]
                if len(taps) > 1
                else []
            ),
        ):
            drawn[name] = (f"{measured} by {kind}", told, groups_figure(axis, groups))
    if phases := tables.time_by_phase(study):
        told = f"{sentences.time_sentence(phases)} {sentences.passes_sentence(tables.passes(study))}"
        drawn["search-time"] = ("Time by phase", told, figures.time_figure(phases))
    return drawn


def _note(study: StudyResults, report_path: Path | None, at_work: int) -> str:
    """The note in Markdown. Names from the data are in code spans, where nothing is interpreted."""
    written = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    runs = count(at_work, "run") if at_work else "no run"
    state = [
        sentences.trial_counts_text(tables.trial_counts(study)),
        *other_trials(study.waiting, study.others),
        f"{runs} active at {written} UTC",
    ]
    facts = (
        f"**Dataset:** {_code(study.dataset)}, {len(study.classes):,} classes; "
        f"{image_counts(study.counts, study.folds)} images",
        f"**Backbone:** {_code(study.backbone)}, {len(study.architecture.blocks)} blocks on images of "
        f"{study.architecture.image_side} × {study.architecture.image_side} pixels",
        f"**Space:** {_code(study.preset)}, {study.space_size:,} settings",
        f"**Protocol:** {_protocol(study)}",
        f"**State:** {'; '.join(state)}",
    )
    lines = [f"## {_code(study.dataset)}", *_best(study)]
    lines.append(f"[Open the report]({report_link(study.name)}), which `search dashboard` serves.")
    if report_path is not None:
        # A browser follows no link from http to file, so the address is shown to be copied.
        lines[-1] += f" The file, after a run has ended: {_code(report_path.absolute().as_uri())}"
    lines += ["### The study", "\n".join(f"- {fact}" for fact in facts), "### How to read it", _reading(study)]
    return "\n\n".join(lines)


def _best(study: StudyResults) -> list[str]:
    answer = study_answer(study)
    if answer is None:
        return ["No trial is complete yet."]
    told = []
    if answer.test is not None:
        told.append(f"- test {study.metric.label} {with_interval(answer.test)}, {named_seeds(answer.seeds)}")
    told.append(f"- validation {study.metric.label} {with_interval(answer.validation)}")
    for row in scores(study):
        kept = row.test or row.validation
        if row.metric != study.metric and kept is not None:
            part = "test" if row.test else "validation"
            told.append(f"- {part} {row.metric.label} {with_interval(kept)}")
    if answer.majority is not None:
        told.append(f"- always naming the most frequent class: {percent(answer.majority)} of the test images")
    told += [f"- linear head on {baseline.words}: test {with_interval(baseline.test)}" for baseline in answer.baselines]
    if answer.gmacs is not None:
        told.append(f"- cost {gmacs(answer.gmacs)} GMAC per image, forward passes and head")
    name = f"**{'Answer' if answer.is_finalist else 'Best so far'}:** {_code(answer.setting)}"
    sure = " ".join(confidence_sentences(answer, len(study.complete)))
    seen = [
        coverage_sentence(answer.coverage),
        outside_sentence(study),
        untried_sentence(answer.coverage, len(study.screened)),
    ]
    return [name, "\n".join(told), sure, *([" ".join(filter(None, seen))] if any(seen) else [])]


def _reading(study: StudyResults) -> str:
    metric, told = study.metric, []
    if metric.higher_is_better:
        share = ", between 0 and 1" if metric.is_proportion else ""
        told.append(f"A trial's value is its validation {metric.label}{share}: higher is better.")
    else:
        told.append(f"A trial's value is the {metric.score_label}, never above 0: higher is better.")
    if study.by_cost:
        told.append("Its second value is its cost in GMAC per image: lower is better.")
    told.append(
        "Optuna Dashboard's own best trial is the one with the best single value. The answer above was compared on "
        "other splits too, and is the setting to use. Brackets show 95\N{NO-BREAK SPACE}% intervals. The test split is "
        "read once, for the answer, after refitting on train and validation images. A trial's user attributes give its "
        "setting, its running time, and the reason if it failed or was stopped."
    )
    told.append(
        "The card “Hyperparameter Importance” is Optuna Dashboard's own. It shows how much a parameter decides whether "
        "a trial is among the best tenth (PED-ANOVA), without an interval, after few trials and for pure noise too, "
        "and of the values that were tried only. Prefer “Importance of each choice” in the report: it has intervals, "
        "and leaves out what cannot be told."
    )
    return " ".join(told)


def _protocol(study: StudyResults) -> str:
    """Say how settings are chosen, and everything else that trials must share to be comparable."""
    chosen = f"chosen {sentences.selection_text(study.folds)}, by {study.metric.label}"
    told = {name: DIGEST.sub(r"\1…", value) for name, value in study.provenance.items() if name not in NOT_PROTOCOL}
    facts = [f"{_code(name)} {_code(value)}" for name, value in told.items()]
    return "; ".join([chosen, ", ".join(facts)] if facts else [chosen])


def _code(text: object) -> str:
    return "`" + one_line(str(text)).replace("`", "'") + "`"
