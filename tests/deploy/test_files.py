"""The files of `deploy/` are valid, and the commands in them are those of this program."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import psutil
import pytest
import typer
import yaml

from search.cli.main import app
from tests.support.processes import child_process

FOLDER = Path(__file__).resolve().parents[2] / "deploy"
COMMAND = typer.main.get_command(app)


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def resources() -> list[dict[str, Any]]:
    return documents("kubernetes.yaml")


@pytest.mark.parametrize(
    "resource", resources(), ids=lambda resource: f"{resource['kind']} {resource['metadata']['name']}"
)
def test_kubernetes_takes_every_resource(resource: dict[str, Any]) -> None:
    kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


def commands() -> Iterator[list[str]]:
    """Yield the words after `search` of every command that a container runs or a comment shows."""
    for service in documents("compose.yaml")[0]["services"].values():
        if "command" in service:
            yield [re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in service["command"]]
    for resource in resources():
        if resource["kind"] == "Deployment":
            yield from (container["args"] for container in resource["spec"]["template"]["spec"]["containers"])
    for file in FOLDER.iterdir():
        for line in file.read_text().splitlines():
            shown = re.search(r"(?:run --rm server|-- search|^search|^#     search) (.*?)(?: &)?$", line)
            if shown:
                yield [word for word in shlex.split(shown[1]) if word != "$@"]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_the_program_has_every_command(words: list[str]) -> None:
    command, rest = COMMAND, words
    while hasattr(command, "commands"):
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(words[0], list(rest))  # it parses the options, and raises for one that there is not


def test_the_image_is_made_as_the_linter_advises() -> None:
    subprocess.run(["hadolint", FOLDER / "Containerfile"], check=True)


def test_the_shell_script_has_no_finding() -> None:
    subprocess.run(["shellcheck", FOLDER / "slurm-worker.sh"], check=True)


@pytest.mark.slow
def test_a_worker_under_slurm_ends_in_good_order_before_its_time_is_over(tmp_path: Path) -> None:
    program = tmp_path / "search"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m search "$@"\n')
    program.chmod(0o700)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SEARCH_HOME": str(tmp_path),
        "SEARCH_STORAGE": f"sqlite:///{tmp_path}/studies.db",
    }
    environment.pop("SLURM_JOB_ID", None)
    command = ["bash", str(FOLDER / "slurm-worker.sh"), "--cores", "1"]
    with child_process(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        assert "waits for jobs" in process.stdout.readline()
        workers = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(timeout=60) == 0, process.stdout.read()
    assert workers
    assert not any(worker.is_running() for worker in workers)


def test_the_image_holds_every_package() -> None:
    copied = re.findall(r"^COPY (\w+) ", (FOLDER / "Containerfile").read_text(), re.MULTILINE)
    packages = [folder.name for folder in FOLDER.parent.iterdir() if (folder / "__init__.py").exists()]
    assert sorted(copied) == sorted(set(packages) - {"tests", "scripts"})
