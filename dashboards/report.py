"""One self-contained HTML page about a study: the answer, how to use it, and the evidence."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from dashboards import figures, scores, sentences, summaries
from dashboards.sentences import amount, duration, head, interval, title, with_interval
from dashboards.summaries import Answer, Estimate, Group
from objectives.results import ACCURACY, Metric, Study
from spaces import SearchError, Setting

CLASSES_SHOWN = 24
TRIALS_SHOWN = 20
SETTING_COLUMNS = ("Block", "Timestep", "Pool", "Head")
# Columns of words; all others hold numbers and are set flush right.
WORDS = frozenset(
    {"Metric", "True class", "Taken for", "Head", "Phase", "Reason", "Part", "Tied", "Seeds", "Trials", "Fact", "Value"}
)


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as they are printed; the first column heads its row. `chosen` marks a row by its index."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    chosen: int | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of evidence. `table` stands open where there is no figure, else folded under it."""

    id: str
    title: str
    sentences: tuple[str, ...]
    figure: go.Figure | None = None
    table: Table | None = None

    @property
    def drawing(self) -> dict[str, Any] | None:
        """The figure as plotly.js takes it: data and layout."""
        return None if self.figure is None else json.loads(self.figure.to_json())


def write_report(study: Study, path: Path) -> Path:
    """Write the page and return `path`; it is whole or not there at all, and needs no network to be viewed.

    Raises SearchError where it cannot be written.
    """
    page = render(study)
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


def render(study: Study) -> str:
    """The page as HTML. Every name that comes from the data is escaped."""
    environment = Environment(
        loader=PackageLoader("dashboards", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found = summaries.answer(study)
    # Top-1 accuracy is told beside any other metric: it is what most people ask for.
    accuracy = next((row for row in scores.scores(study) if row.metric == ACCURACY), None)
    return environment.get_template("report.html").render(
        study=study,
        answer=found,
        metric=study.metric.words,
        accuracy=None if study.metric == ACCURACY else accuracy,
        blocks=[study.architecture.block(tap.block) for tap in found.setting.taps] if found else [],
        confidence=sentences.of_answer(found, len(study.complete)) if found else None,
        trials=sentences.of_trials(summaries.trial_counts(study)),
        commands=_commands(study, found is not None),
        python=_python(study, found) if found else None,
        sections=_sections(study),
        words=WORDS,
        amount=amount,
        interval=interval,
        duration=duration,
        plotly_js=Markup(get_plotlyjs()),  # plotly's own bundle: the one text that is not escaped
    )


def _sections(study: Study) -> list[Section]:
    sections = [_finalists(study)] if study.finals else []
    if len(scores.scores(study)) > 1:
        sections.append(_scores(study))
    if scores.confusions(study):
        sections.append(_confusions(study))
    if study.complete:
        sections += [_leaderboard(study), *_blocks_and_timesteps(study), *_groups(study), _history(study)]
    if summaries.time_by_phase(study):
        sections.append(_time(study))
    if summaries.failures(study):
        sections.append(_failures(study))
    return [*sections, _provenance(study)]


def _finalists(study: Study) -> Section:
    rows, metric = summaries.finalists(study), study.metric
    table = Table(
        f"{title(metric)}: means over seeds (95 % interval). Test: refitted on train and validation images. "
        "Tied: with the first",
        ("Rank", _column("Validation", metric), _column("Test", metric), *SETTING_COLUMNS, "Seeds", "Tied"),
        tuple(
            (
                str(rank),
                _estimate(row.validation),
                _estimate(row.test),
                *_setting(row.setting),
                str(len(row.seeds)),
                "chosen" if rank == 1 else "yes" if row.tied else "no",
            )
            for rank, row in enumerate(rows, start=1)
        ),
        chosen=0,
    )
    return Section("finalists", "Finalists", (sentences.of_finalists(rows),), table=table)


def _scores(study: Study) -> Section:
    rows, final = scores.scores(study), bool(study.finalists)
    of = "means over seeds" if final else "one seed"
    table = Table(
        f"The answer by every metric, {of} (95 % interval)",
        ("Metric", "Validation", *(["Test"] if final else [])),
        tuple(
            (
                title(row.metric),
                *(_or_none(each) for each in ((row.validation, row.test) if final else (row.validation,))),
            )
            for row in rows
        ),
        chosen=next((place for place, row in enumerate(rows) if row.metric == study.metric), None),
    )
    return Section("scores", "The answer by other metrics", (sentences.of_scores(study.metric),), table=table)


def _or_none(estimate: Estimate | None) -> str:
    return with_interval(estimate) if estimate else "not kept"


def _confusions(study: Study) -> Section:
    found = scores.confusions(study)
    assert found is not None
    table = Table(
        "The answer's most frequent mistakes on validation images, all seeds together",
        ("True class", "Taken for", "Images"),
        tuple((row.true, row.predicted, f"{row.images:,}") for row in found.rows),
    )
    return Section("confusions", "What it confuses", (sentences.of_confusions(found),), table=table)


def _leaderboard(study: Study) -> Section:
    board = summaries.leaderboard(study)
    found = summaries.answer(study)
    numbers = [row.trial for row in board.rows]
    table = Table(
        f"Best trials by validation {study.metric.words} (95 % interval), one seed each",
        ("Rank", _column("Validation", study.metric), *SETTING_COLUMNS, "Trial", "Seconds", "Passes made"),
        tuple(
            (
                str(row.rank),
                _estimate(row.validation),
                *_setting(row.setting),
                str(row.trial),
                f"{row.seconds:.1f}",
                f"{row.passes_made:,}",
            )
            for row in board.rows
        ),
        chosen=numbers.index(found.trial) if found and found.trial in numbers else None,
    )
    return Section("leaderboard", "Leaderboard", (sentences.of_leaderboard(board),), table=table)


def _blocks_and_timesteps(study: Study) -> list[Section]:
    table = summaries.block_by_timestep(study)
    if not table.cells:
        return []
    told = "Each cell is its best trial; an empty cell was not tried."
    if len(summaries.by_taps(study)) > 1:
        told += " Trials that read several taps are in no cell."
    return [
        Section(
            "blocks",
            f"{title(study.metric)} by block and timestep",
            (sentences.of_blocks_and_timesteps(table), told),
            figures.block_by_timestep_figure(table),
        )
    ]


def _groups(study: Study) -> list[Section]:
    pools, heads, metric = summaries.by_pooling(study), summaries.by_head(study), study.metric
    measured, taps = f"Validation {metric.words} (95 % interval)", summaries.by_taps(study)
    several = Section(
        "taps",
        f"{title(metric)} by number of taps",
        (sentences.of_taps(taps), "A tap is a block at a timestep; each timestep costs a pass of its own."),
        figures.groups_figure("Taps", taps),
        _group_table(f"{measured} by number of taps", "Taps", taps),
    )
    return [
        *([several] if len(taps) > 1 else []),
        Section(
            "pooling",
            f"{title(metric)} by pooling",
            (sentences.of_groups("Pool", pools),),
            figures.groups_figure("Pool size", pools),
            _group_table(f"{measured} by pool size, the side of the pooled grid", "Pool", pools),
        ),
        Section(
            "heads",
            f"{title(metric)} by head",
            (sentences.of_groups("Head", heads),),
            figures.groups_figure("Head", heads),
            _group_table(f"{measured} by head", "Head", heads),
        ),
    ]


def _group_table(caption: str, first: str, groups: Sequence[Group]) -> Table:
    metric = groups[0].best.metric
    return Table(
        caption,
        (first, "Complete trials", *(_column(name, metric) for name in ("Best", "Median", "Worst"))),
        tuple(
            (
                group.name,
                f"{len(group.values):,}",
                _estimate(group.best),
                metric.number(group.median),
                metric.number(group.values[-1]),
            )
            for group in groups
        ),
    )


def _history(study: Study) -> Section:
    points = summaries.history(study)
    return Section("history", "History", (sentences.of_history(points),), figures.history_figure(points))


def _time(study: Study) -> Section:
    phases, passes = summaries.time_by_phase(study), summaries.passes(study)
    table = Table(
        "Seconds of work by phase, summed over trials and workers",
        ("Phase", "Seconds", "Share %"),
        tuple((sentences.phase(row.name), f"{row.seconds:,.1f}", f"{100 * row.share:.1f}") for row in phases),
    )
    told = (sentences.of_time(phases), sentences.of_passes(passes))
    return Section("time", "Time and passes", told, figures.time_figure(phases), table)


def _failures(study: Study) -> Section:
    rows = summaries.failures(study)
    table = Table(
        "Failed trials by reason",
        ("Reason", "Count", "Trials"),
        tuple((row.reason, f"{len(row.trials):,}", _shortened(row.trials, TRIALS_SHOWN)) for row in rows),
    )
    return Section("failures", "Failures", (sentences.of_trials(summaries.trial_counts(study)) + ".",), table=table)


def _provenance(study: Study) -> Section:
    facts = {
        "Study": study.name,
        "Dataset": study.dataset,
        "Images": sentences.of_images(study.counts, study.folds),
        "Classes": f"{len(study.classes):,}: {_shortened(study.classes, CLASSES_SHOWN)}",
        "Backbone": f"{study.backbone}, {len(study.architecture.blocks)} blocks",
        "Space": f"{study.preset}, {study.space_size:,} settings",
        "Running time": duration(study.wall_seconds),
        **study.provenance,
    }
    table = Table("What is needed to repeat this study", ("Fact", "Value"), tuple(facts.items()))
    return Section("provenance", "Provenance", (), table=table)


def _setting(setting: Setting) -> tuple[str, ...]:
    blocks = " + ".join(str(tap.block) for tap in setting.taps)
    timesteps = "none" if setting.timestep is None else " + ".join(str(tap.timestep) for tap in setting.taps)
    return blocks, timesteps, str(setting.pool), head(setting)


def _estimate(estimate: Estimate) -> str:
    """In the unit that the column says."""
    return f"{estimate.metric.number(estimate.value)} ({interval(estimate)})"


def _column(name: str, metric: Metric) -> str:
    return f"{name} {metric.unit}".strip()


def _shortened(items: Sequence[object], at_most: int) -> str:
    shown = ", ".join(map(str, items[:at_most]))
    return f"{shown} and {len(items) - at_most:,} more" if len(items) > at_most else shown


def _commands(study: Study, answered: bool) -> list[str]:
    """For a shell: the answer to be used and once more, where there is one, and the search continued."""
    trials = max(200, 2 * len(study.trials))
    words = shlex.split(study.provenance.get("command", "")) or ["search", "run", "--dataset", study.dataset]
    if "--trials" in words[:-1]:
        words[words.index("--trials") + 1] = str(trials)
    else:
        words += ["--trials", str(trials)]
    use = [
        f"search export --study {shlex.quote(study.name)}  # saves its classifier, for `search classify`",
        f"search best --dataset {shlex.quote(study.dataset)} --json  # prints this answer",
    ]
    return [*(use if answered else []), f"{shlex.join(words)}  # searches on until there are {trials} trials"]


def _python(study: Study, found: Answer) -> str:
    """Lines that make the chosen features of one's own images."""
    setting, side = found.setting, study.architecture.image_side
    width = sum(study.architecture.block(tap.block).channels for tap in setting.taps) * setting.pool**2
    noise = "torch.randn_like(inputs)" if study.architecture.noised else "None"
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
            f"backbone = load_backbone({study.backbone!r})",
            f"inputs = backbone.encode(pixels)  # uint8 (n, 3, {side}, {side}), RGB",
            "maps = []",
            *reads,
            f"pooled = torch.cat([pool(each.float(), {setting.pool}) for each in maps], dim=1)",
            f"features = pooled.flatten(1)  # (n, {width}), for the {setting.head} head"
            + (f"; average {setting.draws} draws of noise" if setting.draws > 1 else ""),
        ]
    )
