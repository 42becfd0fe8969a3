"""The figure of a backbone's blocks: the size of their feature maps, and the cost to reach them."""

from dataclasses import dataclass
from math import log10

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards.formatting import gmacs
from dashboards.page.style import BLUE, GREEN, INK, ORANGE, TEMPLATE, VERMILION, plotly_text
from spaces import Architecture, Block, Setting
from spaces.blocks import INSIDE

STRIP_HEIGHT = 26
"""The height of the tallest block of a `network_strip`, where each block is 10 wide."""

COLOURS = {"encoder": BLUE, "bottleneck": VERMILION, "decoder": ORANGE, "layer": BLUE, "inside": GREEN}


def backbone_figure(architecture: Architecture) -> go.Figure:
    """Top: a bar for the map side of each block, labelled with its channels. Bottom: the cost from the input to it."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.62, 0.38], vertical_spacing=0.08)
    for part, colour in COLOURS.items():
        blocks = [block for block in architecture.blocks if ("inside" if block.part in INSIDE else block.part) == part]
        if blocks:
            figure.add_bar(
                x=[block.number for block in blocks],
                y=[block.side for block in blocks],
                name=part,
                marker={"color": colour},
                text=[str(block.channels) for block in blocks],
                textangle=-90,
                textposition="outside",
                textfont={"size": 10},
                constraintext="none",
                cliponaxis=False,
                hovertext=[_hover(block, architecture) for block in blocks],
                hovertemplate="%{hovertext}<extra></extra>",
                row=1,
                col=1,
            )
    numbers = [block.number for block in architecture.blocks]
    figure.add_scatter(
        x=numbers,
        y=[block.cumulative_gmacs for block in architecture.blocks],
        mode="lines+markers",
        line={"color": GREEN, "width": 2},
        marker={"size": 5, "color": GREEN},
        fill="tozeroy",
        fillcolor="rgba(0,158,115,0.12)",
        hovertext=[_hover(block, architecture) for block in architecture.blocks],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
        row=2,
        col=1,
    )
    sides = sorted({block.side for block in architecture.blocks})
    limits = [log10(sides[0]) - 0.15, log10(sides[-1]) + 0.35]  # below: the lowest bars; above: the labels
    figure.update_yaxes(title="Side of the map<br>(channels on the bar)", type="log", range=limits, row=1, col=1)
    figure.update_yaxes(tickvals=sides, ticktext=[str(side) for side in sides], row=1, col=1)
    figure.update_yaxes(title="GMAC per image,<br>from the input", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(title="Block, in execution order", row=2, col=1, tickmode="linear", tick0=1, dtick=2)
    title = (
        f"{architecture.name}: {len(numbers)} blocks, {gmacs(architecture.blocks[-1].cumulative_gmacs)} GMAC per image"
    )
    figure.update_layout(
        template=TEMPLATE,
        height=520,
        showlegend=len({block.part for block in architecture.blocks}) > 1,
        title={"text": plotly_text(title), "x": 0, "font": {"color": INK, "size": 15}},
        margin={"t": 76},
        bargap=0.15,
    )
    return figure


@dataclass(frozen=True, slots=True)
class StripBlock:
    """A block in a small picture of a network. height: at most `STRIP_HEIGHT`. read: whether a setting reads it."""

    number: int
    height: float
    read: bool


def network_strip(architecture: Architecture, setting: Setting) -> tuple[StripBlock, ...]:
    """The blocks from the image to the output, as high as the logarithm of their maps' sides."""
    sides = [log10(block.side) for block in architecture.blocks]
    low, span = min(sides), max(max(sides) - min(sides), 1e-9)
    read = {tap.block for tap in setting.taps}
    return tuple(
        StripBlock(block.number, round(STRIP_HEIGHT * (0.25 + 0.75 * (side - low) / span), 1), block.number in read)
        for block, side in zip(architecture.blocks, sides, strict=True)
    )


def _hover(block: Block, architecture: Architecture) -> str:
    share = block.cumulative_gmacs / architecture.blocks[-1].cumulative_gmacs
    return (
        f"<b>block {block.number}</b> ({block.part})<br>{block.channels} channels of {block.side} × {block.side}<br>"
        f"{gmacs(block.gmacs)} GMAC, {gmacs(block.cumulative_gmacs)} from the input "
        f"({100 * share:.1f} % of the whole network)<br>"
        f"{plotly_text(block.name)}"
    )
