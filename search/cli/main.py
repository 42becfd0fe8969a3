"""The command line. Heavy things are imported inside the commands, so that `search --help` answers at once."""

import json
import shlex
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from objectives.home import Home
from search.cli import backbones, cache, classifiers, datasets
from search.cli.cache import bytes_of
from search.cli.cka import cka
from search.cli.compare import compare
from search.cli.options import (
    DatasetOption,
    HomeOption,
    StorageOption,
    StudyOption,
    integers,
    objectives_named,
)
from search.cli.recommend import recommend
from search.cli.status import status
from search.reports.study_report import report
from spaces import SearchError

if TYPE_CHECKING:
    from search.database.store import Store

app = typer.Typer(
    help="Find the block, timestep, pooling and head at which a diffusion U-Net's features classify your images best.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(backbones.app, name="backbones")
app.add_typer(datasets.app, name="datasets")
app.add_typer(cache.app, name="cache")


@app.command()
def run(
    dataset: Annotated[str, typer.Option(help="A name from `search datasets`; folder, csv or huggingface: your own.")],
    data_root: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Where the images lie, or a hub id for huggingface; digits and what was fetched need none.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Go on until the study has this many finished trials.")] = 100,
    backbone: Annotated[
        str, typer.Option(help="A name from `search backbones`, a local folder, or a hub id.")
    ] = "bundled",
    space: Annotated[str, typer.Option(help="default, paper, or a TOML file that narrows the default.")] = "default",
    blocks: Annotated[str | None, typer.Option(help="Only these blocks, e.g. 10,13-18.")] = None,
    timesteps: Annotated[str | None, typer.Option(help="Only these timesteps, e.g. 10,50,90.")] = None,
    pools: Annotated[str | None, typer.Option(help="Only these pool sizes, e.g. 1,2,4.")] = None,
    heads: Annotated[str | None, typer.Option(help="Only these heads, e.g. linear,mlp.")] = None,
    draws: Annotated[str | None, typer.Option(help="Noise draws to average over, e.g. 1,4; each costs a pass.")] = None,
    taps: Annotated[
        str | None,
        typer.Option(help="How many pairs of block and timestep a setting may read together, e.g. 1-3. [default: 1]"),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="cost-aware, tpe, greedy, random, grid, qmc or gp. [default: cost-aware; greedy for several taps; tpe "
            "for several objectives]"
        ),
    ] = None,
    warm_start: Annotated[
        bool, typer.Option(help="Screen a new study's settings first, and learn from past studies.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampler, the noise, the split and the heads.")] = 0,
    validation_fraction: Annotated[
        float | None, typer.Option(min=0.05, max=0.5, help="Of the training images. [default: 0.2]")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Validate each image once, in so many folds: for small datasets.")
    ] = None,
    shots: Annotated[
        int | None, typer.Option(min=1, help="Fit heads on this many training images of each class. [default: all]")
    ] = None,
    flips: Annotated[
        bool, typer.Option("--flips", help="Fit heads on mirror images too; each training image costs another pass.")
    ] = False,
    balanced: Annotated[
        bool,
        typer.Option(
            "--balanced", help="Every class weighs the same when heads are fitted, however many images it has."
        ),
    ] = False,
    metric: Annotated[
        str | None,
        typer.Option(help="What is optimised on validation: accuracy, mean-per-class or nll. [default: accuracy]"),
    ] = None,
    objectives: Annotated[
        str | None,
        typer.Option(help="Instead of --metric, e.g. accuracy,cost: the best for each cost, in GMAC an image."),
    ] = None,
    halving: Annotated[
        bool,
        typer.Option("--ladder", help="Try a setting on 1/4 and 1/2 of the images first; stop it there if behind."),
    ] = False,
    finalists: Annotated[int, typer.Option(min=1, help="Settings that are re-evaluated and tested at the end.")] = 3,
    final_seeds: Annotated[int, typer.Option(min=1, help="Seeds for each of them.")] = 5,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time. [default: what the machine has]")
    ] = None,
    gpus_per_trial: Annotated[
        float | None, typer.Option(min=0, help="May be a fraction, e.g. 0.25. [default: 1 / workers of the GPUs]")
    ] = None,
    precision: Annotated[str, typer.Option(help="Of the passes: float32, bfloat16 or float16.")] = "float32",
    skip_unreadable: Annotated[bool, typer.Option(help="Leave out files that are no readable image.")] = False,
    ray_address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A running Ray cluster. [default: a private one]")
    ] = None,
    cache_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="What the cache may take, e.g. 200GB. [default: all the disk has]"),
    ] = None,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Search a dataset's best setting. Typing the same command again continues the study."""
    from rich.console import Console

    from search.run import RunOptions, run_search

    if folds is not None and validation_fraction is not None:
        raise typer.BadParameter("in folds every image validates, got --validation-fraction too; leave one of them out")
    optimised, cost = objectives_named(objectives, metric)
    if cost and halving:
        raise typer.BadParameter(
            "a ladder stops trials by accuracy alone, got --objectives with cost too; leave one out"
        )
    narrowing = {
        "blocks": integers(blocks),
        "timesteps": integers(timesteps),
        "pools": integers(pools),
        "heads": heads.split(",") if heads else None,
        "draws": integers(draws),
        "taps": integers(taps),
    }
    options = RunOptions(
        dataset=dataset,
        data_root=data_root,
        trials=trials,
        backbone=backbone,
        space=space,
        narrowing=narrowing,
        sampler=sampler,
        warm_start=warm_start,
        seed=seed,
        validation_fraction=0.2 if validation_fraction is None else validation_fraction,
        folds=folds,
        shots=shots,
        flips=flips,
        balanced=balanced,
        metric=optimised,
        cost=cost,
        halving=halving,
        finalists=finalists,
        final_seeds=final_seeds,
        workers=workers,
        gpus_per_trial=gpus_per_trial,
        precision=precision,
        skip_unreadable=skip_unreadable,
        ray_address=ray_address,
        home=Home.at(home),
        storage=storage,
        cache_size=bytes_of(cache_size),
        command=shlex.join(["search", *sys.argv[1:]]),
    )
    run_search(options, Console(soft_wrap=True))


@app.command()
def best(
    dataset: DatasetOption = None,
    study: StudyOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Print the best setting that a study has found."""
    from search.reports.answer import answer_lines, answer_of

    with _store(home, storage) as store:
        found = store.read_study(store.find_study(dataset, study))
    if as_json:
        typer.echo(json.dumps(answer_of(found), indent=2))
    else:
        typer.echo("\n".join(answer_lines(found)))


@app.command()
def dashboard(
    dataset: DatasetOption = None,
    study: StudyOption = None,
    host: Annotated[str, typer.Option(help="Who may connect: 127.0.0.1 is this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    browser: Annotated[bool, typer.Option(help="Open it in the browser.")] = True,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Open Optuna Dashboard on the study database, at the list of studies or at the one that is named."""
    from dashboards.server import LOOPBACK, serve
    from search.reports.study_report import page_of

    if host not in LOOPBACK:
        typer.echo(
            f"warning: {host} lets others connect, and Optuna Dashboard has no password; they can delete studies",
            err=True,
        )
    with _store(home, storage) as store:
        named = store.find_study(dataset, study) if dataset or study else None
        path = "" if named is None else f"/dashboard/studies/{store.optuna_id(named)}"

        def listening(address: str) -> None:
            typer.echo(f"Optuna Dashboard at {address}{path}; Ctrl-C ends it")
            if browser:  # in a thread, since a text browser keeps its caller waiting, and must be answered meanwhile
                threading.Thread(target=webbrowser.open, args=(address + path,), daemon=True).start()

        serve(store.optuna, host, port, lambda name: page_of(store, name), listening)


app.command()(status)
app.command()(compare)
app.command()(report)
app.command()(recommend)
app.command()(cka)
app.command()(classifiers.export)
app.command()(classifiers.classify)


def _store(home: Path | None, storage: str | None) -> "Store":
    from search.database.store import Store

    return Store.open(storage or Home.at(home).storage)


def main() -> None:
    """Exit codes: 0 done, 1 an error in words, 2 usage, 130 interrupted."""
    try:
        app()
    except SearchError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
