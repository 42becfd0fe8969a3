"""The whole search against what a user would write today, on the same images, space, number of trials and machine.

    python tests/benchmarks/whole_search.py --dataset cub --data-root DIR --trials 200 --out FILE.json

Three programs look for the best (timestep, block, pool) of a linear probe in the default space:
- `search`: this service, from process start to report.
- `skilled`: Ray Tune + its OptunaSearch on SQLite in WAL mode, actors reused, so that network and images stay loaded.
- `beginner`: Ray Tune + its OptunaSearch as they come.
In the latter two every trial runs the diffusers U-Net with a forward hook over the training images and fits
scikit-learn's LogisticRegression to convergence (tol=1e-6) on standardised features; its strength C is one more
dimension of the search, and the winner is refitted on training + validation images and tested. `--skilled-trials` and
`--beginner-trials` run fewer trials of a slow one. The seconds of its trials are then scaled to `--trials`, and the
table says so.

A fourth row is `recommend`: `search recommend`, which makes no trials. Its seconds end when the setting is known. Its
accuracies are those of the peers' head at that setting, at the best of six strengths C.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "token")

import numpy as np
import torch

from objectives.backbones.catalog import BUNDLED
from objectives.backbones.tapped import TappedBackbone
from objectives.datasets.catalog import Dataset, load_dataset
from objectives.datasets.images import square_pixels
from objectives.datasets.splits import Split, split
from spaces import PRESETS, Space

_loaded: dict[str, Any] = {}


def load_network_and_images(dataset: Dataset) -> tuple[Any, Any, torch.Tensor]:
    from diffusers import DDPMScheduler, UNet2DModel

    torch.set_num_threads(1)
    unet = UNet2DModel.from_pretrained(BUNDLED / "unet", torch_dtype=torch.float32, low_cpu_mem_usage=False).eval()
    scheduler = DDPMScheduler.from_pretrained(BUNDLED / "scheduler")
    pixels = square_pixels(dataset.images, np.arange(len(dataset)), unet.config.sample_size)
    return unet, scheduler, torch.from_numpy(pixels).float() / 127.5 - 1


def features(config: dict[str, Any], dataset: Dataset, indices: np.ndarray, keep_loaded: bool) -> np.ndarray:
    """(n, channels * pool²): a hook on one module, the whole U-Net run over every image."""
    if not keep_loaded or "network" not in _loaded:
        _loaded["network"] = load_network_and_images(dataset)
    unet, scheduler, images = _loaded["network"]
    outputs: list[torch.Tensor] = []

    def hook(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
        outputs.append(torch.nn.functional.adaptive_avg_pool2d(output, config["pool"]).flatten(1))

    handle = unet.get_submodule(config["module"]).register_forward_hook(hook)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for start in range(0, len(indices), 64):
            batch = images[indices[start : start + 64]]
            timesteps = torch.full((len(batch),), config["timestep"])
            noise = torch.randn(batch.shape, generator=generator)
            unet(scheduler.add_noise(batch, noise, timesteps), timesteps)
    handle.remove()
    return torch.cat(outputs).numpy()


def fit(train: np.ndarray, labels: np.ndarray, strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, tol=1e-6, max_iter=2000))
    return model.fit(train, labels)


def trial(config: dict[str, Any], dataset: Dataset, parts: Split, keep_loaded: bool) -> None:
    from ray import tune

    train = features(config, dataset, parts.train, keep_loaded)
    validation = features(config, dataset, parts.validation, keep_loaded)
    model = fit(train, dataset.labels[parts.train], config["C"])
    tune.report({"accuracy": model.score(validation, dataset.labels[parts.validation])})


def define(space: Space, trial: Any) -> dict[str, Any]:
    """The space in Optuna's define-by-run form."""
    block = trial.suggest_categorical("block", space.blocks)
    trial.suggest_categorical("timestep", space.timesteps)
    trial.suggest_categorical("pool", space.pools)
    trial.suggest_float("C", 1e-5, 1.0, log=True)
    return {"module": space.architecture.block(block).name}


def hand_written(dataset: Dataset, space: Space, trials: int, seed: int, skilled: bool) -> dict[str, Any]:
    """Ray Tune + OptunaSearch."""
    import optuna
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    warnings.filterwarnings("ignore")
    parts = split(dataset, seed)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        storage = None
        if skilled:
            from sqlalchemy import event

            storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/study.db")
            event.listen(storage.engine, "connect", lambda c, _: c.execute("PRAGMA journal_mode=WAL"))
            event.listen(storage.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=NORMAL"))
            storage.engine.dispose()
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        began = time.perf_counter()
        try:
            results = tune.Tuner(
                tune.with_parameters(trial, dataset=dataset, parts=parts, keep_loaded=skilled),
                tune_config=tune.TuneConfig(
                    search_alg=OptunaSearch(
                        partial(define, space), metric="accuracy", mode="max", storage=storage, study_name="peer"
                    ),
                    num_samples=trials,
                    metric="accuracy",
                    mode="max",
                    reuse_actors=skilled,
                ),
                run_config=tune.RunConfig(storage_path=folder, verbose=0),
            ).fit()
            best = results.get_best_result()
            of_trials = time.perf_counter() - began
        finally:
            ray.shutdown()
        everything = np.concatenate([parts.train, parts.validation])
        model = fit(features(best.config, dataset, everything, True), dataset.labels[everything], best.config["C"])
        test = model.score(features(best.config, dataset, parts.test, True), dataset.labels[parts.test])
        _loaded.clear()  # or Ray would send it along with the next function
    return {
        "trials": trials,
        "seconds": time.perf_counter() - started,
        "seconds_of_trials": of_trials,
        "passes": trials * len(everything) + len(everything) + len(parts.test),
        "validation": best.metrics["accuracy"],
        "test": test,
        "best": {name: best.config[name] for name in ("block", "timestep", "pool", "C")},
        "failed": results.num_errors,
    }


def this_service(arguments: argparse.Namespace, trials: int) -> dict[str, Any]:
    """`search run` in a process and a home of its own."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        common = [sys.executable, "-m", "search"]
        root = ["--data-root", str(arguments.data_root)] if arguments.data_root else []
        command = [*common, "run", "--dataset", arguments.dataset, *root, "--trials", str(trials)]
        subprocess.run([*command, "--heads", "linear", "--seed", str(arguments.seed), "--home", home], check=True)
        seconds = time.perf_counter() - started
        answer = subprocess.run(
            [*common, "best", "--dataset", arguments.dataset, "--json", "--home", home],
            check=True,
            capture_output=True,
            text=True,
        )
    best = json.loads(answer.stdout)
    return {
        "trials": best["trials"],
        "seconds": seconds,
        "passes": best["passes"],
        "validation": best["validation_accuracy"],
        "test": best["test_accuracy"],
        "best": best["setting"],
        "failed": 0,
    }


def recommendation(arguments: argparse.Namespace, dataset: Dataset, space: Space) -> dict[str, Any]:
    """`search recommend` in a process and a home of its own; then the peers' head at its setting."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        root = ["--data-root", str(arguments.data_root)] if arguments.data_root else []
        command = [sys.executable, "-m", "search", "recommend", "--dataset", arguments.dataset, *root, "--json"]
        command += ["--no-memory", "--seed", str(arguments.seed), "--home", home]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    seconds = time.perf_counter() - started
    setting = answer["setting"]
    config = {"module": space.architecture.block(setting["block"]).name} | {
        name: setting[name] for name in ("block", "timestep", "pool")
    }
    parts = split(dataset, arguments.seed)
    train, validation, tested = (
        features(config, dataset, part, True) for part in (parts.train, parts.validation, parts.test)
    )
    labels = dataset.labels

    def validated(strength: float) -> float:
        return float(fit(train, labels[parts.train], strength).score(validation, labels[parts.validation]))

    accuracies = {strength: validated(strength) for strength in np.logspace(-5, 0, 6)}
    strength = max(accuracies, key=lambda strength: accuracies[strength])
    everything = np.concatenate([parts.train, parts.validation])
    model = fit(np.concatenate([train, validation]), labels[everything], strength)
    _loaded.clear()
    return {
        "trials": 0,
        "seconds": seconds,
        "passes": answer["passes"],
        "validation": accuracies[strength],
        "test": float(model.score(tested, labels[parts.test])),
        "best": {name: config[name] for name in ("block", "timestep", "pool")} | {"C": float(strength)},
        "failed": 0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="The whole search against Ray Tune + OptunaSearch by hand.")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--skilled-trials", type=int, help="fewer trials, scaled")
    parser.add_argument("--beginner-trials", type=int, help="fewer trials, scaled; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file for the rows")
    arguments = parser.parse_args()

    ours = this_service(arguments, arguments.trials)
    dataset = load_dataset(arguments.dataset, arguments.data_root)
    space = _space().narrow(heads=["linear"])
    rows: dict[str, dict[str, Any]] = {"search": ours, "recommend": recommendation(arguments, dataset, space)}
    for name, wanted in (("skilled", arguments.skilled_trials), ("beginner", arguments.beginner_trials)):
        trials = arguments.trials if wanted is None else wanted
        if trials:
            rows[name] = hand_written(dataset, space, trials, arguments.seed, skilled=name == "skilled")
    for row in rows.values():
        missing = arguments.trials / row["trials"] - 1 if "seconds_of_trials" in row else 0
        row["seconds_scaled"] = row["seconds"] + missing * row.get("seconds_of_trials", 0)
        row["ratio"] = row["seconds_scaled"] / ours["seconds"]
    print(
        f"{'':9} {'trials':>6} {'seconds':>8} {'scaled':>8} {'ratio':>6} {'passes':>9} {'validation':>10} {'test':>6}"
    )
    for name, row in rows.items():
        print(
            f"{name:9} {row['trials']:6} {row['seconds']:8.0f} {row['seconds_scaled']:8.0f} {row['ratio']:6.1f} "
            f"{row['passes']:9,} {row['validation']:10.3f} {row['test']:6.3f}  {row['best']}"
        )
    if arguments.out:
        arguments.out.write_text(json.dumps({"machine": _machine(), "dataset": arguments.dataset, **rows}, indent=1))


def _space() -> Space:
    from objectives.backbones.catalog import load_backbone

    backbone = load_backbone("bundled")
    assert isinstance(backbone, TappedBackbone)
    return PRESETS["default"](backbone.architecture)


def _machine() -> dict[str, Any]:
    import platform

    return {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}


if __name__ == "__main__":
    main()
