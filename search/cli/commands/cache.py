"""The commands `search cache`: show what the feature cache contains, verify it, and remove parts of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from objectives.home import Home
from search.cli.flags import HomeOption, JsonOption, parse_size
from search.cli.output import print_json, print_lines

if TYPE_CHECKING:
    from rich.table import Table

    from objectives.features.cache.inventory import Holding
    from objectives.features.cache.quota import CacheUsage
    from search.database.records import StudySummary

app = typer.Typer(help="Show, verify or shrink the feature cache.")


@app.callback(invoke_without_command=True)
def cache(
    context: typer.Context,
    as_json: JsonOption = False,
    home: HomeOption = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", metavar="URL", help="Study database, from which the table names the studies that use each row."
        ),
    ] = None,
) -> None:
    """Show what the feature cache contains, and which studies use it."""
    from search.display.text import print_table

    if context.invoked_subcommand is not None:
        return
    from objectives.features.cache.inventory import holdings

    usage = _usage(home)
    contents = holdings(usage)
    studies = _studies(storage or Home.at(home).storage)
    if as_json:
        rows = [_row(holding, studies) for holding in contents]
        print_json({"folder": usage.folder, "holds": rows})
    elif not contents:
        print_lines(f"the cache in {usage.folder} is empty; `search run` fills it")
    else:
        from objectives.sizes import size_in_words

        print_table(_table(contents, studies))
        print_lines(f"{size_in_words(sum(holding.bytes for holding in contents))} in {usage.folder}")


@app.command()
def verify(home: HomeOption = None) -> None:
    """Verify every shard against its digest, and remove damaged ones.

    A search that needs removed features computes them again.
    """
    from objectives.features.cache.inventory import verify as verify_cache
    from search.display.counter import counted

    Home.at(home).check_writable()
    usage = _usage(home)
    total = sum(entry.name.endswith(".safetensors") for entry in usage.files())
    sound = list(counted(verify_cache(usage), total, "shards"))
    damaged = sound.count(False)
    print_lines(f"{len(sound):,} shards, {damaged:,} damaged" + (" and removed" if damaged else ""))


@app.command()
def prune(
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="SIZE", parser=parse_size, help="Target cache size, e.g. 50GB. 0 empties the cache."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAME", help="Remove only features of this dataset.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed, but remove nothing.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Remove the least valuable features from the cache.

    Features are least valuable if they take much space, are quick to compute again, and have not been read for long.
    Features that a running search uses are never removed. A search that needs removed features computes them again.
    """
    from objectives.sizes import size_in_words

    if to is None and dataset is None:
        raise typer.BadParameter("say what to remove: --to SIZE, --dataset NAME, or both")
    if not dry_run:
        Home.at(home).check_writable()
    usage = _usage(home)
    candidates = usage.least_valuable_first()
    if dataset is not None:
        candidates = usage.of_dataset(candidates, dataset)
    excess = usage.taken() - int(to or 0)
    excess_shards = []
    for candidate in candidates:
        if excess <= 0:
            break
        excess_shards.append(candidate)
        excess -= candidate.bytes
    for candidate in excess_shards if not dry_run else ():
        candidate.shard.path.unlink(missing_ok=True)
    size = size_in_words(sum(candidate.bytes for candidate in excess_shards))
    verb = "would remove" if dry_run else "removed"
    print_lines(f"{verb} {len(excess_shards):,} shards ({size}); the cache takes {size_in_words(usage.taken())} now")


def _usage(home: str | None) -> "CacheUsage":
    from objectives.features.cache.quota import CacheUsage

    return CacheUsage(Home.at(home).cache)


def _studies(storage: str | Path) -> "Sequence[StudySummary]":
    """Return the studies of the database; none where the file does not exist."""
    from search.database.store import Store

    with Store.open(storage, reading=True) as store:
        return store.studies()


def _studies_using(holding: "Holding", studies: "Sequence[StudySummary]") -> list[str]:
    """Return the names of the studies that use these shards."""
    dataset, about = holding.dataset, holding.about
    return [
        study.name
        for study in studies
        if dataset is not None
        and study.dataset_fingerprint == dataset.fingerprint
        and (about is None or (study.weights_digest == about.weights and about.seed in (study.seed, None)))
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
        "studies": _studies_using(holding, studies),
    }


def _noise_text(holding: "Holding") -> str:
    """Return the seed of the noise, or that there is none; nothing for an encoder, which has no timesteps."""
    if holding.about is None or not holding.timesteps:
        return ""
    return ", no noise" if holding.about.seed is None else f", seed {holding.about.seed}"


def _table(contents: "Sequence[Holding]", studies: "Sequence[StudySummary]") -> "Table":
    from rich.table import Column

    from objectives.sizes import size_in_words
    from search.display.text import PlainTable, lines_cell

    right = (Column(name, justify="right") for name in ("timesteps", "passes", "shards", "size"))
    table = PlainTable("content", "dataset", *right, "last used", "studies")
    for holding in contents:
        content = holding.kind
        if holding.about is not None:
            content += f" of {holding.about.backbone}" + _noise_text(holding)
        table.add_row(
            content,
            holding.dataset.name if holding.dataset else "unknown",
            str(len(holding.timesteps) or ""),
            f"{holding.images:,}",
            f"{len(holding.shards):,}",
            size_in_words(holding.bytes),
            "in use" if holding.in_use else f"{holding.used.astimezone():%Y-%m-%d %H:%M}",
            lines_cell(_studies_using(holding, studies)),
        )
    return table
