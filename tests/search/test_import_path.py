"""Files that `import search` loads, beside files and folders of the same names that belong to somebody else."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
OURS = "print(*[__import__(name).__file__ for name in ('search', 'spaces', 'objectives', 'dashboards')], sep='\\n')"


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine = True\n")


@pytest.mark.parametrize("names", [["spaces.py"], ["objectives/__init__.py"], ["dashboards.py"], ["search/notes.py"]])
def test_packages_of_the_same_name_in_the_working_directory_do_not_replace_ours(
    tmp_path: Path, names: list[str]
) -> None:
    write(tmp_path, *names)
    ran = python(tmp_path, "-c", f"import search\n{OURS}")
    assert ran.returncode == 0, ran.stderr
    assert {Path(line).parents[1] for line in ran.stdout.splitlines()} == {CHECKOUT}


def test_a_module_that_was_imported_before_under_our_name_is_named(tmp_path: Path) -> None:
    write(tmp_path, "spaces.py")
    last = python(tmp_path, "-c", "import spaces, search").stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: `spaces` was imported from {tmp_path / 'spaces.py'} before `search`")


def test_a_file_that_replaces_a_module_of_python_is_named(tmp_path: Path) -> None:
    write(tmp_path, "random.py")
    last = python(tmp_path, "-c", "import search").stderr.splitlines()[-1]
    assert last == f"ImportError: {tmp_path / 'random.py'} has replaced Python's module `random`: rename it"


def test_the_command_line_as_a_module_ignores_the_files_of_the_working_directory(tmp_path: Path) -> None:
    write(tmp_path, "random.py", "spaces.py", "numpy.py", "torch.py", "ray/__init__.py", "typer.py")
    ran = python(tmp_path, "-m", "search", "status", "--home", str(tmp_path / "home"))
    assert "Traceback" not in ran.stderr
    assert ran.returncode in (0, 1)
