"""The commands `search backbones`: which there are, the blocks of one, and guided-diffusion checkpoints converted."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashboards.formatting import gmacs
from spaces import Architecture, SearchError

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="List backbones, show one's blocks, convert a guided-diffusion checkpoint.")


class AttentionOrder(StrEnum):
    LEGACY = "legacy"
    NEW = "new"


@app.callback(invoke_without_command=True)
def backbones(context: typer.Context) -> None:
    """List the kinds of backbone and the known names."""
    from search.display.text import print_table

    if context.invoked_subcommand is not None:
        return
    from rich.table import Column, Table

    from objectives.backbones.catalog import BACKBONES, NETWORK_KINDS

    table = Table(Column("name", no_wrap=True), "what it is", "from")
    for name, known in BACKBONES.items():
        table.add_row(name, known.words, known.source)
    print_table(table)
    typer.echo(f"\nor a local folder, or a hub id owner/model, that holds one of: {', '.join(NETWORK_KINDS)}")
    typer.echo("`search backbones show NAME` prints the blocks of one")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A known name, a folder, or a hub id owner/model.")],
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE.html", help="Draw the blocks into this file as well.")
    ] = None,
) -> None:
    """Print the block table of a backbone, with what each block costs."""
    from objectives.backbones.catalog import architecture_named
    from search.display.text import print_table

    architecture = architecture_named(name)
    typer.echo(summary(architecture))
    print_table(block_table(architecture))
    if figure is not None:
        from dashboards.backbone_figure import backbone_figure

        try:
            backbone_figure(architecture).write_html(figure, include_plotlyjs=True, config={"displayModeBar": False})
        except OSError as error:
            raise SearchError(f"the figure cannot be written to {figure}: {error.strerror}") from None
        typer.echo(str(figure))


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="A guided-diffusion checkpoint, .pt or .safetensors.")],
    config: Annotated[
        Path, typer.Option("--config", metavar="JSON", help="Its settings, by guided-diffusion's flag names.")
    ],
    attention_order: Annotated[
        AttentionOrder,
        typer.Option(
            "--attention-order",
            help="Of the rows of its qkv weights, which no checkpoint says: new for guided-diffusion's 64x64 model and "
            "whatever was trained with use_new_attention_order, legacy for the rest.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The diffusers folder to make.")],
) -> None:
    """Convert a guided-diffusion (ADM) checkpoint to a folder that diffusers and --backbone open."""
    from objectives.backbones.adm import convert as convert_checkpoint
    from objectives.backbones.adm_settings import read_settings

    convert_checkpoint(file, read_settings(config), attention_order.value, out)
    typer.echo(f"{out}: use it as `search run --backbone {out}`")


def summary(architecture: Architecture) -> str:
    """What the whole network is, in a line."""
    schedule = "no noise, no timestep"
    if architecture.noised:
        low, high = (architecture.sigma(t) for t in (0, len(architecture.alphas_cumprod) - 1))
        schedule = (
            f"predicts {architecture.prediction} at {len(architecture.alphas_cumprod):,} timesteps, "
            f"noise over signal {low:.2g} to {high:.3g}"
        )
    side, blocks = architecture.image_side, architecture.blocks
    return (
        f"{architecture.name}: images {side}x{side}, {len(blocks)} blocks, {gmacs(blocks[-1].cumulative_gmacs)} GMAC "
        f"an image to the last; {schedule}"
    )


def block_table(architecture: Architecture) -> "Table":
    """One row a block: what comes out, its cost, and the cost of a pass that stops there."""
    from rich.table import Column, Table

    right = ("block", "channels", "side", "GMAC", "GMAC from input", "share")
    columns = [Column(name, justify="right") for name in right]
    table = Table(columns[0], "part", *columns[1:], Column("module", no_wrap=True))
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
