"""Makes faults many times over, and prints a table of how often the product did what it must.

    scripts/faults [--row WORDS] [--times 50] [--database sqlite|postgresql] [--seed 0] [--out FILE.json]

Each theme is a file of this folder with a list `ROWS`. A new file is added to `THEMES`. A row makes its fault once, in
an empty folder, and raises WrongError where the product did wrong.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

from tests.faults import cluster, disk, jobs, migrations, ray, runs, secrets, signals, workers
from tests.faults import database as databases
from tests.faults.row import Case, Database, NotTriedError, Row, WrongError
from tests.support.postgresql import NotInstalledError, Server, running_server

THEMES: list[ModuleType] = [runs, workers, ray, signals, databases, disk, migrations, cluster, secrets, jobs]


@dataclass
class Count:
    """How a row went on one database. first_wrong: the text of the first case that went wrong."""

    title: str
    database: Database
    tried: int = 0
    right: int = 0
    seconds: float = 0.0
    first_wrong: str = ""
    not_tried: str = ""

    def line(self) -> str:
        if self.not_tried:
            return f"{'not tried':>12}  {self.database:<10}  {self.title}: {self.not_tried}"
        each = self.seconds / max(self.tried, 1)
        wrong = f"\n{'':>26}first wrong: {self.first_wrong}" if self.first_wrong else ""
        return f"{f'{self.right} of {self.tried}':>12}  {self.database:<10}  {self.title} ({each:.1f} s each){wrong}"


@contextmanager
def case_of(row: Row, database: Database, seed: str, server: Server | None) -> Iterator[Case]:
    """Make an empty folder and database for one try."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="fault-", dir="/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = f"sqlite:///{folder}/studies.db"
        if server is not None:
            url = server.url
            stack.callback(server.empty)
        yield Case(folder, url, random.Random(f"{row.title}/{seed}"), server)


def count(row: Row, database: Database, times: int, seed: int, server: Server | None) -> Count:
    """Make a fault so many times."""
    result = Count(row.title, database)
    for number in range(times):
        began = time.monotonic()
        try:
            with case_of(row, database, f"{seed}/{number}", server) as case:
                row.run(case)
        except NotTriedError as error:
            result.not_tried = str(error)
            return result
        except WrongError as error:
            result.first_wrong = result.first_wrong or f"case {number}: {error}"
        except Exception:
            result.first_wrong = result.first_wrong or f"case {number}: {traceback.format_exc()}"
        else:
            result.right += 1
        result.tried += 1
        result.seconds += time.monotonic() - began
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--row", default="", help="only rows whose title has these words")
    parser.add_argument("--times", type=int, default=50, help="cases for each row and database")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="only this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file for the table")
    options = parser.parse_args(arguments)
    rows = [row for theme in THEMES for row in theme.ROWS if options.row.lower() in row.title.lower()]
    counts: list[Count] = []
    for database in ("sqlite", "postgresql"):
        chosen = [row for row in rows if database in row.databases]
        if not chosen or options.database not in (None, database):
            continue
        with ExitStack() as stack:
            server, missing = None, ""
            if database == "postgresql":
                try:
                    server = stack.enter_context(running_server())
                except NotInstalledError as error:
                    missing = str(error)
            for row in chosen:
                result = Count(row.title, database, not_tried=missing)
                if not missing:
                    result = count(row, database, options.times, options.seed, server)
                counts.append(result)
                print(result.line(), flush=True)
                if options.out is not None:
                    options.out.write_text(json.dumps([asdict(each) for each in counts], indent=1) + "\n", "utf-8")
    return 1 if any(result.right < result.tried for result in counts) else 0


if __name__ == "__main__":
    sys.exit(main())
