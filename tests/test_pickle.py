"""Nothing is kept in a format that runs code when it is read: no pickle at rest."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS_CODE = re.compile(
    r"\b(pickle|cPickle|dill|cloudpickle|shelve|marshal|joblib\.(load|dump)|torch\.(load|save)|np\.load|allow_pickle)\b"
)

EXPLAINED = {
    "objectives/backbones/folders/weights.py": "reads published weights, with `weights_only`, which runs no code",
    "objectives/datasets/layouts/arrays.py": "reads CIFAR's own files, with an unpickler that knows arrays only",
    "scripts/train_unet.py": "the checkpoint of a training script, read with `weights_only`",
    "search/running/child.py": "messages between a run and its child process",
    "search/scheduling/on_ray/tune.py": "messages between Ray's driver and its workers",
    "spaces/errors.py": "a comment: how an error crosses to another process",
}


def test_code_that_can_run_code_of_a_file_is_known_and_explained() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    own = [name for name in listed.splitlines() if not name.startswith("tests/")]
    assert len(own) > 100
    found = {name for name in own if RUNS_CODE.search((ROOT / name).read_text(encoding="utf-8"))}
    assert found == set(EXPLAINED)


def test_torch_reads_with_weights_only() -> None:
    for name in EXPLAINED:
        for call in re.findall(r"torch\.load\([^\n]*", (ROOT / name).read_text(encoding="utf-8")):
            assert "weights_only=True" in call
