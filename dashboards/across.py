"""One self-contained HTML page across datasets: their best settings side by side, what each loses on the others, and
where to look first on a new one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dashboards import across_figures, across_sentences, sentences
from dashboards.advice import Advice, advice_section
from dashboards.pages import PLACE_COLUMNS, Section, Table, estimated, placed, rendered, write
from dashboards.regret import MEASURABLE, Matrix, Regret, Together, by_block, row
from dashboards.sentences import head, points


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


def write_comparison(found: Comparison, path: Path) -> Path:
    """Write the page and return `path`; it is whole or not there at all, and needs no network to be viewed.

    Raises SearchError where it cannot be written.
    """
    return write(render(found), path)


def render(found: Comparison) -> str:
    """The page as HTML. Every name that comes from the data is escaped."""
    advice = next((network.advice for network in found.networks if network.advice), None)
    commands = [*([found.command] if found.lacking else []), *([advice.command] if advice else [])]
    return rendered(
        "across.html",
        sections(found),
        found=found,
        networks=sentences.count(len(found.networks), "network"),
        datasets=sentences.count(found.datasets, "dataset"),
        largest=found.largest,
        together=found.together,
        told=_told(found),
        commands=commands,
        points=across_sentences.number_and_interval,
        verdict=across_sentences.verdict,
    )


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
