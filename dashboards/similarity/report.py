"""One self-contained page about how alike representations are, and the same heatmaps as PNG files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from dashboards.page.page import Section, Table, rendered, shortened, write
from dashboards.similarity import sentences as says
from dashboards.similarity.sentences import labels, number
from dashboards.study.figures import TEMPLATE, UNTRIED
from objectives.results import DrawSimilarity, Representation, Similarity
from spaces import Architecture


@dataclass(frozen=True)
class Comparison:
    """What was compared with what on the images of a dataset.

    backbone: its name, and its blocks. blocks: with each other at one timestep. timesteps: with each other at one
    block. others: name → the blocks with those of another network. agreement: of two noise draws. Whatever was not
    asked for, or does not exist of an encoder, is None. pool: side of the grid. seconds: that it took. facts: label →
    text, what is needed to repeat it.
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


def write_comparison(found: Comparison, path: Path) -> Path:
    """Write the page and return `path`; it is whole or not there at all, and needs no network to be viewed.

    Raises SearchError where it cannot be written.
    """
    return write(render(found), path)


def render(found: Comparison) -> str:
    """The page as HTML. Every name that comes from the data is escaped."""
    return rendered(
        "cka.html", sections(found), found=found, told=says.of_all(found.blocks.images, found.blocks.batches)
    )


def sections(found: Comparison) -> list[Section]:
    at = found.blocks.rows[0].timestep
    where = "" if at is None else f" at t {at}"
    told = [
        _map("blocks", f"Blocks with each other{where}", found.blocks, says.of_blocks(found.blocks, found.architecture))
    ]
    if found.timesteps is not None:
        block = found.timesteps.rows[0].block
        told.append(
            _map(
                "timesteps",
                f"Timesteps with each other at block {block}",
                found.timesteps,
                says.of_timesteps(found.timesteps),
            )
        )
    for place, (name, other) in enumerate(found.others.items()):
        heading = f"Blocks of {found.backbone}{where} with those of {name}"
        told.append(_map(f"other-{place}", heading, other, says.of_other(other)))
    if found.agreement is not None:
        told.append(_agreement(found.agreement))
    return [*told, _provenance(found)]


def figures(found: Comparison) -> dict[str, go.Figure]:
    """Every heatmap by the name of its section, for a white page."""
    drawn = {}
    for section in sections(found):
        if section.figure is not None:
            title = {"text": escape(section.title, quote=False), "x": 0, "xref": "paper", "font": {"size": 15}}
            figure = section.figure.update_layout(
                title=title, paper_bgcolor="#ffffff", font={"color": "#1d2125"}, margin={"t": 56, "l": 16, "r": 24}
            )
            if figure.layout.yaxis.scaleanchor:  # a square, which on a wider picture would stand in a corner
                figure.update_layout(width=figure.layout.height - 50)
            drawn[section.id] = figure
    return drawn


def _map(name: str, heading: str, found: Similarity, told: str) -> Section:
    rows, columns = labels(found.rows), labels(found.columns)
    table = Table(
        "Unbiased linear CKA (± standard error over minibatches)",
        (axis_of(found.rows), *columns),
        tuple(
            (row, *(number(v, e) for v, e in zip(values, errors, strict=True)))
            for row, values, errors in zip(rows, found.values, found.errors, strict=True)
        ),
    )
    figure = heatmap(columns, rows, found.values, found.errors, (axis_of(found.columns), axis_of(found.rows)))
    return Section(name, heading, (told,), figure, table)


def _agreement(found: DrawSimilarity) -> Section:
    table = Table(
        "Unbiased linear CKA of two noise draws (± standard error over minibatches)",
        ("Block", *(f"t {timestep}" for timestep in found.timesteps)),
        tuple(
            (str(block), *(number(v, e) for v, e in zip(values, errors, strict=True)))
            for block, values, errors in zip(found.blocks, found.values, found.errors, strict=True)
        ),
    )
    across = [list(column) for column in zip(*found.values, strict=True)]
    errors = [list(column) for column in zip(*found.errors, strict=True)]
    names = [str(block) for block in found.blocks], [f"t {timestep}" for timestep in found.timesteps]
    figure = heatmap(*names, across, errors, ("Block, in execution order", "Timestep"))
    return Section("agreement", "Two noise draws of the same images", (says.of_agreement(found),), figure, table)


def axis_of(shown: Sequence[Representation]) -> str:
    """What an axis of these is called."""
    alone = len({each.block for each in shown}) == 1 and shown[0].timestep is not None
    return f"{'Timestep' if alone else 'Block'} of {shown[0].backbone}"


def heatmap(
    columns: Sequence[str],
    rows: Sequence[str],
    values: Sequence[Sequence[float | None]],
    errors: Sequence[Sequence[float | None]],
    axes: tuple[str, str],
) -> go.Figure:
    """Of CKA, on a scale that is the same for all: 0 to 1. axes: what columns and rows are called."""
    axes = escape(axes[0], quote=False), escape(axes[1], quote=False)
    hover = [
        [
            f"<b>{number(value, error)}</b><br>{axes[1]}: {row}<br>{axes[0]}: {column}"
            for column, value, error in zip(columns, across, along, strict=True)
        ]
        for row, across, along in zip(rows, values, errors, strict=True)
    ]
    bar: dict[str, Any] = {
        "title": {"text": "CKA<br> ", "side": "top"},  # a second, empty line keeps the title off the bar
        "orientation": "h",
        "yref": "container",
        "y": 0,
        "yanchor": "bottom",
        "x": 0,
        "xanchor": "left",
        "len": 0.5,
        "thickness": 10,
        "outlinewidth": 0,
    }
    figure = go.Figure(
        go.Heatmap(
            x=list(columns),
            y=list(rows),
            z=[list(row) for row in values],
            zmin=0,
            zmax=1,
            text=hover,
            hovertemplate="%{text}<extra></extra>",
            hoverongaps=False,
            colorscale="Cividis",
            xgap=0.5,
            ygap=0.5,
            colorbar=bar,
        )
    )
    figure.update_xaxes(title=axes[0], type="category", showgrid=False, constrain="domain", constraintoward="left")
    figure.update_yaxes(title=axes[1], type="category", showgrid=False)
    figure.update_layout(template=TEMPLATE, plot_bgcolor=UNTRIED, height=216 + 34 * len(rows), margin={"b": 112})
    if 0.5 < len(rows) / len(columns) < 2:
        figure.update_yaxes(scaleanchor="x", constrain="domain")
        figure.update_layout(height=620)
    return figure


def _provenance(found: Comparison) -> Section:
    facts = {
        "Dataset": found.dataset,
        "Images": f"{found.blocks.images:,} outside the test split, in {found.blocks.batches:,} minibatches",
        "Backbones": shortened([found.backbone, *found.others], 20),
        "Pool": f"maps averaged to {found.pool} × {found.pool}, or the largest size below that divides a map",
        **found.facts,
    }
    table = Table("What is needed to repeat this comparison", ("Fact", "Value"), tuple(facts.items()))
    return Section("provenance", "Provenance", (), table=table)
