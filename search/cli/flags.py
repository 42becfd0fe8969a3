"""Makes flags from the fields of `RunOptions`, and defines the flags that several commands share."""

import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import wraps
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from search.options import notation
from search.options.option import MOST, OptionInfo, option_info
from search.options.run_options import RunOptions
from spaces import UsageError

T = TypeVar("T")

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
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Ask this server, which `search serve` runs, in place of the database. Its token is taken from the "
        "environment variable SEARCH_TOKEN.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
HostOption = Annotated[
    str,
    typer.Option("--host", metavar="ADDRESS", help="Address to listen on. 127.0.0.1 lets only this machine connect."),
]

NAMES = {item.name: info.flag for item in fields(RunOptions) if (info := option_info(item)) is not None and info.flag}
"""Field of `RunOptions` → its name on the command line, where the two differ."""


def flag(name: str) -> str:
    """Return the flag of an option: `data_root` → `--data-root`."""
    return f"--{NAMES.get(name, name).replace('_', '-')}"


def _typed(parse: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return a parser of `search.options.notation` that raises BadParameter, which names the flag."""

    @wraps(parse)
    def parsed(text: Any) -> T:
        try:
            return parse(text)
        except UsageError as error:
            raise typer.BadParameter(str(error)) from None

    return parsed


parse_integers, parse_names = _typed(notation.parse_integers), _typed(notation.parse_names)
parse_size, parse_duration = _typed(notation.parse_size), _typed(notation.parse_duration)


def number_parser(low: float, high: float, kind: type[float] = int) -> Callable[[object], float]:
    """Return a parser of numbers from low to high, both included. It raises BadParameter for anything else.

    kind: int for whole numbers only.
    """

    @_typed
    def parse(value: object) -> float:  # a default is a number already
        return notation.parse_number(value, low, high, kind)

    return parse


def number_option(low: int, text: str, high: int = MOST) -> Any:
    """Return an option that is a whole number from low to high, both included. text: its help."""
    return typer.Option(parser=number_parser(low, high), metavar="N", help=text)


PortOption = Annotated[int, number_option(1, "Port to listen on.", high=65535)]


def allowed_host_option(token: str) -> Any:
    """Return the option of a server that takes the names by which others call it. token: words on who needs one."""
    words = (
        "Name or address by which others call this server; may be repeated. Needed where --host lets others connect."
    )
    return typer.Option("--allowed-host", metavar="NAME", help=f"{words} {token}")


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
        kind, described["parser"] = str | None, _typed(notation.PARSERS[info.notation])
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
