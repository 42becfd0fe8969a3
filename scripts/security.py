"""The checks of scripts/check --security, and what could not be checked.

    python scripts/security.py

1. ruff S: most of bandit's rules. pyproject.toml and comments explain each exception.
2. bandit: two rules that ruff lacks. They find marks of writing direction in code, and weights that may run code.
   Not used are B4xx, which report every import of `subprocess` and of modules like it, and B615: a person chooses
   which version of a network or dataset of the hub is loaded, and its digest is part of the study.
3. pip-audit: known vulnerabilities in the packages that are installed. It asks a server for its advisories.

Exit code: 0 if all three ran and found nothing. 1 if one found something. 3 if none found something, but one could not
run: what was not checked is no pass.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent

FOUND, NOT_RUN = 1, 3
BANDIT_RULES = ("B613", "B614")
"""Marks of writing direction in code, and weights that are read so that they may run code."""

AUDIT_SECONDS = 600


@dataclass(frozen=True)
class Outcome:
    """The outcome of a check. state: "failed" where it found something, "not run" where it could not look."""

    state: Literal["passed", "failed", "not run"]
    words: str


def ruff() -> Outcome:
    """Check most of bandit's rules with ruff, with the exceptions that pyproject.toml and comments explain."""
    if "S" not in _settings()["tool"]["ruff"]["lint"]["select"]:
        return Outcome("failed", "pyproject.toml does not select the rules S")
    ran = _run([_tool("ruff") or "ruff", "check", "--output-format", "concise", "."])
    return Outcome("passed", "no finding") if ran.returncode == 0 else Outcome("failed", ran.stdout.strip())


def bandit() -> Outcome:
    """Check the two rules."""
    tool = _tool("bandit")
    if tool is None:
        return Outcome("not run", f"bandit is not installed (pip install bandit), for rules {', '.join(BANDIT_RULES)}")
    folders = ["search", "dashboards", "objectives", "spaces", "scripts", "tests"]
    ran = _run([tool, "--quiet", "--recursive", "--tests", ",".join(BANDIT_RULES), *folders])
    return Outcome("passed", "no finding") if ran.returncode == 0 else Outcome("failed", ran.stdout or ran.stderr)


def audit() -> Outcome:
    """Ask for known vulnerabilities of every installed package.

    pip-audit skips a package that its server does not know, and ends without an error. Here such a package is not
    audited.
    """
    tool = _tool("pip-audit")
    if tool is None:
        return Outcome("not run", "not audited: pip-audit is not installed (pip install pip-audit)")
    try:
        ran = _run([tool, "--format", "json", "--progress-spinner", "off", "--path", _packages()], AUDIT_SECONDS)
    except subprocess.TimeoutExpired:
        return Outcome("not run", f"not audited: the advisories did not come within {AUDIT_SECONDS} s")
    return audited(ran.stdout, ran.stderr)


def audited(report: str, errors: str) -> Outcome:
    """Read what pip-audit printed."""
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = (errors.strip() or "no report").splitlines()[-1]
        return Outcome("not run", f"not audited: the advisories cannot be had: {reason}")
    vulnerable = [
        f"{package['name']} {package['version']}: {known['id']}; mended in {', '.join(known['fix_versions']) or 'none'}"
        for package in packages
        for known in package.get("vulns", ())
    ]
    if vulnerable:
        return Outcome("failed", "\n".join(vulnerable))
    skipped = [
        package
        for package in packages
        if "skip_reason" in package and package["name"] != _settings()["project"]["name"]
    ]
    if skipped:
        first = skipped[0]
        return Outcome(
            "not run",
            f"not audited: {len(skipped)} of {len(packages)} packages, e.g. {first['name']}: {first['skip_reason']}",
        )
    return Outcome("passed", f"{len(packages)} packages, no known vulnerability")


CHECKS: dict[str, Callable[[], Outcome]] = {"ruff S": ruff, "bandit": bandit, "pip-audit": audit}


def exit_code(outcomes: Sequence[Outcome]) -> int:
    states = {outcome.state for outcome in outcomes}
    return FOUND if "failed" in states else NOT_RUN if "not run" in states else 0


def main() -> int:
    """Run all checks, print a line for each, and return the exit code."""
    outcomes = []
    for name, check in CHECKS.items():
        outcome = check()
        outcomes.append(outcome)
        print(f"{name:10} {outcome.state:8} {outcome.words}", flush=True)
    return exit_code(outcomes)


def _tool(name: str) -> str | None:
    """Return the path of a tool: beside this Python, else on the PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if os.access(beside, os.X_OK) else shutil.which(name)


def _packages() -> str:
    """Return the folder of this Python's packages, so that pip-audit may live in an environment of its own."""
    import sysconfig

    return sysconfig.get_path("purelib")


def _settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _run(command: Sequence[str], seconds: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)


if __name__ == "__main__":
    sys.exit(main())
