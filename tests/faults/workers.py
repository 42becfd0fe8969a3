"""Workers, and the memory and images that they need, are lost while a run goes on."""

import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import numpy as np
import psutil
from PIL import Image

from objectives.datasets.images import FileImages, square_pixels
from objectives.features.cache.quota import PIXELS
from objectives.features.cache.shards import SUFFIX, Shard, image_keys
from objectives.results import StudyResults
from search.database.store import Store
from tests.faults.row import Case, NotTriedError, Row, demand
from tests.faults.runs import COMMAND

MOST_SECONDS = 240.0
"""Longest time of a run that loses workers."""

PAUSE = 12.0
"""Least seconds between two kills after the second one. A new worker needs about half of it to load its network."""


def workers_of(run: int) -> list[psutil.Process]:
    """Return the worker processes of the private Ray of a run that have received something to do."""
    found = []
    with suppress(psutil.Error):
        for process in psutil.Process(run).children(recursive=True):
            with suppress(psutil.Error):
                if re.match(r"ray::(?!IDLE|\w+Agent\b)", " ".join(process.cmdline())):
                    found.append(process)
    return found


def study_of(case: Case) -> StudyResults:
    with Store.open(case.url) as store:
        [study] = store.studies()
        return store.read_study(study.name)


def demand_all_trials(study: StudyResults) -> None:
    settings = [trial.setting for trial in study.trials if trial.state in ("complete", "pruned")]
    demand(len(settings) == 8, f"{len(settings)} of 8 trials are finished")
    demand(len(settings) == len(set(settings)), "a setting is finished twice")
    demand(bool(study.finals), "no answer is tested")


def demand_retries(case: Case, kills: int) -> None:
    """Demand that every trial is finished once, and that each kill that cost an attempt is said and stored in words."""
    study = study_of(case)
    demand_all_trials(study)
    lost = [trial for trial in study.trials if trial.state not in ("complete", "pruned")]
    demand(len(lost) <= kills, f"{len(lost)} trials have no result after {kills} kills")
    reasons = {trial.reason for trial in lost if not re.search("signal 9|killed", trial.reason or "")}
    demand(not reasons, f"a trial that lost its worker says {reasons}")
    said = case.output.count("tried again: ")
    demand(said >= len(lost), f"{len(lost)} trials lost their worker, and {said} lines say so")


def kill_workers(case: Case) -> None:
    """Kill one worker after another at random moments of a whole run, which must go on."""
    kills, most = 0, case.random.randint(1, 5)
    with case.started(*COMMAND) as run:
        began = time.monotonic()
        pause = case.random.uniform(0.0, 25.0)
        last = began
        while run.poll() is None:
            demand(time.monotonic() - began < MOST_SECONDS, f"it still runs after {MOST_SECONDS:.0f} s")
            time.sleep(0.05)
            if kills < most and time.monotonic() - last > pause and (workers := workers_of(run.pid)):
                with suppress(psutil.Error):
                    case.random.choice(workers).send_signal(signal.SIGKILL)
                    kills, last = kills + 1, time.monotonic()
                    pause = case.random.uniform(0.0 if kills < 2 else PAUSE, 20.0)
        code = run.returncode
        demand(code == 0, f"{kills} workers were killed, and it ended with {code}: {case.output[-900:]}")
    demand_retries(case, kills)


def kill_all_workers(case: Case) -> None:
    """Kill all workers at once, as where a machine of a cluster is lost."""
    with case.started(*COMMAND) as run:
        time.sleep(case.random.uniform(5.0, 35.0))
        workers = workers_of(run.pid)
        for worker in workers:
            with suppress(psutil.Error):
                worker.send_signal(signal.SIGKILL)
        code = run.wait(MOST_SECONDS)
        demand(code == 0, f"{len(workers)} workers were killed, and it ended with {code}: {case.output[-900:]}")
    demand_retries(case, len(workers))


def little_shared_memory(case: Case) -> None:
    """Let a run have 64 MB of shared memory, as in a container."""
    if shutil.which("unshare") is None:
        raise NotTriedError("`unshare` is not installed")
    small = "mount -t tmpfs -o size=64m tmpfs /dev/shm"
    allowed = subprocess.run(["unshare", "-m", "sh", "-c", small], check=False, capture_output=True)
    if allowed.returncode != 0:
        raise NotTriedError("this user may not mount a file system of its own")
    ended = case.finished(*COMMAND, before=["unshare", "-m", "sh", "-c", f'{small} && exec "$@"', "sh"])
    demand(ended.returncode == 0, f"it ended with {ended.returncode}: {ended.stderr[-900:]}")
    demand_all_trials(study_of(case))


def change_an_image(case: Case) -> None:
    """Replace or truncate an image at a random moment. Its features must never be those of another image."""
    data = case.folder / "data"
    generator = np.random.default_rng(case.random.randrange(2**32))
    for number in range(120):
        folder = data / f"class{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        painted(generator, number % 3).save(folder / f"{number}.png")
    words = ("run", "--dataset", "folder", "--data-root", str(data), *COMMAND[3:])
    changed = data / "class1" / f"{case.random.randrange(40) * 3 + 1}.png"
    before = changed.read_bytes()
    with case.started(*words) as run:
        time.sleep(case.random.uniform(1.0, 20.0))
        if case.random.random() < 0.5:
            changed.write_bytes(before[: len(before) // 2])
        else:
            painted(generator, 0).save(changed)
        code = run.wait(MOST_SECONDS)
    if code != 0:
        demand(code == 1, f"it ended with {code}: {case.output[-900:]}")
        demand("Traceback" not in case.output, case.output[-900:])
        demand(changed.name in case.output, f"it does not name the image: {case.output[-900:]}")
    changed.write_bytes(before)
    ended = case.finished(*words)
    demand(ended.returncode == 0, f"with the image as before, it ended with {ended.returncode}: {ended.stderr[-900:]}")
    images = FileImages(changed.parent, (changed.name,))
    rows = kept_pixels(case, images.digest(0))
    demand(bool(rows), "the pixels of the image are not kept")
    wrong = [row for row in rows if not np.array_equal(row, square_pixels(images, [0], row.shape[-1])[0])]
    demand(not wrong, "the pixels that are kept of the image are those of another one")


def kept_pixels(case: Case, digest: str) -> list[np.ndarray]:
    """Return the rows of the image of this digest in the shards of pixels."""
    [key], found = image_keys([digest]), []
    for file in case.home.glob(f"**/{PIXELS}/*/*{SUFFIX}"):
        shard = Shard.open(file)
        keys, rows = (None, None) if shard is None else (shard.keys(), shard.read(PIXELS))
        if keys is not None and rows is not None:
            found += [row for other, row in zip(keys, rows, strict=True) if np.array_equal(other, key)]
    return found


def painted(generator: np.random.Generator, shade: int) -> Image.Image:
    pixels = generator.integers(0, 120, (32, 32, 3)) + 60 * shade
    return Image.fromarray(pixels.astype(np.uint8))


def no_memory(case: Case) -> None:
    """Let Ray kill each worker for want of memory."""
    case.variables = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "100"}
    began = time.monotonic()
    ended = case.finished(*COMMAND)
    said = ended.stdout + ended.stderr
    demand(ended.returncode == 1, f"it ended with {ended.returncode}: {said[-900:]}")
    demand("Traceback" not in said, said[-900:])
    words = "because the machine was out of memory"
    demand(words in said.rstrip().splitlines()[-1], f"its last line does not say why: {said[-900:]}")
    demand(time.monotonic() - began < MOST_SECONDS, "it took too long")
    case.variables = {}
    again = case.finished(*COMMAND)
    demand(again.returncode == 0, f"the next run ended with {again.returncode}: {again.stderr[-900:]}")
    demand_all_trials(study_of(case))


ROWS = [
    Row("workers killed by signal 9 one after another; the run goes on, no trial is lost or doubled", kill_workers),
    Row("all workers killed at once; the run goes on, no trial is lost or doubled", kill_all_workers, ("sqlite",)),
    Row("each worker killed by Ray for want of memory; a line says so, the next run goes on", no_memory, ("sqlite",)),
    Row("64 MB of shared memory, as in a container; the run goes on", little_shared_memory, ("sqlite",)),
    Row(
        "an image is replaced or truncated meanwhile; a line names it, and no feature is wrong",
        change_an_image,
        ("sqlite",),
    ),
]
