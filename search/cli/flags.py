"""Makes flags from the fields of `RunOptions`, and defines the flags that several commands share."""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import wraps
from typing import Annotated, Any, get_args, get_type_hints

import typer

from search.option import MOST, Notation, OptionInfo, option_info
from search.options import RunOptions
from spaces.errors import shown
from spaces.space import MOST_VALUES

HomeOption = Annotated[
    str | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="Folder for studies, features, reports and fetched datasets. [default: $SEARCH_HOME, or the platform's]",
    ),
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        help="Study database, SQLite or PostgreSQL. [default: $SEARCH_STORAGE, or SQLite in the home folder]",
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset", metavar="NAME", help="Use the study of this dataset with a tested answer and most trials."
    ),
]
StudyOption = Annotated[
    str | None, typer.Option("--study", metavar="NAME", help="Use the study of this name; `search status` lists them.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


NAMES = {item.name: info.flag for item in fields(RunOptions) if (info := option_info(item)) is not None and info.flag}
"""Field of `RunOptions` → its name on the command line, where the two differ."""


def flag(name: str) -> str:
    """Return the flag of an option: `data_root` → `--data-root`."""
    return f"--{NAMES.get(name, name).replace('_', '-')}"


def parse_integers(text: str) -> list[int]:
    """Parse numbers and ranges: `13,16-18` → [13, 16, 17, 18].

    Raises BadParameter for other text, and for a range that is empty or longer than any list may be.
    """
    values: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,10})\s*(?:-\s*([0-9]{1,10})\s*)?", part)
        if match is None:
            raise typer.BadParameter(f"expected numbers and ranges such as 4,13-16, got {shown(text)}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise typer.BadParameter(
                f"a range begins with the smaller number, such as {last}-{first}, got {part.strip()}"
            )
        if len(values) + last - first >= MOST_VALUES:
            raise typer.BadParameter(f"expected at most {MOST_VALUES:,} numbers, got {part.strip()}")
        values += range(first, last + 1)
    return values


def parse_names(text: str) -> list[str]:
    """Parse names: `linear, mlp` → ["linear", "mlp"]."""
    return [name.strip() for name in text.split(",")]


def parse_size(text: str) -> int:
    """Parse a size into bytes: `200GB` → 200,000,000,000; `1.5GiB` → 1,610,612,736. Raises BadParameter."""
    match = re.fullmatch(r"([0-9]{1,19}(?:\.[0-9]+)?)\s*(|[kmgt]i?)b?", text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"expected a size such as 200GB or 1.5TB, or a number of bytes, got {shown(text)}")
    return int(float(match[1]) * BYTES[match[2]])


def parse_duration(text: str) -> float:
    """Parse a duration into seconds: `5m` → 300; `90s` or `90` → 90; `1h30m` or `1.5h` → 5400. Raises BadParameter."""
    number, units = r"([0-9]{1,9}(?:\.[0-9]+)?)", []
    text = str(text).strip().lower()
    if re.fullmatch(rf"{number}|(?:{number}\s*h\s*)?(?:{number}\s*m\s*)?(?:{number}\s*s)?", text):
        units = re.findall(rf"{number}\s*([smh]?)", text)
    seconds = sum(float(value) * SECONDS[unit] for value, unit in units)
    if seconds <= 0:
        raise typer.BadParameter(
            f"expected a time such as 90s, 5m or 1h30m, or a number of seconds above 0, got {shown(text)}"
        )
    return seconds


def number_parser(low: float, high: float, kind: type[float] = int) -> Callable[[object], float]:
    """Return a parser of numbers from low to high, both included. It raises BadParameter for anything else.

    kind: int for whole numbers only.
    """
    what = "a whole number" if kind is int else "a number"

    def parse(value: object) -> float:  # a default is a number already
        text = str(value).strip()
        try:
            number = kind(text)
        except ValueError:  # also for a number of thousands of digits
            number = math.nan
        if not low <= number <= high:
            raise typer.BadParameter(f"expected {what} from {low:,} to {high:,}, got {shown(text)}")
        return number

    return parse


def number_option(low: int, text: str, high: int = MOST) -> Any:
    """Return an option that is a whole number from low to high, both included. text: its help."""
    return typer.Option(parser=number_parser(low, high), metavar="N", help=text)


PARSERS: dict[Notation, Callable[[str], Any]] = {
    "integers": parse_integers,
    "names": parse_names,
    "size": parse_size,
    "duration": parse_duration,
}


def with_run_options(*names: str, **helps: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the flags of `RunOptions`, and its first parameter the options that were typed.

    names: the options that the command takes; without names, all options. helps: option → its help for this command,
    where that differs from the help in `RunOptions`.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command).parameters.values())[1:]
        chosen = [
            (option_field, info)
            for option_field in fields(RunOptions)
            if (info := option_info(option_field)) and (not names or option_field.name in names)
        ]
        former = {info.former: option_field.name for option_field, info in chosen if info.former}

        @wraps(command)
        def typed(**values: Any) -> None:
            for old, new in former.items():
                values[new] = values.pop(old) or values[new]
            options = {option_field.name: values.pop(option_field.name) for option_field, _ in chosen}
            command(RunOptions(**options), **values)

        parameters = [_parameter(option_field, info, helps) for option_field, info in chosen]
        parameters += [_hidden(name) for name in former]
        parameters += [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        typed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return typed

    return decorate


def _parameter(option_field: "Field[Any]", info: OptionInfo, helps: dict[str, str]) -> inspect.Parameter:
    """Return the command's parameter for an option."""
    name = option_field.name
    kind: Any = get_type_hints(RunOptions)[name]
    described: dict[str, Any] = {"help": helps.get(name, info.help), "metavar": info.metavar or _metavar(kind, info)}
    if info.notation == "repeated":
        kind = list[str] | None
    elif info.notation:
        kind, described["parser"] = str | None, PARSERS[info.notation]
    elif str in get_args(kind):
        kind = str | None
    elif info.low is not None and info.high is not None:
        described["parser"] = number_parser(info.low, info.high, float if float in (kind, *get_args(kind)) else int)
    switch = f"{flag(name)}/--no-{flag(name)[2:]}" if option_field.default is True else flag(name)
    default = inspect.Parameter.empty if option_field.default is MISSING else option_field.default
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, typer.Option(switch, **described)],
    )


def _metavar(kind: Any, info: OptionInfo) -> str | None:
    """Return the placeholder for the value in the help, such as `NAME`."""
    if info.notation in ("integers", "names"):
        return "LIST"
    kinds = {kind, *get_args(kind)}
    return "NAME" if str in kinds else "NUMBER" if float in kinds else "N" if int in kinds else None


def _hidden(name: str) -> inspect.Parameter:
    """Return the parameter of a switch's former name."""
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[bool, typer.Option(flag(name), hidden=True)],
    )


def with_flags(message: str, command: Any) -> str:
    """Name options as they are typed: `data_root` between backticks becomes --data-root, if a command has that flag.

    command: the command line as a whole.
    """
    flags = _flags(command)
    return re.sub(r"`([a-z_]+)`", lambda match: name if (name := flag(match[1])) in flags else match[0], message)


def _flags(command: Any) -> set[str]:
    """Return the flags of a command and of its subcommands."""
    flags = {name for parameter in command.params for name in parameter.opts}
    return flags.union(*map(_flags, getattr(command, "commands", {}).values()))
