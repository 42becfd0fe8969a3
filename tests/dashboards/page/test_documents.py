"""Markdown and LaTeX, read by whoever else reads them."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dashboards.page.documents import Document, latex, markdown
from dashboards.page.page import Section, Table
from dashboards.study.report import document
from objectives.results import StudyResults
from tests.support.names import unsafe_characters

StudyMaker = Callable[..., StudyResults]
EVIL = "<script>alert(1)</script> | `x` *y* [z](http://e) $q$ \\input{/etc} ~50 % #1 & _b_ ^c {d}\n# heading"


def made(text: str) -> Document:
    table = Table(text, ("Head", "Best %", text), ((text, "1.0", text), ("linear", "2.0", "")))
    return Document(
        text, text, ((text, text),), (text,), "import torch", "search best", (Section("s", text, (text,), None, table),)
    )


def cells(text: str) -> list[list[str]]:
    """Return the rows of all tables, with the text of each cell, as GitHub's Markdown reads them."""
    rows: list[list[str]] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for token, inside in pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("td_open", "th_open"):
            assert inside.children is not None
            assert all(child.type in ("text", "text_special") for child in inside.children), inside.content
            rows[-1].append("".join(child.content for child in inside.children))
    return rows


def test_markdown_tables_hold_what_the_report_holds(realistic: StudyMaker) -> None:
    told = document(realistic())
    expected = [row for s in told.sections if s.table for row in (list(s.table.columns), *map(list, s.table.rows))]
    assert cells(markdown(told)) == expected


def test_names_mean_nothing_in_markdown() -> None:
    read = EVIL.replace("\n", r"\x0a")
    text = markdown(made(EVIL))
    assert cells(text) == [["Head", "Best %", read], [read, "1.0", read], ["linear", "2.0", ""]]
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script>" not in html
    assert "<a " not in html
    assert html.count("<h1>") == html.count("<h2>") == 1
    assert "<pre><code>import torch" in html


@settings(max_examples=30, deadline=None)
@given(st.text(st.sampled_from("|\\`$&#\x1b\x07\r\n\u202e\u2028\udcff") | st.characters()))
def test_no_text_keeps_a_control_character(text: str) -> None:
    for made_text in (markdown(made(text)), latex(made(text))):
        assert unsafe_characters(made_text) == set()
        made_text.encode()


def test_code_stays_code_whatever_is_in_it() -> None:
    html = MarkdownIt("commonmark").render(markdown(replace(made("t"), shell="a ``` b\n~~~\n<b> # c")))
    assert "<pre><code>import torch\n\na ``` b\n~~~\n&lt;b&gt; # c\n</code></pre>" in html


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("50 % & more", r"50 \% \& more"),
        ("a_b^c", r"a\_b\textasciicircum{}c"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("#1 $x$ ~", r"\#1 \$x\$ \textasciitilde{}"),
        ("<b>", r"\textless{}b\textgreater{}"),
        ("−3.1 to 2 × 4", r"$-$3.1 to 2 $\times$ 4"),
        ("5\N{NO-BREAK SPACE}s", "5~s"),
        ("one\ntwo", r"one\textbackslash{}x0atwo"),
    ],
)
def test_names_mean_nothing_in_latex(text: str, escaped: str) -> None:
    found = latex(made(text))
    assert found.count(escaped) == 11
    assert f"& {escaped} \\\\" in found


def test_latex_is_a_table_for_each_table_of_the_report(realistic: StudyMaker) -> None:
    told = document(realistic())
    text = latex(told)
    tables = [section.table for section in told.sections if section.table]
    assert text.count(r"\begin{table}") == text.count(r"\bottomrule") == len(tables)
    assert text.count(" \\\\\n") == sum(1 + len(table.rows) for table in tables)
    for table, columns in zip(tables, re.findall(r"\\begin\{tabular\}\{(\w+)\}", text), strict=True):
        assert len(columns) == len(table.columns)
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")


def test_a_study_without_a_trial_is_a_document_too(study: StudyMaker) -> None:
    text = markdown(document(study()))
    assert "No trial is complete yet." in text
    assert "import search" not in text
    assert "No trial is complete yet." in latex(document(study()))


@pytest.mark.parametrize("name", ["[2cm] cat", "* star", "a] b", "[x", "]"])
def test_a_bracket_or_star_of_a_name_is_no_argument_of_a_command(name: str) -> None:
    text = latex(made(name))
    assert rf"\item[{{{name}}}] {{}}{name}" in text
    rows = [line.strip() for line in text.splitlines() if line.endswith(r" \\")]
    assert rows == [rf"{{}}Head & Best \% & {name} \\", rf"{{}}{name} & 1.0 & {name} \\", r"{}linear & 2.0 &  \\"]
