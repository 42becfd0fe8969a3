"""Write the documentation's page of commands from the command line itself, each time the site is built.

mkdocs calls `on_files` (mkdocs.yml, `hooks`). Typer's own generator prints the help of every command as Markdown.
"""

import re
import subprocess
import sys

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

GENERATOR = ["-m", "typer", "search.cli.main", "utils", "docs", "--name", "search", "--title", "Commands"]
SUBCOMMANDS = re.compile(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+\n")
"""Lists of commands with help cut after 45 characters; the page's table of contents serves better."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add commands.md, which is no file on disk."""
    page = subprocess.run([sys.executable, *GENERATOR], check=True, capture_output=True, text=True).stdout
    files.append(File.generated(config, "commands.md", content=SUBCOMMANDS.sub("", page)))
    return files
