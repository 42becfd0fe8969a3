"""Generates documentation of the commands and the options from the code when the site is built.

mkdocs calls `on_files` and `on_page_markdown` (mkdocs.yml, `hooks`).
"""

import inspect
import re
import subprocess
import sys
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from search.options.option import option_info
from search.options.run_options import RunOptions

GENERATOR = ["-m", "typer", "search.cli.main", "utils", "docs", "--name", "search", "--title", "Commands"]
"""Typer prints the help of every command as Markdown."""

SUBCOMMANDS = re.compile(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+\n")
"""Lists of commands with truncated help, which are removed: the page has a table of contents."""

MODULES = re.compile(r"[\w.]+\.(?=[A-Z])")

OPTIONS = "<!-- options -->"
"""The mark that is replaced by the table of a search's options."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add commands.md, which is no file on disk."""
    page = subprocess.run([sys.executable, *GENERATOR], check=True, capture_output=True, text=True).stdout
    files.append(File.generated(config, "commands.md", content=SUBCOMMANDS.sub("", page)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the mark by the table of options."""
    return markdown.replace(OPTIONS, options_table())


def options_table() -> str:
    """Return the options of a search as a Markdown table."""
    lines = ["| keyword | type | default | |", "| --- | --- | --- | --- |"]
    for name, item in RunOptions.__dataclass_fields__.items():
        info = option_info(item)
        if info is not None and name != "dataset":
            kind = MODULES.sub("", inspect.formatannotation(item.type))
            lines.append(f"| `{name}` | `{kind}` | `{item.default!r}` | {info.help} |")
    return "\n".join(lines)
