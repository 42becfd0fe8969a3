"""The command `search recommend`: the setting to use for a new dataset, for the price of a few passes."""

import json
import re
import shlex
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from objectives.home import Home
from search.cli.options import HomeOption, StorageOption, integers
from search.run import RunOptions, check_names, spec_of
from search.scheduling.resources import available_cores
from spaces import Setting
from spaces.errors import UsageError

if TYPE_CHECKING:
    from objectives.probe import ProbeSpec
    from objectives.results import Recommendation
    from spaces import Space

SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def recommend(
    dataset: Annotated[str, typer.Option(help="A name from `search datasets`; folder, csv or huggingface: your own.")],
    data_root: Annotated[
        str | None, typer.Option(metavar="PATH", help="Where the images lie, or a hub id; as for `search run`.")
    ] = None,
    passes: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many, of one image at one timestep. [default: a tenth of all there are]"),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Instead or as well: after the first timesteps begin nothing that ends later, e.g. 5m."
        ),
    ] = None,
    backbone: Annotated[
        str, typer.Option(help="A name from `search backbones`, a local folder, or a hub id.")
    ] = "bundled",
    space: Annotated[str, typer.Option(help="default, paper, or a TOML file that narrows the default.")] = "default",
    blocks: Annotated[str | None, typer.Option(help="Only these blocks, e.g. 10,13-18.")] = None,
    timesteps: Annotated[str | None, typer.Option(help="Only these timesteps, e.g. 10,50,90.")] = None,
    pools: Annotated[str | None, typer.Option(help="Only these pool sizes, e.g. 1,2,4.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise and of which images are screened.")] = 0,
    precision: Annotated[str, typer.Option(help="Of the passes: float32, bfloat16 or float16.")] = "float32",
    skip_unreadable: Annotated[bool, typer.Option(help="Leave out files that are no readable image.")] = False,
    memory: Annotated[
        bool, typer.Option(help="Learn from past studies and screenings, and keep this one for the next.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Screen settings by a few passes in closed form: which to use, how good it will be, what would be cheaper."""
    options = RunOptions(
        dataset=dataset,
        data_root=data_root,
        backbone=backbone,
        space=space,
        narrowing={"blocks": integers(blocks), "timesteps": integers(timesteps), "pools": integers(pools)},
        seed=seed,
        precision=precision,
        skip_unreadable=skip_unreadable,
        home=Home.at(home),
        storage=storage,
        command=shlex.join(["search", *sys.argv[1:]]),
    )
    from search.database.store import Store
    from search.recommendation.screen import screened

    seconds = seconds_of(budget)
    check_names(options)
    since = time.monotonic()
    spec, narrowed, weights_digest = spec_of(options.absolute())
    with Store.open(options.storage or options.home.storage) if memory else nullcontext() as store:
        found = screened(spec, narrowed, weights_digest, store, available_cores(), passes, seconds)
    took = time.monotonic() - since
    page = write_page(found, spec, narrowed, took, options)
    if as_json:
        typer.echo(json.dumps(answer_of(found) | {"seconds": took, "report": str(page)}, indent=2))
    else:
        from dashboards.formatting import of_recommendation

        typer.echo("\n".join([*of_recommendation(found, narrowed.architecture), f"report      {page}"]))


def seconds_of(text: str | None) -> float | None:
    """`5m` → 300, `90s` or `90` → 90, `1.5h` → 5400. Raises UsageError for what is no time."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip().lower())
    if found is None or float(found[1]) <= 0:
        raise UsageError(f"a time is a number and s, m or h, such as 90s or 5m, got {text!r}")
    return float(found[1]) * SECONDS[found[2]]


def write_page(found: "Recommendation", spec: "ProbeSpec", space: "Space", took: float, options: RunOptions) -> Any:
    """The report, in the home folder."""
    from dashboards.screening.report import About, write_recommendation

    about = About(
        dataset=spec.dataset.name,
        backbone=options.backbone,
        architecture=space.architecture,
        classes=spec.dataset.classes,
        timesteps=len(space.timesteps),
        seconds=took,
        command=run_command(options),
        facts={
            "Dataset fingerprint": spec.dataset.fingerprint,
            "Seed": str(options.seed),
            "Precision": options.precision,
            "Command": options.command,
        },
    )
    name = f"{options.dataset}-{spec.dataset.fingerprint[:8]}-recommendation.html"
    return write_recommendation(found, about, options.home.reports / name)


def run_command(options: RunOptions) -> str:
    """To search on."""
    words = ["search", "run", "--dataset", options.dataset]
    words += ["--data-root", str(options.data_root)] if options.data_root is not None else []
    words += ["--backbone", options.backbone] if options.backbone != "bundled" else []
    return shlex.join(words)


def answer_of(found: "Recommendation") -> dict[str, Any]:
    """JSON-ready. setting: null where none is better than chance."""
    return {
        "setting": _place(found.best.setting) if found.better_than_chance else None,
        "better_than_chance": found.better_than_chance,
        "chance": found.chance,
        "accuracy": found.best.accuracy.value,
        "interval": list(found.interval),
        "images": found.best.accuracy.total,
        "passes": found.passes,
        "learnt": [asdict(learnt) for learnt in found.past_tasks],
        "tied": [_place(score.setting) for score in found.tied],
        "cheaper": [
            {
                "setting": _place(other.screened.setting),
                "cost": other.cost,
                "loses": other.accuracy_loss.value,
                "interval": [other.accuracy_loss.low, other.accuracy_loss.high],
            }
            for other in found.cheaper
        ],
    }


def _place(setting: Setting) -> dict[str, Any]:
    """What of a setting does not depend on the head."""
    return {name: value for name, value in setting.to_dict().items() if name != "head"}
