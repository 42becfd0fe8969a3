r"""Sends odd requests to every route of the HTTP API: with the token of each role, and without one.

    python tests/fuzzing/http_api.py --examples 200

Schemathesis makes the requests from the OpenAPI document, one after the other and in sequences, in which a job that was
created is shown, paused and cancelled. An answer of status 500, one that the document does not describe, and one of
another form are failures. Event streams are left out, since they do not end. The script prints what each run found, and
its exit code is 1 where there was a failure.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from objectives.home import Home
from search.database.jobs.job_table import JobTable
from search.database.store import Store
from search.database.tokens import ROLES
from search.server.settings import settings_of
from tests.support.api_server import ApiServer, api_server
from tests.support.stored_study import store_study

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
PHASES = "coverage,fuzzing,stateful"


def fuzz(served: ApiServer, role: str | None, examples: int, folder: Path, phases: str = PHASES) -> tuple[int, str]:
    """Send requests with the token of a role; none for None. Return the exit code and what Schemathesis printed.

    examples: the most requests to each route in each phase. folder: where Schemathesis writes its files.
    """
    # The document needs a token too, so the requests without one read it from a file.
    document = folder / "openapi.json"
    document.write_text(served.ask("GET", "/openapi.json", "viewer").text)
    words = [sys.executable, "-m", "schemathesis.cli", "run", str(document), "--url", served.url]
    words += [
        "--max-examples",
        str(examples),
        "--phases",
        phases,
        "--checks",
        CHECKS,
        "--no-color",
        "--warnings",
        "off",
    ]
    words += ["--exclude-path-regex", "/events$", "--continue-on-failure", "--generation-database", "none"]
    words += [] if role is None else ["--header", f"Authorization: Bearer {served.tokens[role]}"]
    ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=50)
    args = parser.parse_args()
    worst = 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "home").mkdir()
        (folder / "data" / "birds").mkdir(parents=True)
        store_study(f"sqlite:///{name}/home/studies.db", 20)
        with Store.open(folder / "home" / "studies.db") as store:
            JobTable(store).submit("run", {"dataset": "digits"}, "runner")
        settings = settings_of(
            Home.at(folder / "home"), data_roots=[f"data={name}/data"], allow_hub=True, requests=1_000_000
        )
        with api_server(settings) as served:
            for role in (None, *ROLES):
                code, text = fuzz(served, role, args.examples, folder)
                print(f"== {role or 'no token'}: exit code {code}\n{text[-6000:] if code else text[-400:]}")
                worst = max(worst, code)
    return worst


if __name__ == "__main__":
    sys.exit(main())
