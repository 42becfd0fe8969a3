"""What a page says, as text for other places: Markdown for a repository, LaTeX for a paper."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dashboards.page.page import WORDS, Section

MARKDOWN_MEANS = re.compile(r"([\\`*_{}\[\]<>|#~&])")
LATEX_MEANS = {
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
    """facts: label → text, what is asked first. told: sentences that follow them. python, shell: lines that use it."""

    title: str
    lead: str
    facts: tuple[tuple[str, str], ...]
    told: tuple[str, ...]
    python: str
    shell: str
    sections: tuple[Section, ...]


def markdown(document: Document) -> str:
    """GitHub's Markdown. What a name from the data would mean in it is escaped."""
    return _filled("document.md", document, _markdown_text)


def latex(document: Document) -> str:
    """A fragment for \\input, with tables for the package booktabs; names from the data are escaped."""
    return _filled("document.tex", document, _latex_text)


def _filled(template: str, document: Document, escaped: Callable[[str], str]) -> str:
    def final(value: object) -> object:
        """Of whatever a template prints; only what it has marked, such as code, stays as it is."""
        return value if isinstance(value, Markup) else escaped(str(value))

    environment = Environment(
        loader=PackageLoader("dashboards.page", "templates"),
        autoescape=False,  # for HTML; `finalize` escapes for what this is
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
    """As an indented block, which nothing within can end."""
    return Markup("\n".join(f"    {line}" for line in lines.splitlines()))


def _markdown_text(text: str) -> str:
    return MARKDOWN_MEANS.sub(r"\\\1", " ".join(text.splitlines()))


def _latex_text(text: str) -> str:
    return "".join(LATEX_MEANS.get(character, character) for character in " ".join(text.splitlines()))
