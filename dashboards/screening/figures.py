"""Figures of a screening that no other report has. No number is computed here."""

from collections.abc import Mapping

import plotly.graph_objects as go

from dashboards.formatting import choice_value
from dashboards.page.figures import arrange_cells, mark_empty, timestep_labels
from dashboards.page.style import colour_bar, colour_range
from dashboards.tables import BlockByTimestep


def effective_rank_figure(table: BlockByTimestep, ranks: Mapping[tuple[int, int | None], float]) -> go.Figure:
    """A heatmap of the effective rank of every screened cell, with the frame of the recommended one."""
    low, high = colour_range([*ranks.values()])

    def hover(block: int, timestep: int | None) -> str:
        rank = ranks.get((block, timestep))
        where = "no noise" if timestep is None else f"t {choice_value(timestep)}"
        return "" if rank is None else f"<b>{rank:.1f}</b><br>block {block}, {where}"

    figure = go.Figure(
        go.Heatmap(
            x=[*range(len(table.blocks))],
            y=timestep_labels(table),
            z=[[ranks.get((block.number, timestep)) for block in table.blocks] for timestep in table.timesteps],
            customdata=[[hover(block.number, timestep) for block in table.blocks] for timestep in table.timesteps],
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale="Cividis",
            showscale=len(ranks) > 1,
            zmin=low,
            zmax=high,
            xgap=1,
            ygap=1,
            colorbar=colour_bar("Effective rank (directions)"),
        )
    )
    mark_empty(figure, table)
    arrange_cells(figure, table)
    return figure
