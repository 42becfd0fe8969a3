"""The page about the similarity of representations, and its heatmaps for PNG files. The page needs no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import plotly.graph_objects as go

from dashboards.formatting import shortened
from dashboards.page.page import Section, Table, render_page, write
from dashboards.page.style import COLOUR_BAR_MARGIN, TEMPLATE, TITLE_STANDOFF, UNTRIED, colour_bar, plotly_text
from dashboards.similarity import sentences
from dashboards.similarity.sentences import axis_labels, cka_text
from objectives.results import DrawSimilarity, Representation, Similarity
from spaces import Architecture

NUMBERED = 13
"""The longest side of a heatmap whose cells are large enough for their numbers."""


@dataclass(frozen=True)
class SimilarityReport:
    """The similarities of a backbone's representations of a dataset's images.

    blocks: of the blocks to each other, at one timestep. timesteps: of the timesteps to each other, at one block.
    others: name of another network → the backbone's blocks to that network's. agreement: of two noise draws. What was
    not requested, or does not exist for an encoder, is None. pool: side of the pooled grid. seconds: running time.
    facts: label → text, everything needed to repeat the comparison. left_out: phrases about the files that were left
    out of the dataset.
    """

    dataset: str
    backbone: str
    architecture: Architecture
    pool: int
    seconds: float
    blocks: Similarity
    timesteps: Similarity | None = None
    agreement: DrawSimilarity | None = None
    others: Mapping[str, Similarity] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    left_out: Sequence[str] = ()


def write_similarity(report: SimilarityReport, path: Path) -> Path:
    """Write the page atomically and return `path`. Raises SearchError if it cannot be written."""
    return write(render(report), path)


def render(report: SimilarityReport) -> str:
    """The page as HTML. Every name from the data is escaped."""
    explanation = sentences.scale_sentences(report.blocks.images, report.blocks.batches)
    return render_page("cka.html", sections(report), report=report, explanation=explanation)


def sections(report: SimilarityReport) -> list[Section]:
    timestep = report.blocks.rows[0].timestep
    where = "" if timestep is None else f" at t {timestep}"
    told = sentences.blocks_sentences(report.blocks, report.architecture)
    listed = [_similarity("blocks", f"Similarity between blocks{where}", report.blocks, told)]
    if report.timesteps is not None:
        heading = f"Similarity between timesteps at block {report.timesteps.rows[0].block}"
        told = sentences.timesteps_sentence(report.timesteps)
        listed.append(_similarity("timesteps", heading, report.timesteps, told))
    for index, (name, other) in enumerate(report.others.items()):
        heading = f"Similarity of {report.backbone}{where} to {name}"
        listed.append(_similarity(f"other-{index}", heading, other, sentences.networks_sentences(other)))
    if report.agreement is not None:
        listed.append(_agreement(report.agreement))
    return [*listed, _provenance(report)]


def figures(report: SimilarityReport) -> dict[str, go.Figure]:
    """Every heatmap by the id of its section, for a white page."""
    drawn = {}
    for section in sections(report):
        if section.figure is not None:
            title = {"text": plotly_text(section.title), "x": 0, "xref": "paper", "font": {"size": 15}}
            figure = section.figure.update_layout(
                title=title, paper_bgcolor="#ffffff", font={"color": "#1d2125"}, margin={"t": 56, "l": 16, "r": 24}
            )
            if figure.layout.yaxis.scaleanchor:  # a square heatmap, which a wider picture would leave in a corner
                figure.update_layout(width=figure.layout.height - 50)
            drawn[section.id] = figure
    return drawn


def _similarity(id: str, heading: str, found: Similarity, told: str) -> Section:
    rows, columns = axis_labels(found.rows), axis_labels(found.columns)
    table = Table(
        "Unbiased linear CKA (± standard error over minibatches)",
        (axis_title(found.rows), *columns),
        tuple(
            (row, *map(cka_text, values, errors))
            for row, values, errors in zip(rows, found.values, found.errors, strict=True)
        ),
    )
    figure = heatmap(columns, rows, found.values, found.errors, (axis_title(found.columns), axis_title(found.rows)))
    return Section(id, heading, (told,), figure, table)


def _agreement(found: DrawSimilarity) -> Section:
    table = Table(
        "Unbiased linear CKA of two noise draws (± standard error over minibatches)",
        ("Block", *(f"t {timestep}" for timestep in found.timesteps)),
        tuple(
            (str(block), *map(cka_text, values, errors))
            for block, values, errors in zip(found.blocks, found.values, found.errors, strict=True)
        ),
    )
    values = [list(column) for column in zip(*found.values, strict=True)]
    errors = [list(column) for column in zip(*found.errors, strict=True)]
    names = [str(block) for block in found.blocks], [f"t {timestep}" for timestep in found.timesteps]
    figure = heatmap(*names, values, errors, ("Block, in execution order", "Timestep"))
    return Section("agreement", "Agreement of two noise draws", (sentences.agreement_sentences(found),), figure, table)


def axis_title(shown: Sequence[Representation]) -> str:
    """The title of an axis of representations: "Block of adm-256"."""
    one_block = len({one.block for one in shown}) == 1 and shown[0].timestep is not None
    return f"{'Timestep' if one_block else 'Block'} of {shown[0].backbone}"


def heatmap(
    columns: Sequence[str],
    rows: Sequence[str],
    values: Sequence[Sequence[float | None]],
    errors: Sequence[Sequence[float | None]],
    axes: tuple[str, str],
) -> go.Figure:
    """A heatmap of CKA, always on the scale 0 to 1. axes: the titles of the columns and of the rows."""
    axes = plotly_text(axes[0]), plotly_text(axes[1])
    hover = [
        [
            f"<b>{cka_text(value, error)}</b><br>{axes[1]}: {row}<br>{axes[0]}: {column}"
            for column, value, error in zip(columns, across, along, strict=True)
        ]
        for row, across, along in zip(rows, values, errors, strict=True)
    ]
    figure = go.Figure(
        go.Heatmap(
            x=list(columns),
            y=list(rows),
            z=[list(row) for row in values],
            zmin=0,
            zmax=1,
            text=[["" if value is None else cka_text(value, None) for value in across] for across in values],
            texttemplate="%{text}" if max(len(rows), len(columns)) <= NUMBERED else None,
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale="Cividis",
            xgap=0.5,
            ygap=0.5,
            colorbar=colour_bar("CKA") | {"x": 0, "xanchor": "left", "len": 0.5},
        )
    )
    figure.update_xaxes(title={"text": axes[0], "standoff": TITLE_STANDOFF})
    figure.update_xaxes(type="category", showgrid=False, constrain="domain", constraintoward="left")
    figure.update_yaxes(title=axes[1], type="category", showgrid=False)
    figure.update_layout(
        template=TEMPLATE, plot_bgcolor=UNTRIED, height=240 + 34 * len(rows), margin={"b": COLOUR_BAR_MARGIN}
    )
    if 0.5 < len(rows) / len(columns) < 2:
        figure.update_yaxes(scaleanchor="x", constrain="domain")
        figure.update_layout(height=620)
    return figure


def _provenance(report: SimilarityReport) -> Section:
    batches = sentences.batches_text(report.blocks.batches)
    facts = {
        "Dataset": report.dataset,
        "Images": f"{report.blocks.images:,} outside the test split, in {batches}",
        "Backbones": shortened([report.backbone, *report.others], 20),
        "Pool": f"maps averaged to {report.pool} × {report.pool}, or to the next smaller size that divides the map",
        **report.facts,
    }
    table = Table("Everything needed to repeat this comparison", ("Fact", "Value"), tuple(facts.items()))
    return Section("provenance", "Provenance", (), table=table)
