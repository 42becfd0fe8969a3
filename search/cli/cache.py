"""The commands `search cache`: what lies in the feature cache and whose it is, whether it is sound, and less of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from objectives.home import Home
from search.cli.flags import HomeOption, parse_size

if TYPE_CHECKING:
    from rich.table import Table

    from objectives.features.inventory import Holding
    from objectives.features.quota import CacheUsage
    from search.database.records import StudySummary

app = typer.Typer(help="Show what the feature cache holds, check it, remove from it.")


@app.callback(invoke_without_command=True)
def cache(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
    home: HomeOption = None,
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URL", help="Study database, to name the studies that use each part."),
    ] = None,
) -> None:
    """Show what the feature cache holds, and which studies read it."""
    from search.display.text import print_table

    if context.invoked_subcommand is not None:
        return
    from objectives.features.inventory import holdings

    usage = _usage(home)
    held = holdings(usage)
    studies = _studies(storage or Home.at(home).storage, named=storage is not None)
    if as_json:
        typer.echo(json.dumps({"folder": str(usage.folder), "holds": [_row(each, studies) for each in held]}, indent=2))
    elif not held:
        typer.echo(f"the cache in {usage.folder} is empty; `search run` fills it")
    else:
        from objectives.sizes import size_in_words

        print_table(_table(held, studies))
        typer.echo(f"{size_in_words(sum(each.bytes for each in held))} in {usage.folder}")


@app.command()
def verify(home: HomeOption = None) -> None:
    """Read every shard and compare it with its digest; a damaged one is removed, and made again when it is wanted."""
    from objectives.features.inventory import verify as verify_cache
    from search.display.counter import counted

    usage = _usage(home)
    total = sum(entry.name.endswith(".safetensors") for entry in usage.files())
    sound = list(counted(verify_cache(usage), total, "shards"))
    damaged = sound.count(False)
    typer.echo(f"{len(sound):,} shards, {damaged:,} damaged" + (" and removed" if damaged else ""))


@app.command()
def prune(
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="SIZE", parser=parse_size, help="Target cache size, e.g. 50GB. 0 empties the cache."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAME", help="Only what belongs to this dataset.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    home: HomeOption = None,
) -> None:
    """Remove features, those first that are worth least: quickly made again for their size, and long unread.

    What a run at work reads stays. Anything that is removed is made again when it is wanted.
    """
    from objectives.sizes import size_in_words

    if to is None and dataset is None:
        raise typer.BadParameter("name what to remove: --to SIZE, --dataset NAME, or both")
    usage = _usage(home)
    chosen = usage.least_valuable_first()
    if dataset is not None:
        chosen = usage.of_dataset(chosen, dataset)
    excess = usage.taken() - int(to or 0)
    going = []
    for valued in chosen:
        if excess <= 0:
            break
        going.append(valued)
        excess -= valued.bytes
    for valued in going if not dry_run else ():
        valued.shard.path.unlink(missing_ok=True)
    typer.echo(
        f"{len(going):,} shards, {size_in_words(sum(valued.bytes for valued in going))}, "
        f"{'would go' if dry_run else 'removed'}; {size_in_words(usage.taken())} {'are there' if dry_run else 'stay'}"
    )


def _usage(home: Path | None) -> "CacheUsage":
    from objectives.features.quota import CacheUsage

    return CacheUsage(Home.at(home).cache)


def _studies(url: str, named: bool) -> "Sequence[StudySummary]":
    """Return the studies of the database. None is created: without a database there are no studies."""
    from search.database.store import Store
    from search.database.url import Address

    file = Address(url).file
    if not named and (file is None or not file.exists()):
        return []
    with Store.open(url) as store:
        return store.studies()


def _of(holding: "Holding", studies: "Sequence[StudySummary]") -> list[str]:
    """The studies that read these shards."""
    dataset, about = holding.dataset, holding.about
    return [
        study.name
        for study in studies
        if dataset is not None
        and study.dataset_fingerprint == dataset.fingerprint
        and (about is None or (study.weights_digest, study.seed) == (about.weights, about.seed))
    ]


def _row(holding: "Holding", studies: "Sequence[StudySummary]") -> dict[str, Any]:
    return {
        "kind": holding.kind,
        "backbone": holding.about and holding.about.backbone,
        "seed": holding.about and holding.about.seed,
        "dataset": holding.dataset and holding.dataset.name,
        "timesteps": holding.timesteps,
        "passes": holding.images,
        "shards": len(holding.shards),
        "bytes": holding.bytes,
        "used": holding.used.isoformat(),
        "in_use": holding.in_use,
        "studies": _of(holding, studies),
    }


def _table(held: "Sequence[Holding]", studies: "Sequence[StudySummary]") -> "Table":
    from rich.markup import escape
    from rich.table import Column, Table

    from objectives.sizes import size_in_words

    right = (Column(name, justify="right") for name in ("timesteps", "passes", "shards", "size"))
    table = Table("what", "dataset", *right, "last used", "studies")
    for each in held:
        what = each.kind
        if each.about is not None:
            what += f" of {each.about.backbone}" + (f", seed {each.about.seed}" if each.timesteps else "")
        table.add_row(
            escape(what),
            escape(each.dataset.name if each.dataset else "unknown"),
            str(len(each.timesteps) or ""),
            f"{each.images:,}",
            f"{len(each.shards):,}",
            size_in_words(each.bytes),
            "in use" if each.in_use else f"{each.used.astimezone():%Y-%m-%d %H:%M}",
            escape("\n".join(_of(each, studies))),
        )
    return table
