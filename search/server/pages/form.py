"""The form that submits a search: a field for each option, and what a person has typed as options."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, replace
from typing import Any, get_args, get_type_hints

from objectives.backbones.backbone import PRECISIONS
from objectives.results import SELECTION_METRICS
from search.options.notation import PARSERS, parse_number
from search.options.option import MOST, OptionInfo, option_info
from search.options.run_options import RunOptions
from search.samplers.catalog import SAMPLERS
from search.server.api.models import PLACES, REFUSED
from spaces import PRESETS, UsageError

FIRST = ("dataset", "data_root", "backbone", "trials", "time_limit", "name")
"""The options that most people need, in this order."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "What is tried": ("space", "blocks", "timesteps", "pools", "heads", "draws", "taps", "taps_inside"),
    "How settings are chosen": (
        *("sampler", "metric", "objectives", "halving", "warm_start", "patience", "target", "seed"),
    ),
    "Validation and test": (
        *("folds", "validation_fraction", "shots", "flips", "balanced", "finalists", "final_seeds"),
    ),
    "Images and network": ("image_side", "prompt", "precision", "skip_unreadable"),
    "Machine": ("workers", "gpus_per_trial", "gpu_type", "cache_size"),
}
"""The other options. One that is in no group is shown under "Other"."""

OTHER = "Other"

LABELS = {"data_root": "Images", "backbone": "Network", "time_limit": "Time limit", "name": "Study name"}
"""Labels that are not the option's name in words."""

LONGEST = 4096
"""Characters of a value."""

NAMED = re.compile(r"`([a-z_]+)`")


@dataclass(frozen=True)
class FormField:
    """An input of the form.

    kind: "text", "number", "choice" or "switch". choices: of a "choice", as (value, words); suggestions: of a "text".
    value: what was typed, "on" for a switch that is on. placeholder: the default. error: why the value cannot be used.
    """

    name: str
    label: str
    help: str
    kind: str
    value: str
    placeholder: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    suggestions: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Form:
    """The form. problem: an error that belongs to no field."""

    first: tuple[FormField, ...]
    groups: tuple[tuple[str, tuple[FormField, ...]], ...]
    problem: str = ""

    @property
    def all(self) -> tuple[FormField, ...]:
        """All fields, in the order in which they are shown."""
        return (*self.first, *(item for _, group in self.groups for item in group))

    @property
    def is_wide(self) -> bool:
        """Whether a field under "more" has a value or an error, so that it must be seen."""
        return any(item.error or item.value != _typed_default(item) for _, group in self.groups for item in group)

    @property
    def wrong(self) -> tuple[FormField, ...]:
        """The fields with an error."""
        return tuple(item for item in self.all if item.error)


def empty_form(choices: Mapping[str, tuple[tuple[str, str], ...]], suggestions: Mapping[str, tuple[str, ...]]) -> Form:
    """Return the form with the defaults. choices, suggestions: for options whose values this server knows."""
    hints = get_type_hints(RunOptions)
    items = {
        item.name: _field(item, info, hints[item.name], choices, suggestions)
        for item in fields(RunOptions)
        if (info := option_info(item)) is not None and item.name not in REFUSED
    }
    grouped = {name for names in (FIRST, *GROUPS.values()) for name in names}
    groups = {**GROUPS, OTHER: tuple(name for name in items if name not in grouped)}
    filled = ((title, tuple(items[name] for name in names if name in items)) for title, names in groups.items())
    return Form(
        tuple(items[name] for name in FIRST if name in items),
        tuple((title, group) for title, group in filled if group),
    )


def filled(form: Form, typed: Mapping[str, str]) -> Form:
    """Return the form with what a person has typed. A switch that is missing is off."""
    return _changed(form, lambda item: replace(item, value=typed.get(item.name, "")))


def with_values(form: Form, typed: Mapping[str, str]) -> Form:
    """Return the form with some values, and the defaults of all others."""
    return _changed(form, lambda item: replace(item, value=typed.get(item.name, item.value)))


def parse_form(form: Form) -> tuple[Form, dict[str, Any]]:
    """Return the form with the errors of its fields, and the values that are not left out, as of `RunOptions`."""
    hints, values, errors = get_type_hints(RunOptions), dict[str, Any](), dict[str, str]()
    infos = {item.name: option_info(item) for item in fields(RunOptions)}
    for item in form.all:
        info, text = infos[item.name], item.value.strip()
        assert info is not None
        if item.kind == "switch":
            values[item.name] = bool(text)
        elif text:
            try:
                values[item.name] = _parsed(text, info, hints[item.name])
            except UsageError as error:
                errors[item.name] = str(error)
    if "dataset" not in values and "dataset" not in errors:
        errors["dataset"] = "`dataset` is missing; choose one"
    return _changed(form, lambda item: replace(item, error=errors.get(item.name, ""))), values


def with_error(form: Form, words: str) -> Form:
    """Return the form with an error beside the field that it names first, or above all fields."""
    name = field_of(words, [item.name for item in form.all])
    if name is None:
        return replace(form, problem=words)
    return _changed(form, lambda item: replace(item, error=words) if item.name == name else item)


def field_of(words: str, names: Sequence[str]) -> str | None:
    """Return the name of the option that an error is about; None for one that names none.

    It is the first name in backticks, the name of "unknown head 'mpl'", or the first word, as in "block 99 does not
    exist".
    """
    quoted = [name for name in NAMED.findall(words) if name in names]
    kind = quoted[0] if quoted else words.removeprefix("unknown ").partition(" ")[0]
    return next((name for name in (kind, f"{kind}s") if name in names), None)


def _changed(form: Form, change: Callable[[FormField], FormField]) -> Form:
    groups = tuple((title, tuple(map(change, group))) for title, group in form.groups)
    return replace(form, first=tuple(map(change, form.first)), groups=groups)


def _field(
    item: "Field[Any]",
    info: OptionInfo,
    hint: Any,
    choices: Mapping[str, tuple[tuple[str, str], ...]],
    suggestions: Mapping[str, tuple[str, ...]],
) -> FormField:
    """Return the empty field of an option."""
    name, kinds = item.name, {hint, *get_args(hint)}
    label = LABELS.get(name, name.replace("_", " ").capitalize().replace("Gpu", "GPU"))
    known = {**_known_choices(), **choices}.get(name, ())
    if bool in kinds:
        return FormField(name, label, info.help, "switch", "on" if item.default is True else "")
    default = "" if item.default is None or item.default is MISSING else str(item.default)
    if known:  # a choice without a default begins with its first value
        first = known[0][0] if item.default is MISSING else default
        return FormField(name, label, _help(name, info), "choice", first, choices=known)
    kind = "number" if {int, float} & kinds and not info.notation else "text"
    return FormField(name, label, _help(name, info), kind, default, suggestions=suggestions.get(name, ()))


def _help(name: str, info: OptionInfo) -> str:
    """Return the help of an option, in which places are those of this server."""
    return PLACES.get(name, info.help).replace("/api/v1/backbones", "the list")


def _known_choices() -> dict[str, tuple[tuple[str, str], ...]]:
    """Return the choices of options whose values no server changes."""
    return {
        "space": tuple((name, name) for name in PRESETS),
        "sampler": (("", "chosen by the search"), *((name, name) for name in sorted(SAMPLERS))),
        "metric": (("", "accuracy"), *((name, name) for name in SELECTION_METRICS if name != "accuracy")),
        "precision": tuple((name, name) for name in PRECISIONS),
    }


def _parsed(text: str, info: OptionInfo, hint: Any) -> Any:
    """Return the value of an option that a person has typed. Raises UsageError in the words of the command line."""
    kinds = {hint, *get_args(hint)}
    if len(text) > LONGEST:
        raise UsageError(f"expected at most {LONGEST:,} characters, got {len(text):,}")
    if info.notation is not None:
        return PARSERS[info.notation](text)
    if str in kinds:
        return text
    kind: type[float] = float if float in kinds else int
    low, high = (-MOST, MOST) if info.low is None or info.high is None else (info.low, info.high)
    return parse_number(text, low, high, kind)


def _typed_default(item: FormField) -> str:
    """Return what an untouched field holds."""
    option_field = next(other for other in fields(RunOptions) if other.name == item.name)
    if item.kind == "switch":
        return "on" if option_field.default is True else ""
    return "" if option_field.default is None else str(option_field.default)
