"""The commands `search backbones`: list them, show the blocks of one, and convert checkpoints."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashboards.formatting import count, gmacs
from objectives.sizes import size_in_words
from search.cli.flags import number_option
from search.cli.output import print_lines
from spaces import Architecture, SearchError, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from objectives.backbones.known import Facts

app = typer.Typer(help="List, show or convert backbones.")


class AttentionOrder(StrEnum):
    """The order of the rows of a checkpoint's qkv weights."""

    LEGACY = "legacy"
    NEW = "new"


class Layout(StrEnum):
    """The code that made a checkpoint, by its publication."""

    ADM = "adm"
    SIT = "sit"
    REPA = "repa"


@app.callback(invoke_without_command=True)
def backbones(context: typer.Context) -> None:
    """List the known backbones, and the kinds of network that you may name by folder or hub id."""
    from search.display.text import PlainTable, print_table

    if context.invoked_subcommand is not None:
        return
    from rich.table import Column

    from objectives.backbones.catalog import BACKBONES, NETWORK_KINDS

    right = (Column(name, justify="right", no_wrap=True) for name in ("side", "weights", "size"))
    table = PlainTable(Column("name", no_wrap=True), "what it is", *right, "licence", Column("from", overflow="fold"))
    for name, backbone in BACKBONES.items():
        table.add_row(name, backbone.words, *facts_cells(backbone.facts), backbone.source)
    print_table(table)
    print_lines(
        "",
        "side: of the images in pixels. weights: of the network alone. size: of the file of its weights; autoencoders",
        "and text encoders come besides. A cell is empty where no source says it.",
        "",
        f"--backbone also takes a local folder or a hub id that contains one of: {', '.join(NETWORK_KINDS)},",
        "or an image encoder of transformers, such as beit, convnextv2, ijepa, swin",
        "`search backbones show NAME` shows the blocks of one backbone",
    )


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A name from `search backbones`, a local folder, or a hub id owner/model."),
    ],
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE.html", help="Also draw the blocks into this file.")
    ] = None,
    image_side: Annotated[
        int | None, number_option(1, "Side of the images in pixels. [default: that of training]", high=4096)
    ] = None,
    taps_inside: Annotated[
        str | None, typer.Option(metavar="LIST", help="Blocks inside each layer of a transformer too, e.g. query,mlp.")
    ] = None,
) -> None:
    """Show the blocks of a backbone and their cost.

    The cost is in GMAC (1e9 multiply-accumulates) an image.
    """
    from objectives.backbones.catalog import architecture_named
    from objectives.backbones.reading import Reading
    from search.display.text import print_table

    inside = [part.strip() for part in taps_inside.split(",")] if taps_inside else []
    architecture = architecture_named(name, Reading(image_side=image_side, taps_inside=inside))
    print_lines(summary(architecture))
    print_table(block_table(architecture))
    if figure is not None:
        from dashboards.backbone_figure import backbone_figure

        try:
            backbone_figure(architecture).write_html(figure, include_plotlyjs=True, config={"displayModeBar": False})
        except OSError as error:
            raise SearchError(f"the figure cannot be written to {figure}: {error.strerror}") from None
        print_lines(str(figure))


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint, .pt or .safetensors.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The diffusers folder to create.")],
    layout: Annotated[
        Layout,
        typer.Option(
            "--layout",
            help="Whose code made the checkpoint; adm is guided-diffusion. SiT and REPA have equal tensors, opposite "
            "times.",
        ),
    ] = Layout.ADM,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="JSON", help="adm: settings of the checkpoint, by guided-diffusion's flags."),
    ] = None,
    attention_order: Annotated[
        AttentionOrder | None,
        typer.Option(
            "--attention-order",
            help="adm: order of the rows of the qkv weights, which the checkpoint does not record. new: the published "
            "64x64 model, and models trained with use_new_attention_order. legacy: all others.",
        ),
    ] = None,
    autoencoder: Annotated[
        Path | None,
        typer.Option(
            "--autoencoder",
            metavar="DIR",
            help="sit, repa: folder of the AutoencoderKL whose latents the network reads.",
        ),
    ] = None,
    heads: Annotated[
        int | None,
        number_option(1, "sit, repa: attention heads of a layer. [default: that of the papers' network of this width]"),
    ] = None,
) -> None:
    """Convert a checkpoint of guided-diffusion (ADM), SiT or REPA.

    The result is a diffusers folder, which --backbone takes.
    """
    if layout is Layout.ADM:
        from objectives.backbones.checkpoints.adm import convert as convert_adm
        from objectives.backbones.checkpoints.adm_settings import read_settings

        if config is None or attention_order is None or autoencoder is not None or heads is not None:
            raise UsageError("a checkpoint of guided-diffusion is converted with `config` and `attention_order` alone")
        convert_adm(file, read_settings(config), attention_order.value, out)
    else:
        from objectives.backbones.checkpoints.sit import convert as convert_sit

        if autoencoder is None or config is not None or attention_order is not None:
            raise UsageError("a checkpoint of SiT or REPA is converted with `autoencoder`, and `heads` if need be")
        convert_sit(file, "sit" if layout is Layout.SIT else "repa", autoencoder, out, heads)
    print_lines(f"{out}: use it as `{shlex.join(['search', 'run', '--backbone', str(out)])}`")


def facts_cells(facts: "Facts") -> tuple[str, str, str, str]:
    """Return side, number of weights, size and licence of a network in words; empty where they are not known."""
    weights = facts.parameters or 0
    return (
        str(facts.side or ""),
        f"{weights / 1e9:.1f} B" if weights >= 1e9 else f"{weights / 1e6:.0f} M" if weights else "",
        size_in_words(facts.bytes) if facts.bytes else "",
        facts.licence or "",
    )


def summary(architecture: Architecture) -> str:
    """Summarise the network in a line: image side, blocks, cost and noise schedule."""
    schedule = "no noise, no timestep"
    if architecture.noised:
        low, high = (architecture.sigma(t) for t in (0, len(architecture.alphas_cumprod) - 1))
        schedule = (
            f"predicts {architecture.prediction} at {count(len(architecture.alphas_cumprod), 'timestep')}, "
            f"noise over signal {low:.2g} to {high:.3g}"
        )
    side, blocks = architecture.image_side, architecture.blocks
    return (
        f"{architecture.name}: images {side}x{side}, {count(len(blocks), 'block')}, "
        f"{gmacs(blocks[-1].cumulative_gmacs)} GMAC an image to the last; {schedule}"
    )


def block_table(architecture: Architecture) -> "Table":
    """Return a table with a row for each block: its output, its cost, and the cost of a pass that stops after it."""
    from rich.table import Column

    from search.display.text import PlainTable

    right = ("block", "channels", "side", "GMAC", "GMAC from input", "share")
    columns = [Column(name, justify="right") for name in right]
    table = PlainTable(columns[0], "part", *columns[1:], Column("module", no_wrap=True))
    whole = architecture.blocks[-1].cumulative_gmacs
    for block in architecture.blocks:
        table.add_row(
            str(block.number),
            block.part,
            str(block.channels),
            str(block.side),
            gmacs(block.gmacs),
            gmacs(block.cumulative_gmacs),
            f"{100 * block.cumulative_gmacs / whole:.1f} %",
            block.name,
        )
    return table
