"""Mistakes that are refused before anything heavy is loaded: no torch, no Ray, no upgrade of a database."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "ray", "diffusers", "transformers", "sklearn", "alembic", "plotly")

SCRIPT = """
import contextlib, io, json, sys
from search.cli.main import main

answers = []
for words in json.loads(sys.argv[1]):
    sys.argv, errors, code = ["search", *words], io.StringIO(), 0
    with contextlib.redirect_stderr(errors):
        try:
            main()
        except SystemExit as end:
            code = end.code
    loaded = [name for name in json.loads(sys.argv_heavy) if name in sys.modules]
    answers.append([code, errors.getvalue(), loaded])
print(json.dumps(answers))
"""

MISTAKES: list[tuple[str, str]] = [
    ("--dataset digitz", "unknown dataset 'digitz'; did you mean 'digits'"),
    ("--dataset {root}/classes", "--dataset takes a name, got the path"),
    ("--dataset folder", "needs its folder: add --data-root"),
    ("--dataset cub", "`search datasets fetch cub` puts it there"),
    ("--dataset folder --data-root {root}/none", "none does not exist"),
    ("--dataset folder --data-root {root}/list.csv", "is a file; if it lists the images, give csv as --dataset"),
    ("--dataset folder --data-root {root}/listed", "if list.csv lists the images, give csv as --dataset"),
    ("--dataset csv --data-root {root}/classes", "if these are the classes, give folder as --dataset"),
    ("--dataset csv --data-root {root}/none.csv", "none.csv does not exist"),
    ("--dataset cub --data-root {root}/classes", "images.txt, image_class_labels.txt, .* missing"),
    ("--dataset folder --data-root {root}/empty", "no class folders in"),
    ("--dataset folder --data-root {root}/classes", "all class folders in .* are empty"),
    (
        "--dataset folder --data-root {root}/phone",
        r"2 files, in an image format .*convert to JPEG or PNG.*; add images",
    ),
    ("--dataset digits --data-root {root}/classes", "needs no folder"),
    ("--dataset digits --backbone bundeld", "did you mean 'bundled'"),
    ("--dataset digits --backbone ./none", "there is no folder ./none; --backbone takes"),
    ("--dataset digits --backbone {root}/none", "there is no folder"),
    ("--dataset digits --backbone {root}/empty", "it needs a config.json"),
    ("--dataset digits --backbone {root}/odd", "backbone .*odd is a Odd; known: UNet2DModel"),
    ("--dataset digits --precision float8", "unknown precision 'float8'"),
    ("--dataset digits --storage nonsense", "--storage must be a URL of SQLite or PostgreSQL"),
    ("--dataset digits --storage mysql://x/y", "got 'mysql'"),
    ("--dataset digits --storage sqlite:///{root}/list.csv", "file is not a database"),
    ("--dataset digits --storage sqlite:///{root}/empty", "Is a directory"),
    ("--dataset digits --storage sqlite:///{root}/list.csv/a.db", "Not a directory"),
    ("--dataset digits --storage postgresql://u:secret@127.0.0.1:1/x", r"//u@127.0.0.1:1/x .*Connection refused"),
    ("--dataset digits --heads lineer", "did you mean 'linear'"),
    ("--dataset digits --sampler tpee", "unknown sampler"),
    ("--dataset digits --metric acc", "unknown metric"),
    ("--dataset digits --blocks 4,999", "block 999 does not exist for backbone bundled; valid: 1 to 25"),
    ("--dataset digits --timesteps 1000", "timestep 1000 does not exist for backbone bundled; valid: 0 to 999"),
    ("--dataset digits --name a/b", "--name must be at most 60 letters"),
    ("--dataset digits --space papr", "unknown space"),
    ("--dataset digits --space {root}/none.toml", "there is no space file"),
    ("--dataset digits --trials x", "expected a whole number"),
    ("--dataset digits --seed -1", "expected a whole number"),
    ("--dataset digits --home {root}/list.csv", "--home must be a folder"),
]


def test_a_mistake_is_one_line_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    for folder in ("classes/a", "classes/b", "empty", "listed", "odd", "phone/owl", "phone/gull"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "list.csv").write_text("path,label\n" * 100)
    (tmp_path / "listed" / "list.csv").write_text("path,label\n")
    (tmp_path / "odd" / "config.json").write_text('{"_class_name": "Odd"}')
    for name in ("1.heic", "2.HEIC"):
        (tmp_path / "phone" / "owl" / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    words = [["run", *typed.format(root=tmp_path).split()] for typed, _ in MISTAKES]
    script = SCRIPT.replace("json.loads(sys.argv_heavy)", repr(HEAVY))
    typed = [sys.executable, "-c", script, json.dumps(words)]
    environment = {**os.environ, "SEARCH_HOME": str(tmp_path / "home")}
    ran = subprocess.run(typed, env=environment, capture_output=True, text=True, timeout=100, check=True)
    for (typed_words, message), (code, error, loaded) in zip(MISTAKES, json.loads(ran.stdout), strict=True):
        assert code in (1, 2), (typed_words, error)
        note = ["note:"] if "u:secret@" in str(typed_words) else []  # on the password that was typed
        assert [line.split()[0] for line in error.splitlines()] == [*note, "error:"], (typed_words, error)
        assert re.search(message, error), (typed_words, error)
        assert "u:secret" not in error
        assert not loaded, (typed_words, loaded)
    assert not (tmp_path / "home").exists()
