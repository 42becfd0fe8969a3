"""The report across datasets: their best settings side by side, what each loses on the others, and where to look first
on a new one; as one self-contained page or in other formats."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dashboards import formatting as sentences
from dashboards.cross_dataset import figures as across_figures
from dashboards.cross_dataset import sentences as across_sentences
from dashboards.cross_dataset.advice import Advice, advice_section
from dashboards.cross_dataset.data import across_csv, across_json
from dashboards.cross_dataset.tables import MEASURABLE, Matrix, Regret, Together, by_block, row
from dashboards.formatting import head, points
from dashboards.page.documents import Document, latex, markdown
from dashboards.page.page import PLACE_COLUMNS, Section, Table, estimated, placed, rendered, write


@dataclass(frozen=True)
class Network:
    """The datasets that were searched with one network, at least one. name: tells it from the others. advice: None
    where past tasks say nothing of it."""

    name: str
    matrix: Matrix
    advice: Advice | None = None

    @property
    def compared(self) -> bool:
        """Whether there is another dataset for a setting to lose on."""
        return len(self.matrix.tasks) > 1


@dataclass(frozen=True)
class Comparison:
    """Of all that a study database knows. networks: at least one, that with most datasets first. command: that makes
    the missing trials. datasets: how many in all."""

    networks: tuple[Network, ...]
    datasets: int
    command: str

    @property
    def compared(self) -> tuple[Network, ...]:
        """Those with two datasets or more."""
        return tuple(network for network in self.networks if network.compared)

    @property
    def largest(self) -> Regret | None:
        """The largest loss of all."""
        losses = [network.matrix.known[0] for network in self.compared if network.matrix.known]
        return max(losses, key=lambda cell: cell.loses.value if cell.loses else 0.0, default=None)

    @property
    def together(self) -> Together | None:
        """One setting for all, of the first network where there is one."""
        return next((each for network in self.compared for each in network.matrix.together), None)

    @property
    def lacking(self) -> bool:
        """Whether a cell is missing that can be measured."""
        return any(cell.missing in MEASURABLE for network in self.compared for cell in network.matrix.missing)


def write_comparison(found: Comparison, path: Path, form: str = "html") -> Path:
    """Write the report and return `path`; it is whole or not there at all, and as a page needs no network to be viewed.

    form: one of `FORMATS`. Raises SearchError where it cannot be written.
    """
    return write(FORMATS[form](found), path)


def render(found: Comparison) -> str:
    """The page as HTML. Every name that comes from the data is escaped."""
    return rendered(
        "across.html",
        sections(found),
        title=_title(found),
        largest=found.largest,
        together=found.together,
        told=_told(found),
        commands=_commands(found),
        points=across_sentences.number_and_interval,
        verdict=across_sentences.verdict,
    )


def document(found: Comparison) -> Document:
    """The same as text."""
    facts = []
    if found.largest is not None and found.largest.loses is not None:
        facts.append(("Largest loss", f"{across_sentences.of_regret(found.largest)}."))
    if found.together is not None:
        mean = points(found.together.mean, " points")
        facts.append(("One setting for all", f"the best of {found.together.of} loses {mean} on average"))
    return Document(
        title=f"Across datasets: {_title(found)}",
        lead="What is best on each, and what it loses on the others, of validation accuracy. Intervals are 95 %.",
        facts=tuple(facts),
        told=tuple(_told(found)),
        python="",
        shell="\n".join(_commands(found)),
        sections=tuple(sections(found)),
    )


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "html": render,
    "md": lambda found: markdown(document(found)),
    "json": lambda found: across_json(_named(found)),
    "csv": lambda found: across_csv(_named(found)),
    "latex": lambda found: latex(document(found)),
}
"""As those of a study's report."""


def _named(found: Comparison) -> list[tuple[str, Matrix, Advice | None]]:
    return [(network.name, network.matrix, network.advice) for network in found.networks]


def _title(found: Comparison) -> str:
    return f"{sentences.count(found.datasets, 'dataset')}, {sentences.count(len(found.networks), 'network')}"


def _commands(found: Comparison) -> list[str]:
    """For a shell: what makes the missing trials, and what a new dataset would begin with."""
    advice = next((network.advice for network in found.networks if network.advice), None)
    return [*([found.command] if found.lacking else []), *([advice.command] if advice else [])]


def sections(found: Comparison) -> list[Section]:
    """The evidence. Ids end in the number of the network, where there are several."""
    listed = [_side_by_side(found.networks)]
    for number, network in enumerate(found.networks, 1):
        end = f"-{number}" if len(found.networks) > 1 else ""
        if network.compared:
            listed += [_regrets(network, f"regret{end}"), *_blocks(network, f"blocks{end}")]
        if network.advice is not None:
            listed.append(advice_section(network.advice, network.name, f"new{end}"))
    return [*listed, _studies(found.networks)]


def _told(found: Comparison) -> list[str]:
    """What keeps the numbers above from saying all."""
    if not found.compared:
        alone = "No two of the datasets share a network" if found.datasets > 1 else "There is one dataset so far"
        return [f"{alone}, so nothing can be said of what a setting loses on another; search a second one with it."]
    return [sentence for network in found.compared for sentence in across_sentences.of_missing(network.matrix)]


def _side_by_side(networks: Sequence[Network]) -> Section:
    several = len(networks) > 1
    rows = [(network.name, row(task)) for network in networks for task in network.matrix.tasks]
    table = Table(
        "Accuracy (95 % interval): means over seeds where it was re-evaluated, else one seed and no test",
        ("Dataset", *(["Backbone"] if several else []), *PLACE_COLUMNS, "Head", "Validation %", "Test %", "GMAC"),
        tuple(
            (
                each.task.label,
                *([name] if several else []),
                *placed(each.setting),
                head(each.setting),
                estimated(each.validation) if each.validation else "",
                estimated(each.test) if each.test else "not tested",
                sentences.gmacs(each.gmacs) if each.gmacs is not None else "",
            )
            for name, each in rows
        ),
    )
    told = across_sentences.of_rows([each for _, each in rows])
    return Section("settings", "Best settings side by side", told, table=table)


def _regrets(network: Network, id: str) -> Section:
    found = network.matrix
    means = {each.of: each for each in found.together}
    table = Table(
        "Points of validation accuracy lost to the dataset's own best (95 % interval)",
        ("Best setting of", *found.labels, "Mean of all"),
        tuple(
            (of, *(_cell(found.cells[of, on]) for on in found.labels), points(means[of].mean) if of in means else "")
            for of in found.labels
        ),
        chosen=next((found.labels.index(each.of) for each in found.together), None),
    )
    title = f"What another dataset's best setting loses, with {network.name}"
    return Section(id, title, across_sentences.of_matrix(found), across_figures.regret_figure(found), table)


def _cell(cell: Regret) -> str:
    if cell.loses is None:
        return cell.missing or ""
    return "0" if cell.own else points(cell.loses)


def _blocks(network: Network, id: str) -> list[Section]:
    strips = [(task, strip) for task in network.matrix.tasks if (strip := by_block(task))]
    if not strips:
        return []
    table = Table(
        "Best trial at each block, by validation accuracy (95 % interval)",
        ("Dataset", "Block", "Validation %", "Points behind", "Trial"),
        tuple(
            (task.label, str(at.block), estimated(at.validation), f"{100 * at.loses:.1f}", str(at.trial.number))
            for task, strip in strips
            for at in strip
        ),
    )
    title = f"Which blocks are best where, with {network.name}"
    return [Section(id, title, across_sentences.of_blocks(strips), across_figures.blocks_figure(strips), table)]


def _studies(networks: Sequence[Network]) -> Section:
    rows = [(network.name, row(task)) for network in networks for task in network.matrix.tasks]
    table = Table(
        "The study that stands for each dataset with each network, the one that ran last. Images: test apart",
        ("Dataset", "Backbone", "Study", "Classes", "Images", "Trials finished", "Settings in space", "Other studies"),
        tuple(
            (
                each.task.label,
                name,
                each.task.study.name,
                f"{len(each.task.study.classes):,}",
                f"{each.images:,}",
                f"{each.trials:,}",
                f"{each.task.study.space_size:,}",
                str(each.task.others),
            )
            for name, each in rows
        ),
    )
    return Section("studies", "Studies", (), table=table)
