"""The report across datasets: their best settings side by side, what each loses on the others, and where to look first
on a new dataset. It is one self-contained page, or other formats."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dashboards.cross_dataset import figures, sentences
from dashboards.cross_dataset.advice import Advice, advice_section
from dashboards.cross_dataset.data import across_csv, across_json
from dashboards.cross_dataset.tables import (
    MEASURABLE,
    Regret,
    RegretMatrix,
    SharedSetting,
    TaskRow,
    best_by_block,
    task_row,
)
from dashboards.formatting import count, gmacs, head_text, loss_with_interval, number_with_interval, points
from dashboards.page.documents import Document, latex, markdown
from dashboards.page.page import FEATURE_COLUMNS, Section, Table, feature_cells, render_page, write
from dashboards.statistics import verdict
from objectives.results import ACCURACY


@dataclass(frozen=True)
class NetworkResults:
    """The results of one network on the datasets that were searched with it.

    name: distinguishes the network from the others. matrix: what the best setting of each dataset loses on each other
    one; it has at least one dataset. advice: where to look first on a new dataset; None if there are no past tasks.
    """

    name: str
    matrix: RegretMatrix
    advice: Advice | None = None

    @property
    def compared(self) -> bool:
        """Whether there are two datasets or more."""
        return len(self.matrix.tasks) > 1


@dataclass(frozen=True)
class CrossDatasetReport:
    """The results of all studies in a database.

    networks: at least one, the one with most datasets first. datasets: how many in all. command: a shell command that
    runs the missing trials.
    """

    networks: tuple[NetworkResults, ...]
    datasets: int
    command: str

    @property
    def compared(self) -> tuple[NetworkResults, ...]:
        """The networks with two datasets or more."""
        return tuple(network for network in self.networks if network.compared)

    @property
    def largest(self) -> Regret | None:
        """The largest loss of all."""
        losses = [network.matrix.known[0] for network in self.compared if network.matrix.known]
        return max(losses, key=lambda cell: cell.loss.value if cell.loss else 0.0, default=None)

    @property
    def shared_setting(self) -> SharedSetting | None:
        """The best single setting for all datasets, of the first network that has one."""
        return next((shared for network in self.compared for shared in network.matrix.shared_settings), None)

    @property
    def measurable(self) -> bool:
        """Whether a missing cell can be measured."""
        return any(cell.missing in MEASURABLE for network in self.compared for cell in network.matrix.missing)


def write_report(report: CrossDatasetReport, path: Path, form: str = "html") -> Path:
    """Write the report atomically and return `path`. A page needs no network to be viewed.

    form: one of `FORMATS`. Raises SearchError if the file cannot be written.
    """
    return write(FORMATS[form](report), path)


def render(report: CrossDatasetReport) -> str:
    """The page as HTML. Every name from the data is escaped."""
    return render_page(
        "across.html",
        sections(report),
        title=_title(report),
        largest=report.largest,
        shared_setting=report.shared_setting,
        sentences=_limits(report),
        commands=_commands(report),
        points=sentences.number_and_interval,
        verdict=verdict,
    )


def document(report: CrossDatasetReport) -> Document:
    """The same content as text."""
    facts = []
    if report.largest is not None and report.largest.loss is not None:
        facts.append(("Largest loss", f"{sentences.regret_sentence(report.largest)}."))
    if report.shared_setting is not None:
        mean = points(report.shared_setting.mean, " points")
        facts.append(
            ("One setting for all", f"the best setting of {report.shared_setting.best_of} loses {mean} on average")
        )
    return Document(
        title=f"Across datasets: {_title(report)}",
        lead="The best setting of each dataset, and what validation accuracy it loses on the others. "
        "Intervals are 95 %.",
        facts=tuple(facts),
        sentences=tuple(_limits(report)),
        python="",
        shell="\n".join(_commands(report)),
        sections=tuple(sections(report)),
    )


FORMATS: dict[str, Callable[[CrossDatasetReport], str]] = {
    "html": render,
    "md": lambda report: markdown(document(report)),
    "json": lambda report: across_json(_named(report)),
    "csv": lambda report: across_csv(_named(report)),
    "latex": lambda report: latex(document(report)),
}
"""The same formats as for a study's report."""


def _named(report: CrossDatasetReport) -> list[tuple[str, RegretMatrix, Advice | None]]:
    return [(network.name, network.matrix, network.advice) for network in report.networks]


def _title(report: CrossDatasetReport) -> str:
    return f"{count(report.datasets, 'dataset')}, {count(len(report.networks), 'network')}"


def _commands(report: CrossDatasetReport) -> list[str]:
    """Shell commands: one that runs the missing trials, and one to start with a new dataset."""
    advice = next((network.advice for network in report.networks if network.advice), None)
    return [*([report.command] if report.measurable else []), *([advice.command] if advice else [])]


def sections(report: CrossDatasetReport) -> list[Section]:
    """The evidence. Section ids end in the number of the network if there are several."""
    listed = [_side_by_side(report.networks)]
    for number, network in enumerate(report.networks, 1):
        end = f"-{number}" if len(report.networks) > 1 else ""
        if network.compared:
            listed += [_regrets(network, f"regret{end}"), *_blocks(network, f"blocks{end}")]
        if network.advice is not None:
            listed.append(advice_section(network.advice, network.name, f"new{end}"))
    return [*listed, _studies(report.networks)]


def _limits(report: CrossDatasetReport) -> list[str]:
    """Say what the numbers do not cover."""
    if not report.compared:
        reason = "No two datasets share a network" if report.datasets > 1 else "There is only one dataset so far"
        return [f"{reason}, so no loss on another dataset is known; search a second dataset with the same network."]
    return [sentence for network in report.compared for sentence in sentences.missing_sentences(network.matrix)]


def _side_by_side(networks: Sequence[NetworkResults]) -> Section:
    several = len(networks) > 1
    rows = [(network.name, task_row(task)) for network in networks for task in network.matrix.tasks]
    table = Table(
        "Accuracy (95 % interval): means over seeds for re-evaluated settings; otherwise one seed and no test. Loss: "
        "expected, to the best setting that was tried on the dataset",
        (
            "Dataset",
            *(["Backbone"] if several else []),
            *FEATURE_COLUMNS,
            "Head",
            "Validation %",
            "Test %",
            "Loss %",
            "GMAC",
        ),
        tuple(
            (
                row.task.label,
                *([name] if several else []),
                *feature_cells(row.setting),
                head_text(row.setting),
                number_with_interval(row.validation) if row.validation else "",
                _test_text(row),
                loss_with_interval(row.expected_loss, ACCURACY) if row.expected_loss else "",
                gmacs(row.gmacs) if row.gmacs is not None else "",
            )
            for name, row in rows
        ),
    )
    told = sentences.rows_sentences([row for _, row in rows])
    return Section("settings", "Best settings side by side", told, table=table)


def _test_text(row: TaskRow) -> str:
    if row.test is None:
        return "not tested"
    guess = "; no better than chance" if row.better_than_chance is False else ""
    return f"{number_with_interval(row.test)}{guess}"


def _regrets(network: NetworkResults, id: str) -> Section:
    matrix = network.matrix
    shared = {setting.best_of: setting for setting in matrix.shared_settings}
    table = Table(
        "Loss of validation accuracy against the dataset's own best setting, in points (95 % interval)",
        ("Best setting of", *matrix.labels, "Mean of all"),
        tuple(
            (
                source,
                *(_cell_text(matrix.cells[source, target]) for target in matrix.labels),
                points(shared[source].mean) if source in shared else "",
            )
            for source in matrix.labels
        ),
        chosen=next((matrix.labels.index(source) for source in shared), None),
    )
    title = f"Loss of another dataset's best setting, with {network.name}"
    return Section(id, title, sentences.matrix_sentences(matrix), figures.regret_figure(matrix), table)


def _cell_text(cell: Regret) -> str:
    if cell.loss is None:
        return cell.missing or ""
    return "0" if cell.is_own else points(cell.loss)


def _blocks(network: NetworkResults, id: str) -> list[Section]:
    strips = [(task, strip) for task in network.matrix.tasks if (strip := best_by_block(task))]
    if not strips:
        return []
    table = Table(
        "Best trial at each block, by validation accuracy (95 % interval)",
        ("Dataset", "Block", "Validation %", "Points behind", "Trial"),
        tuple(
            (
                task.label,
                str(best.block),
                number_with_interval(best.validation),
                f"{100 * best.loss:.1f}",
                str(best.trial.number),
            )
            for task, strip in strips
            for best in strip
        ),
    )
    title = f"Best blocks of each dataset, with {network.name}"
    return [Section(id, title, sentences.blocks_sentences(strips), figures.best_blocks_figure(strips), table)]


def _studies(networks: Sequence[NetworkResults]) -> Section:
    rows = [(network.name, task_row(task)) for network in networks for task in network.matrix.tasks]
    table = Table(
        "The study that represents each dataset and network: a tested one with most finished trials. Images: without "
        "the test split",
        ("Dataset", "Backbone", "Study", "Classes", "Images", "Trials finished", "Settings in space", "Other studies"),
        tuple(
            (
                row.task.label,
                name,
                row.task.study.name,
                f"{len(row.task.study.classes):,}",
                f"{row.images:,}",
                f"{row.trials:,}",
                f"{row.task.study.space_size:,}",
                str(row.task.others),
            )
            for name, row in rows
        ),
    )
    return Section("studies", "Studies", (), table=table)
