"""The command `search recommend`: a setting for a new dataset, from a small part of the forward passes."""

from typing import Annotated

import typer

from search.cli.flags import JsonOption, number_option, parse_duration, with_run_options
from search.cli.output import print_aside, print_json, print_left_out, print_lines
from search.options.run_options import RunOptions
from search.options.sets import HELP_OF_IMAGES, SCREENING_OPTIONS


@with_run_options(*SCREENING_OPTIONS, **HELP_OF_IMAGES)
def recommend(
    options: RunOptions,
    passes: Annotated[
        int | None,
        number_option(1, "Limit of forward passes, each of one image at one timestep. [default: a tenth of all]"),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            parser=parse_duration,
            help="Time limit, e.g. 90s, 5m or 1h; a number alone counts seconds. No round after the first starts "
            "unless it would finish in time.",
        ),
    ] = None,
    memory: Annotated[
        bool, typer.Option(help="Learn from past studies and screenings, and keep this screening for later ones.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Recommend a setting from a small part of the forward passes.

    It prints the setting, its expected accuracy, and cheaper settings with the accuracy that they lose.
    """
    from dashboards.screening.sentences import recommendation_lines
    from search.display.counter import counter
    from search.recommendation import recommend as recommending

    seconds = float(budget) if budget is not None else None
    with counter("settings") as update:
        recommendation = recommending.recommend(options, passes, seconds, memory, update)
    results, report = recommendation.results, recommendation.report
    print_left_out(recommendation.left_out)
    for note in recommendation.notes:
        print_aside(f"note: {note}")
    if as_json:
        record = recommending.screening_record(results)
        record |= {"seconds": recommendation.seconds, "report": report, "left_out": recommendation.left_out}
        record |= {"notes": recommendation.notes}
        print_json(record)
    else:
        timesteps, command = recommendation.timesteps, recommendation.command
        print_lines(*recommendation_lines(results, recommendation.architecture, timesteps, command, report))
