"""Says in the words of the command line which value of a request is wrong."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_type_hints

from fastapi.exceptions import RequestValidationError

from search.option import check_range, check_type, option_info
from search.options import RunOptions
from search.server.problems import ProblemError
from spaces import UnknownNameError, UsageError
from spaces.errors import shown

OPTIONS = {option_field.name: option_field for option_field in fields(RunOptions) if option_info(option_field)}

UNKNOWN = "extra_forbidden"
"""Pydantic's name for a field that a model does not have."""

MOST_SHOWN = 3
"""Wrong values that an answer names."""


def validation_problem(error: RequestValidationError) -> ProblemError:
    """Return the answer to a request whose values do not fit."""
    words = list(dict.fromkeys(_words(item) for item in error.errors()))
    more = f"; and {len(words) - MOST_SHOWN} more" if len(words) > MOST_SHOWN else ""
    kind = "unknown-name" if all(item["type"] == UNKNOWN for item in error.errors()) else "usage"
    return ProblemError(422, kind, "; ".join(words[:MOST_SHOWN]) + more)


def _words(item: Any) -> str:
    place, value = list(item["loc"]), item.get("input")
    names = [str(part) for part in place if not isinstance(part, int)]
    name = names[-1] if names else "body"
    if item["type"] == UNKNOWN:
        return str(UnknownNameError("option" if "options" in names else "field", name, _known(names)))
    if "options" in names[:-1] and names[names.index("options") + 1] in OPTIONS:
        option_field = OPTIONS[names[names.index("options") + 1]]
        whole = value if names[-1] == option_field.name and not isinstance(place[-1], int) else None
        try:
            if whole is not None:
                check_type(option_field.name, whole, get_type_hints(RunOptions)[option_field.name])
                check_range(option_field, whole)
        except UsageError as error:
            return str(error)
        name = option_field.name
    if item["type"] == "missing":
        return f"`{name}` is missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"`{name}`: {message[:1].lower()}{message[1:]}, got {shown(value)}"


def _known(names: Sequence[str]) -> list[str]:
    from search.server.api.models import REFUSED

    return [name for name in OPTIONS if name not in REFUSED] if "options" in names else ["kind", "options", "priority"]
