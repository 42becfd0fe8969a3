"""The command as its user types it: mistakes, which are one clear line, and what it loads."""

import os
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
import typer

from objectives.devices import gpu_count
from search.cli.main import app, main
from tests.support import small_archives
from tests.support.command_line import Search, search_process
from tests.support.images import class_folders
from tests.support.small_unets import plain


def test_a_mistake_ends_the_process_with_exit_code_2(tmp_path: Path) -> None:
    ran = search_process(tmp_path, tmp_path, "run", "--dataset", "digitz")
    assert ran.code == 2
    assert "did you mean 'digits'?" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ("run", "--dataset", "digitz"),
            2,
            "unknown dataset 'digitz'; did you mean 'digits'? known: aircraft, aircraft-family",
        ),
        (("run", "--dataset", "digits", "--backbone", "bundeld"), 2, "unknown backbone 'bundeld'"),
        (
            ("run", "--dataset", "digits", "--sampler", "tpee"),
            2,
            "known: cost-aware, gp, greedy, grid, qmc, random, tpe",
        ),
        (("run", "--dataset", "digits", "--heads", "mpl"), 2, "unknown head 'mpl'; did you mean 'mlp'"),
        (("run", "--dataset", "digits", "--metric", "top-5"), 2, "known: accuracy, mean-per-class, nll"),
        (
            ("run", "--dataset", "digits", "--objectives", "cost"),
            2,
            "takes one metric, accuracy or mean-per-class or nll",
        ),
        (
            ("run", "--dataset", "digits", "--metric", "nll", "--objectives", "accuracy,cost"),
            2,
            "--metric is nll and --objectives begins with accuracy; leave --metric out",
        ),
        (("run", "--dataset", "digits", "--cache-size", "0GB"), 2, "--cache-size must be from 1 to 9,"),
        (
            ("run", "--dataset", "digits", "--trials", "0"),
            2,
            "expected a whole number from 1 to 2,147,483,647, got '0'",
        ),
        (("run", "--dataset", "digits", "--folds", "1"), 2, "expected a whole number from 2 to"),
        (("run", "--dataset", "digits", "--folds", "3", "--validation-fraction", "0.2"), 2, "leave one of them out"),
        (("run", "--dataset", "digits", "--blocks", "13", "--pools", "8"), 2, "valid: 1, 2, 4"),
        (("run", "--dataset", "digits", "--blocks", "x"), 2, "expected numbers and ranges"),
        (("run", "--dataset", "cub"), 1, "add --data-root ("),
        (("run", "--dataset", "cub", "--data-root", "/nowhere"), 1, "/nowhere does not exist"),
        (
            ("run", "--dataset", "digits", "--storage", "mysql://me:hushhush@host/db"),
            1,
            "--storage must be a URL of SQLite",
        ),
        (
            ("run", "--dataset", "digits", "--storage", "postgresql://me:hushhush@127.0.0.1:1/db"),
            1,
            "postgresql+psycopg://me@127.0.0.1",
        ),
        pytest.param(
            ("run", "--dataset", "digits", "--gpus-per-trial", "1"),
            2,
            "--gpus-per-trial is 1, and torch finds no GPU on this machine",
            marks=pytest.mark.skipif(gpu_count() > 0, reason="this machine has a GPU"),
        ),
        (("run", "--dataset", "digits", "--space", "wide"), 2, "known: a .toml file, default, paper"),
        (("best", "--dataset", "digits"), 1, "no study of dataset 'digits'"),
        (("report", "--study", "mine"), 1, "no study 'mine'"),
        (("report", "--format", "pdf"), 2, "unknown format 'pdf'; known: csv, html, json, latex, md"),
        (("run",), 2, "--dataset"),
        (
            ("run", "--dataset", "digits", "--seed", "4294967295"),
            2,
            "--seed must be from 0 to 4,294,967,290, since the",
        ),
        (("run", "--dataset", "digits", "--seed", "4294967296"), 2, "from 0 to 4,294,967,295, got '4294967296'"),
        (("run", "--dataset", "digits", "--taps", "1-8", "--timesteps", "0-999"), 2, "the space has about 1.6e+31"),
        (("run", "--dataset", "folder", "--data-root", ""), 2, "--data-root must not be empty"),
        (("cka", "--dataset", "digits", "--images", "3"), 2, "expected a whole number from 4 to"),
        (("classify", "a", "b", "--top", "0"), 2, "expected a whole number from 1 to"),
        (("recommend", "--dataset", "digits", "--passes", "1e9"), 2, "expected a whole number from 1 to"),
        (("dashboard", "--port", "65536"), 2, "expected a whole number from 1 to 65,535, got '65536'"),
        (("status", "--home", "/dev/null"), 2, "--home must be a folder, got /dev/null, which is none"),
        (("status", "--home", ""), 2, "--home must not be empty, got ''; give a value, or leave it out"),
        (("status", "--storage", ""), 2, "--storage must not be empty, got ''"),
        (("status", "--storage", "sqlite:////nowhere/studies.db"), 1, "there is no database at sqlite:////nowhere/"),
        (("cache", "--storage", "sqlite:////nowhere/studies.db"), 1, "there is no database at sqlite:////nowhere/"),
        (
            ("status", "--home", "/nowhere"),
            1,
            "there is no folder /nowhere; name the folder of your studies with --home",
        ),
        (("status", "--home", f"/tmp/{'x' * 300}"), 2, "--home must be a path of fewer than 4,096 bytes whose names"),
        (
            ("status", "--storage", "postgresql://me:hushhush@h:notaport/x"),
            1,
            "--storage must have a whole number as its",
        ),
        (("cka", "--dataset", "digits", "--batch", "1e400"), 2, "expected a whole number from 4 to 2,147,483,647"),
        (("cka", "--dataset", "digits", "--out", "x.txt"), 2, "--out must end with .html, got 'x.txt'"),
        (("report", "--out", "x.docx"), 2, "--out must end with .html, .md, .json, .csv, .tex, got 'x.docx'"),
        (("compare", "a"), 2, "takes the names of two studies, got 'a'; `search status` lists them"),
        (("compare", "a", "b", "c"), 2, "takes the names of two studies, got 'a', 'b', 'c'"),
        *(
            (("run", "--dataset", "digits", "--ray-address", address), 2, "--ray-address must be HOST:PORT")
            for address in ("nowhere", ":", "auto", "local", ":1", "127.0.0.1:99999", "127.0.0.1:0", "ray://host:1")
        ),
        (("recommend", "--dataset", "digits", "--budget", "5 d"), 2, "expected a time such as 90s, 5m or 1h30m, or a"),
        (("status", "--storage="), 2, "--storage must not be empty, got ''"),
        (("best", "--study", ""), 2, "--study must not be empty, got ''"),
        (("report", "--out", ""), 2, "--out must not be empty, got ''"),
        (("export", "--backbone", ""), 2, "--backbone must not be empty, got ''"),
        (("datasets", "fetch", ""), 2, "an argument must not be empty, got ''"),
        (("cka", "--dataset", "digits", "--against", ""), 2, "--against must not be empty, got ''"),
        (("dashboard", "--host", " "), 2, "--host must name an address such as 127.0.0.1, or 0.0.0.0"),
        (
            ("dashboard", "--host", "0.0.0.0"),
            2,
            "--host 0.0.0.0 lets others connect: --allowed-host must give the name",
        ),
        (("dashboard", "--allowed-host", "a:80"), 2, "--allowed-host takes a name or an address without http://"),
        (("dashboard", "--host", "0.0.0.0", "--allowed-host", "gpu7"), 2, "a new token is shown on a terminal only"),
        (("status", "--storage", "foo"), 1, "--storage must be a URL of SQLite or PostgreSQL, got no URL; try sqlite:"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_users_mistake_is_one_clear_line(
    search: Search, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    ran = search(*words)
    assert ran.code == code
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "hushhush" not in ran.stdout + ran.stderr
    assert not (tmp_path / "home" / "cache").exists()
    if code == 1:
        note = ["note:"] if "hushhush@" in str(words) and "postgresql" in str(words) else []
        assert [line.split()[0] for line in ran.stderr.splitlines()] == [*note, "error:"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", ["status", "status --json", "datasets", "--help"])
def test_standard_output_that_cannot_be_written_is_one_line(words: str, tmp_path: Path) -> None:
    for redirected, reason in ((">/dev/full", "No space left on device"), (">&-", "it is closed")):
        command = ["sh", "-c", f"{sys.executable} -m search {words} {redirected}"]
        environment = {**os.environ, "SEARCH_HOME": str(tmp_path)}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (1, f"error: cannot write to standard output: {reason}\n")


def test_output_that_nobody_reads_to_its_end_is_no_fault(tmp_path: Path) -> None:
    command = ["sh", "-c", f"{sys.executable} -m search datasets | head -0"]
    ran = subprocess.run(
        command, env={**os.environ, "SEARCH_HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""


@pytest.mark.parametrize("words", ["backbones", "datasets", "--help", "best --study é\udcff"])
def test_output_never_fails_for_a_character(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["search", *words.split()])
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, TextIOWrapper(BytesIO(), encoding="ascii"))
    with pytest.raises(SystemExit) as ended:
        main()
    sys.stdout.flush()
    assert ended.value.code == int("best" in words)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny U-Net, which is described ten times as fast as the bundled one."""
    folder = tmp_path_factory.mktemp("net")
    plain(folder)
    return str(folder)


def test_a_broken_image_stops_the_run_before_it_starts(search: Search, net: str, tmp_path: Path) -> None:
    class_folders(tmp_path / "images", 12)
    broken = tmp_path / "images" / "dark ones" / "image 3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    ran = search("run", "--dataset", "folder", "--data-root", str(tmp_path / "images"), "--backbone", net)
    assert ran.code == 1
    assert "image 3.png" in ran.stderr
    assert "--skip-unreadable" in ran.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("per_class", "words", "message"),
    [
        (2, (), "class 'dark ones' has 2 images, the fewest"),
        (12, ("--folds", "11"), "too few for 11 folds; ask for fewer"),
    ],
    ids=["one split", "folds"],
)
def test_too_few_images_are_refused(
    search: Search, net: str, tmp_path: Path, per_class: int, words: tuple[str, ...], message: str
) -> None:
    class_folders(tmp_path / "images", per_class)
    ran = search("run", "--dataset", "folder", "--data-root", str(tmp_path / "images"), "--backbone", net, *words)
    assert ran.code == 1
    assert message in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert not (tmp_path / "home").exists()


def test_a_class_with_test_images_only_is_refused(search: Search, net: str, tmp_path: Path) -> None:
    class_folders(tmp_path, 12)
    images = [(image.relative_to(tmp_path), image.parent.name) for image in tmp_path.rglob("*.png")]
    lines = [
        f"{path},{name},{'train' if name == 'dark ones' and i % 3 else 'test'}" for i, (path, name) in enumerate(images)
    ]
    (tmp_path / "images.csv").write_text("\n".join(["path,label,split", *lines]))
    ran = search("run", "--dataset", "csv", "--data-root", str(tmp_path / "images.csv"), "--backbone", net)
    assert ran.code == 1
    assert "class 'helle Bilder ü' has no training image, only 12 test images; add training images" in ran.stderr
    assert not (tmp_path / "home").exists()


def test_a_run_reads_datasets_fetched_into_its_home(search: Search, net: str, tmp_path: Path) -> None:
    small_archives.cub(tmp_path / "home/datasets/cub")
    ran = search("run", "--dataset", "cub", "--backbone", net, "--validation-fraction", "0.2")
    assert ran.code == 1
    assert "of 9 images for the validation split" in ran.stderr  # found and read: it is too small, no more


@pytest.mark.parametrize("module", ["spaces", "search", "dashboards", "search.cli.main", "objectives.results"])
def test_light_modules_load_neither_torch_nor_ray(module: str) -> None:
    check = (
        f"import sys, {module}; print([m for m in ('torch', 'ray', 'optuna', 'plotly', 'sklearn') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    check = (
        "import atexit, sys\n"
        "atexit.register(lambda: print([m for m in ('torch', 'ray', 'optuna', 'plotly') if m in sys.modules]))\n"
        "sys.argv = ['search', '--help']\n"
        "from search.cli.main import main\n"
        "main()"
    )
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert "Search for the best setting for a dataset" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "[]"


def numeric_flags() -> list[tuple[str, str]]:
    """Return (command, flag) for every option of every command that takes a number, a size or a time."""
    groups = [("", typer.main.get_command(app))]
    flags = []
    for name, command in groups:
        groups += [(f"{name} {sub}".strip(), found) for sub, found in getattr(command, "commands", {}).items()]
        metavars = ("N", "NUMBER", "SIZE", "TIME")
        options = [option for option in command.params if option.opts[0].startswith("--")]
        flags += [(name, option.opts[0]) for option in options if option.metavar in metavars]
    return flags


def test_every_number_is_refused_in_one_short_line_where_it_is_none(search: Search) -> None:
    flags = numeric_flags()
    assert len(flags) > 20
    for command, flag in flags:
        for value in ("nan", "1e400", *(["-1"] if flag != "--priority" else []), "9" * 5000):
            ran = search(*command.split(), f"{flag}={value}")
            shown = (command, flag, value[:20], ran)
            assert ran.code == 2, shown
            assert f"Invalid value for '{flag}'" in ran.stderr or f"{flag} must be " in ran.stderr, shown
            assert len(ran.stderr.splitlines()) == 1, shown
            assert len(ran.stderr) < 300, shown


def test_a_deleted_working_directory_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.executable, [sys.executable, '-m', 'search', 'status'])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=gone, env=environment, capture_output=True, text=True, check=False
    )
    expected = "error: the folder in which this command was typed has been deleted; change into another one\n"
    assert (ran.returncode, ran.stderr) == (2, expected)
