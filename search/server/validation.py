"""Says in the words of the command line which value of a request is wrong."""

from collections.abc import Sequence
from dataclasses import fields
from types import NoneType
from typing import Any, get_args, get_type_hints

from fastapi.exceptions import RequestValidationError
from fastapi.params import File
from starlette.datastructures import Headers

from search.options.option import check_range, check_type, option_info
from search.options.run_options import RunOptions
from search.server.problems import ProblemError
from spaces import UnknownNameError, UsageError
from spaces.errors import LONGEST, shown

OPTIONS = {option_field.name: option_field for option_field in fields(RunOptions) if option_info(option_field)}

UNKNOWN = "extra_forbidden"
"""Pydantic's name for a field that a model does not have."""

FORM = "multipart/form-data"
"""The Content-Type of a form with files."""

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


def validation_problem(error: RequestValidationError, headers: Headers, route: Any = None) -> ProblemError:
    """Return the answer to a request whose body or values do not fit. headers, route: of the request.

    Status 400 for a body that cannot be read, 415 for one of another type, 422 for values that break a rule.
    """
    if unread := _unread_body(error, headers, route):
        return unread
    words = _listed_once(list(dict.fromkeys(_words(item, route) for item in error.errors())))
    more = f"; and {len(words) - MOST_SHOWN} more" if len(words) > MOST_SHOWN else ""
    kind = "unknown-name" if all(item["type"] == UNKNOWN for item in error.errors()) else "usage"
    return ProblemError(422, kind, "; ".join(words[:MOST_SHOWN]) + more)


def _unread_body(error: RequestValidationError, headers: Headers, route: Any) -> ProblemError | None:
    """Return the answer to a body that the web framework could not read; None where it read one."""
    body_field = getattr(route, "body_field", None)
    if body_field is not None and isinstance(body_field.field_info, File):
        return _unread_form(headers)
    for item in error.errors():
        if item["type"] == "json_invalid":
            return ProblemError(400, "unreadable", _no_json(str(error.body), item["loc"][-1]))
        if item["loc"] == ("body",) and item["type"] == "missing":
            return ProblemError(400, "unreadable", "the body is missing; it must be JSON")
        if item["loc"] == ("body",) and isinstance(item["input"], bytes):  # it was not sent as JSON
            return _wrong_type("application/json", headers)
    return None


def _unread_form(headers: Headers) -> ProblemError | None:
    """Return the answer to a body that is no form with files; None where it is one."""
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        detail = f"the body is missing; it must be a form of {FORM}, as `curl -F` sends it"
        return ProblemError(400, "unreadable", detail)
    if headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return _wrong_type(FORM, headers)
    return None


def _wrong_type(needed: str, headers: Headers) -> ProblemError:
    given = (headers.get("content-type") or "none")[:LONGEST]
    return ProblemError(415, "content-type", f"the header Content-Type must be {needed}, got {given}")


def _listed_once(words: Sequence[str]) -> list[str]:
    """Leave out the list of known names where a later answer ends with the same list."""
    lists = [text.rpartition("; known: ")[2] for text in words]
    return [
        text.removesuffix(f"; known: {names}") if names in lists[index + 1 :] else text
        for index, (text, names) in enumerate(zip(words, lists, strict=True))
    ]


def _words(item: Any, route: Any) -> str:
    place = list(item["loc"])
    if place == ["body"]:
        return _about_body(item)
    return _about_value(item, place, route)


def _no_json(body: str, position: int) -> str:
    before, rest = body[:position], body[position : position + EXCERPT]
    line, column = before.count("\n") + 1, position - before.rfind("\n")
    return f"the body must be JSON, got {shown(rest) if rest else 'its end'} at line {line}, column {column}"


def _about_body(item: Any) -> str:
    value = item["input"]
    if item["type"].startswith("union_tag"):
        return f"`kind` must be run or recommend, got {shown(value['kind']) if 'kind' in value else 'none'}"
    return f"the body must be a JSON object, got {shown(value)}"


def _about_value(item: Any, place: Sequence[Any], route: Any) -> str:
    value = item.get("input")
    names = [str(part) for part in place if not isinstance(part, int)]
    name = names[-1]
    if item["type"] == UNKNOWN:
        kind = "option" if "options" in names[:-1] else "field"
        return str(UnknownNameError(kind, name, _fields_of(route, place)))
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


def _fields_of(route: Any, place: Sequence[Any]) -> list[str]:
    """Return the fields of the object of a body in which an error has its place."""
    names, annotation = list(place[1:-1]), route.body_field.field_info.annotation
    model, *others = [one for one in get_args(annotation) or (annotation,) if one is not NoneType]
    if others:  # several kinds of job, and the first name is the kind
        kind = names.pop(0)
        model = next(one for one in (model, *others) if get_args(one.model_fields["kind"].annotation) == (kind,))
    for name in names:
        model = model.model_fields[name].annotation
    return [*model.model_fields]
