"""The form of a search: a field for every option, and what was typed as values of the command line."""

from dataclasses import fields

import pytest

from search.options.option import option_info
from search.options.run_options import RunOptions
from search.server.api.models import REFUSED
from search.server.pages.form import (
    FIRST,
    GROUPS,
    OTHER,
    Form,
    empty_form,
    field_of,
    filled,
    parse_form,
    with_error,
    with_values,
)

DATASETS = {"dataset": (("digits", "digits"), ("folder", "folder"))}


@pytest.fixture
def form() -> Form:
    return empty_form(DATASETS, {"backbone": ("bundled", "sd-1.5")})


def test_every_option_that_a_request_may_set_has_one_field(form: Form) -> None:
    options = {item.name for item in fields(RunOptions) if option_info(item)} - REFUSED
    names = [item.name for item in form.all]
    assert sorted(names) == sorted(options)
    assert [item.name for item in form.first] == [name for name in FIRST if name in options]
    assert {title for title, _ in form.groups} <= {*GROUPS, OTHER}
    assert all(item.label and item.help for item in form.all)


def test_an_untouched_form_means_the_defaults(form: Form) -> None:
    checked, values = parse_form(form)
    assert not checked.wrong
    assert not form.is_wide
    assert RunOptions(**values) == RunOptions("digits")


def test_values_are_parsed_as_on_the_command_line(form: Form) -> None:
    typed = {
        "dataset": "folder",
        "trials": " 12 ",
        "blocks": "9,13-15",
        "heads": "linear, mlp",
        "cache_size": "2GB",
        "validation_fraction": "0.25",
        "flips": "on",
        "prompt": "",
    }
    checked, values = parse_form(filled(form, typed))
    assert not checked.wrong
    assert checked.is_wide
    options = RunOptions(**values)
    assert (options.trials, options.blocks, options.heads) == (12, [9, 13, 14, 15], ["linear", "mlp"])
    assert (options.cache_size, options.validation_fraction, options.prompt) == (2 * 10**9, 0.25, None)
    assert (options.flips, options.warm_start) == (True, False)


def test_wrong_values_are_named_beside_their_fields(form: Form) -> None:
    typed = {"dataset": "digits", "trials": "many", "blocks": "9-x", "cache_size": "lots", "folds": "1" * 400}
    checked, values = parse_form(filled(form, typed))
    errors = {item.name: item.error for item in checked.wrong}
    assert errors["trials"] == "expected a whole number from 1 to 2,147,483,647, got 'many'"
    assert errors["blocks"] == "expected numbers and ranges such as 4,13-16, got '9-x'"
    assert errors["cache_size"].startswith("expected a size such as 200GB")
    assert [*errors] == ["trials", "blocks", "folds", "cache_size"]
    assert all(len(words) < 250 for words in errors.values())
    assert values == {"dataset": "digits", "warm_start": False, **dict.fromkeys(_switches(form), False)}
    assert [item.name for item in parse_form(filled(form, {}))[0].wrong] == ["dataset"]


def _switches(form: Form) -> list[str]:
    return [item.name for item in form.all if item.kind == "switch"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("`trials` must be from 1 to 9, got 0", "trials"),
        ("with `folds` every image validates, got `validation_fraction` too; leave one of them out", "folds"),
        ("unknown head 'mpl'; did you mean 'mlp'? known: linear, mlp", "heads"),
        ("unknown backbone 'x'; known: bundled", "backbone"),
        ("block 99 does not exist for backbone bundled; valid: 1 to 25", "blocks"),
        ("dataset 'folder' needs its folder: add `data_root`", "data_root"),
        ("at least 2 classes are needed, got 1", None),
        ("`search datasets` lists them", None),
    ],
)
def test_an_error_stands_beside_the_field_that_it_names(form: Form, words: str, name: str | None) -> None:
    assert field_of(words, [item.name for item in form.all]) == name
    wrong = with_error(form, words)
    assert [item.name for item in wrong.wrong] == ([name] if name else [])
    assert wrong.problem == ("" if name else words)


def test_a_form_takes_the_options_of_another_job(form: Form) -> None:
    again = with_values(form, {"dataset": "folder", "blocks": "9-12", "warm_start": ""})
    values = {item.name: item.value for item in again.all}
    shown = [values[name] for name in ("dataset", "blocks", "warm_start", "trials")]
    assert shown == ["folder", "9-12", "", "100"]
