"""The skeleton of every report page: sections with tables, figures and pictures, written to a file atomically."""

import errno
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from dashboards.formatting import ABBREVIATIONS, amount, duration, interval
from objectives.atomic_write import replacing
from objectives.results import Picture
from spaces import Architecture, SearchError, Setting, UsageError
from spaces.errors import shown
from spaces.text import one_line

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""The Content Security Policy of a page: it loads nothing from any network."""

STYLE_SHEETS = ("page.css", "answer.css")
"""The files of the style that all pages share."""

CODE = re.compile(r"`([^`\n]+)`")

FEATURE_COLUMNS = ("Block", "Timestep", "Pool")
# Columns of words, aligned left. All other columns hold numbers and are aligned right.
WORDS = frozenset(
    {
        *("Metric", "True class", "Predicted", "Image", "Class", "Head", "Phase", "Stage", "Reason", "Tied", "Seeds"),
        *("Trials", "Fact", "Value", "Choice", "Source", "Split of ours", "Dataset", "Backbone", "Study", "Past task"),
        *("Best setting of", "Not given", "Verdict", "State", "Most often taken for"),
    }
)


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as printed text. The first column is the heading of its row.

    chosen: the index of the row to highlight. interactive: whether a page lets its reader sort and filter the rows.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    chosen: int | None = None
    interactive: bool = False

    @property
    def explained(self) -> str:
        """The caption, and what the abbreviated options of heads mean: "lr: learning rate, w: width"."""
        heads = [row[self.columns.index("Head")] for row in self.rows] if "Head" in self.columns else []
        used = [name for name, short in ABBREVIATIONS.items() if any(f", {short} " in head for head in heads)]
        meanings = ", ".join(f"{ABBREVIATIONS[name]}: {name.replace('_', ' ')}" for name in used)
        return f"{self.caption}. {meanings}" if meanings else self.caption


@dataclass(frozen=True, slots=True)
class Grid:
    """Counts of rows against columns of the same things, such as a confusion matrix.

    names: of the rows. The columns bear them too if all are short, else their numbers, from 1. counts: row by row, with
    as many columns as there are names, or one more. last: the heading of that further column. shades: of the cells, in
    [0, 1]; 0 is not shaded.
    """

    caption: str
    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    shades: tuple[tuple[float, ...], ...]
    last: str = ""

    @property
    def numbered(self) -> bool:
        """Whether the columns bear numbers."""
        return max(map(len, self.names)) > 3


@dataclass(frozen=True, slots=True)
class PictureRow:
    """Pictures side by side, each with its caption. side_by_side: how many stay together where a line ends."""

    title: str
    pictures: tuple[tuple[Picture, str], ...]
    side_by_side: int = 1


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of evidence. The table is open if there is no figure and no picture, else folded under them."""

    id: str
    title: str
    sentences: tuple[str, ...]
    figure: go.Figure | None = None
    table: Table | None = None
    picture_rows: tuple[PictureRow, ...] = ()
    grid: Grid | None = None

    @property
    def drawing(self) -> dict[str, Any] | None:
        """The figure as plotly.js reads it: data and layout."""
        return None if self.figure is None else json.loads(self.figure.to_json())


def render_page(template: str, sections: Sequence[Section], **facts: Any) -> str:
    """Fill a template that extends page.html, and return HTML.

    Every name from the data is escaped. Control characters and invisible ones are shown as `spaces.text.one_line`
    spells them.
    """
    environment = page_environment()
    plotly_js = Markup(get_plotlyjs())  # noqa: S704 - plotly's own bundle: the only text that is not escaped
    return environment.get_template(template).render(sections=sections, plotly_js=plotly_js, **facts)


def page_environment(*folders: BaseLoader) -> Environment:
    """Return what fills the templates of pages: the filters of all pages, and every value escaped.

    folders: of further templates, which are looked up before those of the reports.
    """
    environment = Environment(
        loader=ChoiceLoader([*folders, PackageLoader("dashboards.page", "templates")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_spelled,
    )
    environment.globals.update(words=WORDS, policy=POLICY, amount=amount, interval=interval, duration=duration)
    environment.filters["base64"] = lambda content: b64encode(content).decode()
    environment.filters["breakable"] = _breakable
    environment.filters["lines"] = _lines
    environment.filters["options"] = _options
    environment.filters["prose"] = _prose
    return environment


def style_sheet() -> str:
    """Return the style of all pages, as CSS."""
    return "\n".join(files("dashboards.page").joinpath("templates", name).read_text() for name in STYLE_SHEETS)


def _spelled(value: object) -> object:
    """Spell every control character of a value that a template prints. Text that is marked is ready."""
    return value if isinstance(value, Markup) else one_line(str(value))


def _lines(code: str | Sequence[str]) -> Markup:
    """Lines of code or of commands, each spelled by itself."""
    lines = code.split("\n") if isinstance(code, str) else code
    return Markup("\n").join(map(one_line, lines))


def _breakable(text: str) -> Markup:
    """Text in which a long name with underscores may break into lines after each of them."""
    return escape(one_line(text)).replace("_", Markup("_<wbr>"))


def _options(head: str) -> Markup:
    """A head and its options, such as "mlp, lr 1e-3", which break into lines only between them."""
    return Markup(", ").join(Markup("<span>{}</span>").format(option) for option in one_line(head).split(", "))


def _prose(text: str) -> Markup:
    """Sentences whose `commands` in backticks are set as code."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(one_line(text)))))  # noqa: S704 - escaped before


def check_file(path: Path, suffixes: Sequence[str] = ()) -> None:
    """Raise UsageError for a folder, in whose place no report can be written, and for a suffix of another format.

    suffixes: those of the formats; empty for any. A name without a suffix has none to refuse.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffixes and suffix and suffix not in suffixes:
        known = ", ".join(f".{name}" for name in suffixes)
        raise UsageError(f"`out` must end with {known}, got {shown(path.name)}, whose format is not known")
    if path.is_dir():
        raise UsageError(f"`out` takes a file, got the folder {path}; add a name such as {path / 'report.html'}")


def write(page: str, path: Path) -> Path:
    """Write a page atomically and return `path`. Raises SearchError if it cannot be written."""
    check_file(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(page.encode("utf-8", "backslashreplace"))  # a byte that is no text is written as \udcff
    except OSError as error:
        reason = error.strerror or error
        remedy = "free space, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise SearchError(
            f"cannot write the report to {path}: {reason}; {remedy}choose another file with `out` or another `home`"
        ) from None
    return path


def feature_cells(setting: Setting) -> tuple[str, ...]:
    """The cells of `FEATURE_COLUMNS`."""
    blocks = " + ".join(str(tap.block) for tap in setting.taps)
    timesteps = "none" if setting.timestep is None else " + ".join(str(tap.timestep) for tap in setting.taps)
    return blocks, timesteps, str(setting.pool)


def python_code(setting: Setting, architecture: Architecture, dataset: str, options: Mapping[str, Any]) -> str:
    """Python lines that read a setting's features of a dataset. options: keywords of `search.features`."""
    keywords = "".join(f", {name}={value!r}" for name, value in options.items())
    return "\n".join(
        [
            "import search",
            "",
            f"setting = search.Setting.from_dict({setting.to_dict()})",
            f"X, y, names, splits = search.features({dataset!r}, setting=setting{keywords})",
            _meaning(setting, architecture),
        ]
    )


def study_python_code(setting: Setting, architecture: Architecture, study: str, options: Mapping[str, Any]) -> str:
    """Python lines that read the features of a study at a setting, as the study itself read them.

    study: its name. options: keywords of `search.load_study`.
    """
    keywords = "".join(f", {name}={value!r}" for name, value in options.items())
    return "\n".join(
        [
            "import search",
            "",
            f"setting = search.Setting.from_dict({setting.to_dict()})",
            f"study = search.load_study({study!r}{keywords})",
            "X, y, names, splits = search.features(study, setting=setting)  # exactly those of the search",
            _meaning(setting, architecture),
        ]
    )


def _meaning(setting: Setting, architecture: Architecture) -> str:
    length = sum(architecture.block(tap.block).channels for tap in setting.taps) * setting.pool**2
    return f"# X: float32 (images, {length}), for the {setting.head} head; y indexes names, the classes."
