"""What every page has: one skeleton with tables and figures in it, and a file that is whole or not there at all."""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from dashboards.formatting import amount, duration, interval
from dashboards.study.tables import Estimate, Group
from objectives.results import Metric, Picture
from spaces import Architecture, SearchError, Setting

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""Of a page, which asks nothing of any network; see Content Security Policy."""

PLACE_COLUMNS = ("Block", "Timestep", "Pool")
# Columns of words; all others hold numbers and are set flush right.
WORDS = frozenset(
    {
        *("Metric", "True class", "Taken for", "Image", "Class", "Head", "Phase", "Reason", "Part", "Tied", "Seeds"),
        *("Trials", "Fact", "Value", "Choice", "Source", "Of ours", "Dataset", "Backbone", "Study", "Past task"),
        "Best setting of",
    }
)


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as they are printed; the first column heads its row. `chosen` marks a row by its index."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    chosen: int | None = None


@dataclass(frozen=True, slots=True)
class Shelf:
    """Pictures beside each other, each with the words below it."""

    title: str
    pictures: tuple[tuple[Picture, str], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of evidence. `table` stands open where there is neither figure nor picture, else folded under them."""

    id: str
    title: str
    sentences: tuple[str, ...]
    figure: go.Figure | None = None
    table: Table | None = None
    shelves: tuple[Shelf, ...] = ()

    @property
    def drawing(self) -> dict[str, Any] | None:
        """The figure as plotly.js takes it: data and layout."""
        return None if self.figure is None else json.loads(self.figure.to_json())


def rendered(template: str, sections: Sequence[Section], **facts: Any) -> str:
    """A template that extends page.html, as HTML. Every name that comes from the data is escaped."""
    environment = Environment(
        loader=PackageLoader("dashboards.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=WORDS, policy=POLICY, amount=amount, interval=interval, duration=duration)
    environment.filters["base64"] = lambda content: b64encode(content).decode()
    environment.filters["breakable"] = lambda name: escape(name).replace("_", Markup("_<wbr>"))
    plotly_js = Markup(get_plotlyjs())  # plotly's own bundle: the one text that is not escaped
    return environment.get_template(template).render(sections=sections, plotly_js=plotly_js, **facts)


def write(page: str, path: Path) -> Path:
    """Returns `path`, where the page is whole or not there at all. Raises SearchError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(page)
                file.flush()
                temporary.chmod(0o644)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        reason = error.strerror or error
        raise SearchError(f"the report cannot be written to {path}: {reason}; free or name another place") from None
    return path


def group_table(caption: str, first: str, groups: Sequence[Group], counted: str) -> Table:
    """first: what the groups are of. counted: what each value is of."""
    metric = groups[0].best.metric
    return Table(
        caption,
        (first, counted, *(column(name, metric) for name in ("Best", "Median", "Worst"))),
        tuple(
            (
                group.name,
                f"{len(group.values):,}",
                estimated(group.best),
                metric.number(group.median),
                metric.number(group.values[-1]),
            )
            for group in groups
        ),
    )


def placed(setting: Setting) -> tuple[str, ...]:
    """The cells of `PLACE_COLUMNS`."""
    blocks = " + ".join(str(tap.block) for tap in setting.taps)
    timesteps = "none" if setting.timestep is None else " + ".join(str(tap.timestep) for tap in setting.taps)
    return blocks, timesteps, str(setting.pool)


def estimated(estimate: Estimate) -> str:
    """In the unit that the column says."""
    return f"{estimate.metric.number(estimate.value)} ({interval(estimate)})"


def column(name: str, metric: Metric) -> str:
    return f"{name} {metric.unit}".strip()


def shortened(items: Sequence[object], at_most: int) -> str:
    shown = ", ".join(map(str, items[:at_most]))
    return f"{shown} and {len(items) - at_most:,} more" if len(items) > at_most else shown


def python(setting: Setting, architecture: Architecture, backbone: str) -> str:
    """Lines that make a setting's features of one's own images."""
    side = architecture.image_side
    width = sum(architecture.block(tap.block).channels for tap in setting.taps) * setting.pool**2
    noise = "torch.randn_like(inputs)" if architecture.noised else "None"
    reads = [
        f"maps += backbone.taps(inputs, {noise}, timestep={timestep}, blocks={list(blocks)}).values()"
        for timestep, blocks in setting.passes.items()
    ]
    return "\n".join(
        [
            "import torch",
            "from objectives.backbones.catalog import load_backbone",
            "from objectives.features.pooling import pool",
            "",
            f"backbone = load_backbone({backbone!r})",
            f"inputs = backbone.encode(pixels)  # uint8 (n, 3, {side}, {side}), RGB",
            "maps = []",
            *reads,
            f"pooled = torch.cat([pool(each.float(), {setting.pool}) for each in maps], dim=1)",
            f"features = pooled.flatten(1)  # (n, {width}), for the {setting.head} head"
            + (f"; average {setting.draws} draws of noise" if setting.draws > 1 else ""),
        ]
    )
