"""The look that all figures share: colours, the Plotly template, and the colour bar of a heatmap.

A figure must suit a white page, a dark page and paper. So backgrounds are transparent and text is grey. Colours are
cividis (Nuñez et al. 2018) and those of Okabe & Ito (2008), safe for colour-blind readers. A style sheet may make
the text darker or lighter. Plotly reads some HTML in every text, so names are escaped.
"""

from collections.abc import Sequence
from html import escape
from statistics import quantiles
from typing import Any

import plotly.graph_objects as go

from dashboards.formatting import with_unit
from objectives.results import Metric
from spaces import Setting
from spaces.text import one_line

INK = "#767676"
RULE, UNTRIED = "rgba(128,128,128,0.28)", "rgba(128,128,128,0.09)"
COLOUR_BAR_MARGIN = 132  # pixels below a heatmap, for the title of its x axis and the colour bar
TITLE_STANDOFF = 8  # pixels between tick labels and axis title; else Plotly sets the title on that of the colour bar
LABEL_STANDOFF = 10  # pixels between the title of a y axis and its longest label, which it would touch without
FEWEST_QUARTILES = 4  # values from which outliers can be told
BLUE, ORANGE, VERMILION, GREEN = "#0072B2", "#E69F00", "#D55E00", "#009E73"

AXIS = {
    "gridcolor": RULE,
    "zeroline": False,
    "linecolor": INK,
    "ticks": "",
    "automargin": True,
    "fixedrange": True,
    "ticklabelstandoff": 4,
}
TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        "hoverlabel": {"bgcolor": "#1c2126", "bordercolor": "#1c2126", "font": {"color": "#ffffff"}, "align": "left"},
        "margin": {"l": 8, "r": 8, "t": 28, "b": 8},
        "showlegend": False,
        "dragmode": False,
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": INK, "activecolor": BLUE},
        "xaxis": AXIS,
        "yaxis": AXIS,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
    }
)


def plotly_text(name: object) -> str:
    """A name from the data with everything escaped that Plotly would read as HTML, and control characters spelled."""
    return escape(one_line(str(name)), quote=False)


def setting_text(setting: Setting) -> str:
    return plotly_text(setting)


def colour_bar(title: str) -> dict[str, Any]:
    """A horizontal colour bar at the bottom edge of the figure, below the title of the x axis."""
    return {
        # The second, empty line keeps Plotly from setting the title on the bar in a low figure.
        "title": {"text": f"{title}<br> ", "side": "top", "font": {"size": 13}},
        "orientation": "h",
        "yref": "container",
        "y": 0,
        "yanchor": "bottom",
        "thickness": 10,
        "outlinewidth": 0,
    }


def metric_heatmap(metric: Metric, values: Sequence[float], title: str) -> dict[str, Any]:
    """The look of a heatmap of a metric: bright is better. A single cell needs no colour bar.

    values: those of the cells, in the metric's unit. The colours span all values but outliers (`colour_range`), which
    have the colour at the end of the scale; the title counts them.
    """
    low, high = colour_range(values)
    outside = [(sum(value < low for value in values), "below"), (sum(value > high for value in values), "above")]
    told = [f"{number} cell{'s' if number > 1 else ''} {where} the scale" for number, where in outside if number]
    title = "; ".join([title, *told])
    return {
        "hoverongaps": False,
        "showscale": len(values) > 1,
        "zmin": low,
        "zmax": high,
        "colorscale": "Cividis",
        "reversescale": not metric.higher_is_better,
        "xgap": 1,
        "ygap": 1,
        "colorbar": colour_bar(title),
    }


def colour_range(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the greatest of the values that are no outliers.

    An outlier lies further from the middle half of the values than 1.5 times the width of that half (Tukey 1977,
    "Exploratory Data Analysis"). At least half of the values are within the range, so that one value far from the
    others does not make all others one colour.
    """
    if len(values) < FEWEST_QUARTILES:
        return min(values, default=0.0), max(values, default=0.0)
    first, _, third = quantiles(values, n=4, method="inclusive")
    reach = 1.5 * (third - first)
    within = [value for value in values if first - reach <= value <= third + reach]
    return min(within), max(within)


def frame(x: float, y: float) -> dict[str, Any]:
    """A frame around the heatmap cell at (x, y), which marks the best one."""
    corners = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
    return {"type": "rect", **corners, "line": {"color": VERMILION, "width": 2.5}}


def mark_cells(figure: go.Figure, cells: Sequence[tuple[Any, Any]], name: str, symbol: str) -> None:
    """Put a small mark, which the legend explains, on the heatmap cells at (x, y)."""
    figure.add_scatter(
        name=name,
        x=[x for x, _ in cells],
        y=[y for _, y in cells],
        mode="markers",
        # A filled mark lies on a coloured cell, where it must be seen on dark and on bright colours.
        marker={
            "symbol": symbol,
            "size": 5,
            "color": "#ffffff" if symbol == "circle" else INK,
            "line": {"color": "#1d2125" if symbol == "circle" else INK, "width": 1},
        },
        hoverinfo="skip",
    )


def metric_axis(metric: Metric, measured: str = "validation") -> str:
    """ "Validation accuracy (%)"."""
    return with_unit(f"{measured.capitalize()} {metric.label}", metric)


def digits(metric: Metric) -> str:
    """The number format of a metric for Plotly (d3-format)."""
    return ".1f" if metric.is_proportion else ".3f"
