"""The content of a page as text: Markdown for a repository, LaTeX for a paper.

Control characters and invisible ones in names from the data are spelled as `spaces.text.one_line` does.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dashboards.page.page import WORDS, Section
from spaces.text import one_line

MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")
LATEX_SPECIAL = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\N{NO-BREAK SPACE}": "~",
    "\N{MINUS SIGN}": "$-$",
    "×": r"$\times$",
}


@dataclass(frozen=True, slots=True)
class Document:
    """A report as text.

    facts: label → text, the main results. sentences: what follows from them. python, shell: lines of code that use the
    result.
    """

    title: str
    lead: str
    facts: tuple[tuple[str, str], ...]
    sentences: tuple[str, ...]
    python: str
    shell: str
    sections: tuple[Section, ...]


def markdown(document: Document) -> str:
    """GitHub's Markdown. Special characters in names from the data are escaped."""
    return _filled("document.md", document, _markdown_text)


def latex(document: Document) -> str:
    """A fragment for \\input. Its tables need the package booktabs. Names from the data are escaped.

    A row begins with {}, since \\\\ and \\midrule would take a bracket or star at the beginning of a cell as their own.
    """
    return _filled("document.tex", document, _latex_text)


def _filled(template: str, document: Document, escaped: Callable[[str], str]) -> str:
    def final(value: object) -> object:
        """Escape what a template prints. Only text that is marked, such as code, stays as it is."""
        return value if isinstance(value, Markup) else escaped(str(value))

    environment = Environment(
        loader=PackageLoader("dashboards.page", "templates"),
        autoescape=False,  # noqa: S701 - which is for HTML; `finalize` escapes for this format
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=final,
    )
    environment.globals.update(words=WORDS)
    environment.filters["verbatim"] = _verbatim
    return environment.get_template(template).render(document=document)


def _verbatim(lines: str) -> Markup:
    """An indented block: nothing in the lines can end it."""
    return Markup("\n".join(f"    {one_line(line)}" for line in lines.split("\n")))  # noqa: S704 - an indented block


def _markdown_text(text: str) -> str:
    return MARKDOWN_SPECIAL.sub(r"\\\1", one_line(text))


def _latex_text(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(character, character) for character in one_line(text))
