"""What Optuna Dashboard shows of a study: the trials it reads itself, our note and our figures beside them.

It is handed a study; it opens no storage.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashboards import figures, scores, sentences, summaries, tradeoff
from dashboards.serving import report_link
from objectives.results import Study

# Whoever reads the dashboard may write too: what stands below this line is theirs and is kept.
OWN_NOTES = "*Notes below this line are yours; what is above is written anew after each run.*"
UNTOLD = frozenset(
    {"dataset fingerprint", "weights digest", "space digest", "split fingerprint", "command", "versions"}
)
"""Of a study's provenance, in a note that people read."""

CARD_HEIGHT = 450  # pixels; Optuna Dashboard cuts a taller figure off


def publish(optuna_study: Any, study: Study, report_path: Path | None) -> None:
    """Write the study's note and figures into its Optuna study, over those of an earlier call.

    History is left out: Optuna Dashboard draws that itself.
    """
    from optuna_dashboard import get_note, save_note, save_plotly_graph_object

    *_, own = get_note(optuna_study).rpartition(OWN_NOTES)
    save_note(optuna_study, f"{_note(study, report_path)}\n\n{OWN_NOTES}\n\n{own.strip()}".strip() + "\n")
    for name, (title, figure) in _figures(study).items():
        figure.update_layout(title={"text": title, "x": 0, "xref": "paper"}, margin={"t": 84, "l": 24, "r": 24})
        figure.update_layout(height=min(figure.layout.height + 56, CARD_HEIGHT))
        save_plotly_graph_object(optuna_study, figure, graph_object_id=name)


def _figures(study: Study) -> dict[str, tuple[str, Any]]:
    """By an id that stays the same from run to run: the title and the figure. Empty tables have none."""
    drawn: dict[str, tuple[str, Any]] = {}
    if costs := tradeoff.trade_off(study):
        drawn["search-cost"] = (f"{sentences.title(study.metric)} against cost", figures.trade_off_figure(costs))
    if study.complete:
        pools, heads = summaries.by_pooling(study), summaries.by_head(study)
        cells, measured = summaries.block_by_timestep(study), sentences.title(study.metric)
        if cells.cells:
            drawn["search-blocks"] = (f"{measured} by block and timestep", figures.block_by_timestep_figure(cells))
        drawn["search-pooling"] = (f"{measured} by pooling", figures.groups_figure("Pool size", pools))
        drawn["search-heads"] = (f"{measured} by head", figures.groups_figure("Head", heads))
        if len(taps := summaries.by_taps(study)) > 1:
            drawn["search-taps"] = (f"{measured} by number of taps", figures.groups_figure("Taps", taps))
    phases = summaries.time_by_phase(study)
    if phases:
        drawn["search-time"] = ("Time by phase", figures.time_figure(phases))
    return drawn


def _note(study: Study, report_path: Path | None) -> str:
    """Markdown. Names from the data stand in code spans, where nothing is interpreted."""
    lines = [
        f"## {_code(study.dataset)}",
        f"Backbone {_code(study.backbone)}, space {_code(study.preset)} of {study.space_size:,} settings; "
        f"{sentences.of_trials(summaries.trial_counts(study))}.",
        f"Settings are chosen {sentences.of_choice(study.folds)}, by {study.metric.words}. "
        "The test split is read once, for the finalists, "
        "after refitting on train and validation images. Intervals are 95\N{NO-BREAK SPACE}%.",
    ]
    if protocol := _protocol(study):
        lines.append(f"Protocol: {protocol}.")
    if not study.metric.rising:
        lines.append(f"A trial's value in the other charts is the {study.metric.worth_words}: more is better.")
    if study.by_cost:
        lines.append("A trial's second value is its cost, GMAC an image: less is better.")
    best = summaries.answer(study)
    if best is None:
        lines.append("No trial is complete yet.")
    else:
        lines.append(f"**Best so far:** {_code(best.setting)}")
        told = [f"- validation {study.metric.words} {sentences.with_interval(best.validation)}"]
        if best.test is not None:
            seeds = ", ".join(map(str, best.seeds))
            told.append(f"- test {study.metric.words} {sentences.with_interval(best.test)}, mean over seeds {seeds}")
        for row in scores.scores(study):
            kept = row.test or row.validation
            if row.metric != study.metric and kept is not None:
                part = "test" if row.test else "validation"
                told.append(f"- {part} {row.metric.words} {sentences.with_interval(kept)}")
        lines.append("\n".join(told))
        lines.append(sentences.of_answer(best, len(study.complete)))
    lines.append(f"[Open the report]({report_link(study.name)}), where `search dashboard` serves it.")
    if report_path is not None:
        # A browser follows no link from http to file, so the address is there to be copied.
        lines[-1] += f" The file, once a run has ended: {_code(report_path.absolute().as_uri())}"
    lines.append(f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.")
    return "\n\n".join(lines)


def _protocol(study: Study) -> str:
    """All that two trials must share to be comparable, but for the digests."""
    facts = {name: value for name, value in study.provenance.items() if name not in UNTOLD}
    return ", ".join(f"{_code(name)} {_code(value)}" for name, value in facts.items())


def _code(text: object) -> str:
    return "`" + str(text).replace("`", "'").replace("\n", " ") + "`"
