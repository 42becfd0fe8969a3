"""scripts/check --security: what counts as found, and what was not looked at."""

import json
from typing import Any

import pytest
import security
from security import Outcome, audited, exit_code


def report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": [*packages], "fixes": []})


SOUND = {"name": "torch", "version": "2.13.0", "vulns": []}
SKIPPED = {"name": "ray", "skip_reason": "Dependency not found on PyPI and could not be audited: ray (2.60.0)"}
OURS = {"name": "diffusion-feature-search", "skip_reason": "Dependency not found on PyPI"}
VULNERABLE = {
    "name": "pillow",
    "version": "9.0.0",
    "vulns": [{"id": "PYSEC-2023-1", "fix_versions": ["9.0.1", "9.1"], "aliases": [], "description": ""}],
}


@pytest.mark.parametrize(
    ("text", "errors", "outcome"),
    [
        (report(SOUND, OURS), "", Outcome("passed", "2 packages, no known vulnerability")),
        (
            report(SOUND, SKIPPED),
            "",
            Outcome("not run", f"not audited: 1 of 2 packages, e.g. ray: {SKIPPED['skip_reason']}"),
        ),
        (
            report(SOUND, SKIPPED, VULNERABLE),
            "Found 1 known vulnerability",
            Outcome("failed", "pillow 9.0.0: PYSEC-2023-1; mended in 9.0.1, 9.1"),
        ),
        (
            "",
            "Traceback\nConnectionError: no server",
            Outcome("not run", "not audited: the advisories cannot be had: ConnectionError: no server"),
        ),
        ("", "", Outcome("not run", "not audited: the advisories cannot be had: no report")),
        ("[]", "", Outcome("not run", "not audited: the advisories cannot be had: no report")),
    ],
)
def test_packages_that_nobody_judged_are_no_pass(text: str, errors: str, outcome: Outcome) -> None:
    assert audited(text, errors) == outcome


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (("passed", "passed"), 0),
        (("passed", "not run"), 3),
        (("not run", "failed"), 1),
        (("failed",), 1),
    ],
)
def test_the_exit_code_tells_found_from_not_looked_at(states: tuple[Any, ...], code: int) -> None:
    assert exit_code([Outcome(state, "") for state in states]) == code


def test_tools_that_are_missing_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "_tool", lambda name: None)
    assert security.audit().words.startswith("not audited: pip-audit is not installed")
    assert security.bandit().state == "not run"
