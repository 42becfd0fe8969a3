"""Says in the words of the command line which value of a request is wrong."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from search.options.option import check_range, check_type, option_info
from search.options.run_options import RunOptions
from search.server.problems import ProblemError
from spaces import UnknownNameError, UsageError
from spaces.errors import LONGEST, shown

OPTIONS = {option_field.name: option_field for option_field in fields(RunOptions) if option_info(option_field)}

UNKNOWN = "extra_forbidden"
"""Pydantic's name for a field that a model does not have."""

MOST_SHOWN = 3
"""Wrong values that an answer names."""


RULES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_parsing_size": "a whole number",
    "string_too_short": "a text of {min_length:,} or more characters",
    "string_too_long": "a text of at most {max_length:,} characters",
    "string_unicode": "a text of Unicode characters",
    "list_type": "a list",
    "model_type": "a JSON object",
    "model_attributes_type": "a JSON object",
    "greater_than": "more than {gt:,}",
    "greater_than_equal": "at least {ge:,}",
    "less_than_equal": "at most {le:,}",
    "literal_error": "{expected}",
    "dict_type": "a JSON object",
    "too_short": "a list of at least {min_length:,}",
    "too_long": "a list of at most {max_length:,}",
    "file": "a file, as `curl -F images=@FILE` sends it",
    "setting": "names and values such as block and 19, each a number or text of at most 100 characters",
}
"""Pydantic's name for an error → what the value must be."""

EXCERPT = 20
"""Characters of a body that is no JSON which an answer shows."""

NO_VALUE = object()


def validation_problem(error: RequestValidationError, content_type: str | None, route: Any = None) -> ProblemError:
    """Return the answer to a request whose values do not fit. content_type: its header. route: of the request."""
    known = _fields_of(route)
    words = list(dict.fromkeys(_words(item, error.body, content_type, known) for item in error.errors()))
    more = f"; and {len(words) - MOST_SHOWN} more" if len(words) > MOST_SHOWN else ""
    kind = "unknown-name" if all(item["type"] == UNKNOWN for item in error.errors()) else "usage"
    return ProblemError(422, kind, "; ".join(words[:MOST_SHOWN]) + more)


def _words(item: Any, body: Any, content_type: str | None, known: Sequence[str]) -> str:
    place = list(item["loc"])
    if item["type"] == "json_invalid":
        return _no_json(body, place[-1])
    if place == ["body"]:
        return _about_body(item, content_type)
    return _about_value(item, place, known)


def _no_json(body: str, position: int) -> str:
    before, rest = body[:position], body[position : position + EXCERPT]
    line, column = before.count("\n") + 1, position - before.rfind("\n")
    return f"the body must be JSON, got {shown(rest) if rest else 'its end'} at line {line}, column {column}"


def _about_body(item: Any, content_type: str | None) -> str:
    value = item["input"]
    if item["type"] == "missing":
        return "the body is missing; it must be JSON"
    if isinstance(value, bytes):  # the web framework has not read it as JSON
        return f"the header Content-Type must be application/json, got {(content_type or 'none')[:LONGEST]}"
    if item["type"].startswith("union_tag"):
        return f"`kind` must be run or recommend, got {shown(value['kind']) if 'kind' in value else 'none'}"
    return f"the body must be a JSON object, got {shown(value)}"


def _about_value(item: Any, place: Sequence[Any], known: Sequence[str]) -> str:
    value = item.get("input")
    names = [str(part) for part in place if not isinstance(part, int)]
    name = names[-1]
    if item["type"] == UNKNOWN:
        if "options" in names:
            return str(UnknownNameError("option", name, _request_options()))
        return str(UnknownNameError("field", name, known))
    if item["type"] == "missing":
        return f"`{name}` is missing"
    if "options" in names[:-1] and names[names.index("options") + 1] in OPTIONS:
        option_field = OPTIONS[names[names.index("options") + 1]]
        whole = value if names[-1] == option_field.name and not isinstance(place[-1], int) else NO_VALUE
        try:
            if whole is not NO_VALUE:
                check_type(option_field.name, whole, get_type_hints(RunOptions)[option_field.name])
                check_range(option_field, whole)
        except UsageError as error:
            return str(error)
        name = option_field.name
    rule = RULES.get("file" if "UploadFile" in item["msg"] else item["type"])
    if rule is not None:
        return f"`{name}` must be {rule.format(**item.get('ctx', {}))}, got {shown(value)}"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"`{name}`: {message[:1].lower()}{message[1:]}, got {shown(value)}"


def _request_options() -> list[str]:
    from search.server.api.models import REFUSED

    return [name for name in OPTIONS if name not in REFUSED]


def _fields_of(route: Any) -> list[str]:
    """Return the fields of the body that a route takes; those of a job where it takes one of several kinds."""
    body = getattr(route, "body_field", None)
    annotation = None if body is None else body.field_info.annotation
    models = [
        model
        for model in (annotation, *get_args(annotation))
        if isinstance(model, type) and issubclass(model, BaseModel)
    ]
    return [*models[0].model_fields] if len(models) == 1 else ["kind", "options", "priority"]
