"""The command `search try`: tries the settings that a person names."""

from typing import Annotated

import typer

from search.cli.commands.run import process_began
from search.cli.flags import with_run_options
from search.cli.output import print_lines
from search.options.run_options import RunOptions
from search.options.sets import TRY_OPTIONS


@with_run_options(*TRY_OPTIONS)
def try_settings(
    options: RunOptions,
    setting: Annotated[
        list[str],
        typer.Option(
            "--setting",
            metavar="SETTING",
            help="A setting to try, e.g. block=19,timestep=90,pool=4,head=linear. Give the option once for each. A "
            "head's options that are left out have their middle values.",
        ),
    ],
    finals: Annotated[
        bool, typer.Option("--finals", help="Then compare the candidates and test the answer, as `search run` does.")
    ] = False,
) -> None:
    """Try settings of your own choice.

    They belong to the study that `search run` with the same options has. Each is a trial like all others: later
    runs learn from it, and it may become the answer. Nothing else is tried, and nothing is screened or tested. A
    setting that the study has measured already is printed and not tried again. If a run works on the study, that
    run tries them next.
    """
    from rich.console import Console

    from search.display.run_display import RunDisplay
    from search.display.text import print_plain
    from search.events import Event, RunFinished
    from search.running.chosen_settings import chosen_setting, parsed_setting
    from search.study.control import try_settings as run_settings

    console, finished = Console(soft_wrap=True), list[RunFinished]()
    settings = [parsed_setting(text) for text in setting]

    def on_event(event: Event) -> None:
        display(event)
        if isinstance(event, RunFinished):
            finished.append(event)

    try:
        with RunDisplay(console) as display:
            results = run_settings(options, settings, finals, on_event, process_began())
    except KeyboardInterrupt:
        print_lines("interrupted: every finished trial is kept; type the same command again to continue")
        raise
    trials = {trial.setting: trial for trial in results.trials}
    for given in settings:
        if results.space is None:  # a study of a first version
            break
        chosen = chosen_setting(given, results.space)
        trial = trials.get(chosen)
        estimate = trial.estimate(results.metric) if trial is not None else None
        if trial is None:
            words = "waits for the run that works on the study"
        elif estimate is None:
            words = trial.reason or trial.state
        else:
            low, high = results.metric.number(estimate.low), results.metric.number(estimate.high)
            words = f"validation {results.metric.text(estimate.value)}  (95 % interval {low} to {high})"
        print_plain(console, f"{chosen}: {words}")
    print_plain(console, f"report      {finished[0].report}")
