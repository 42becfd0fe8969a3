"""The check of a GPU, on the CPU: that its rows work, that it goes on after a failed one, and what it says."""

import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gpu_check import correctness, report, sharing, speed, variants, workloads
from gpu_check.machine import FULL, QUICK, Machine, sizes_for
from gpu_check.networks import difference, on_cpu, random_pixels
from gpu_check.processes import ProcessFailedError, in_processes
from gpu_check.rows import LAST_START, Bar, Measured, NotRun, Result, Row, run_row, run_rows
from gpu_check.variants import Truncated

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_gpu"

NEED_A_GPU = {
    "norms-bfloat16",
    "norms-float16",
    "pinned-copies",
    "cudnn-benchmark",
    "cuda-graph",
    "torch-compile-and-cuda-graph",
}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(torch.device("cpu"), QUICK, tmp_path)


def row(name: str, figure: float, bar: Bar | None = None) -> Row:
    return Row(name, "right", 10, lambda _: Measured(figure, "points", bar))


def breaking(error: Exception) -> Row:
    def measure(_: Machine) -> Measured:
        raise error

    return Row("breaking", "right", 10, measure)


def row_named(name: str) -> Row:
    rows = [*correctness.ROWS, *sharing.ROWS, *speed.rows(QUICK), *workloads.ROWS, *variants.ROWS]
    return next(row for row in rows if row.name == name)


def checked(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPT), "--device", "cpu", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False
    )


@pytest.mark.parametrize(
    ("figure", "bar", "outcome"),
    [
        (0.1, Bar(0.2), "pass"),
        (0.3, Bar(0.2), "fail"),
        (50.0, Bar(45, at_least=True), "pass"),
        (40.0, Bar(45, at_least=True), "fail"),
        (7.0, None, "pass"),
        (float("nan"), None, "fail"),
        (float("nan"), Bar(0.2), "fail"),
    ],
)
def test_a_figure_meets_its_bar_or_fails(machine: Machine, figure: float, bar: Bar | None, outcome: str) -> None:
    assert run_row(row("a row", figure, bar), machine).outcome == outcome


def test_a_row_that_breaks_fails_alone(machine: Machine) -> None:
    rows = [breaking(ZeroDivisionError("no\nnumber")), breaking(NotRun("needs a GPU")), row("last", 1.0)]
    results = list(run_rows(rows, machine))
    assert [result.outcome for result in results] == ["fail", "not run", "pass"]
    assert [result.note for result in results] == ["ZeroDivisionError: no number", "needs a GPU", ""]


def test_rows_do_not_start_when_the_time_is_over(tmp_path: Path) -> None:
    late = Machine(torch.device("cpu"), QUICK, tmp_path, start=time.perf_counter() - LAST_START - 1)
    results = list(run_rows([speed.rows(QUICK)[0], row("right", 1.0)], late))
    assert [(result.outcome, result.note) for result in results] == [("not run", "no time left")] * 2


def test_a_head_whose_row_has_little_time_is_fitted_with_fewer_seeds(tmp_path: Path) -> None:
    machine = Machine(torch.device("cpu"), replace(QUICK, seeds=100), tmp_path)
    result = run_row(replace(row_named("head-mlp"), seconds=0.1), machine)
    assert result.outcome == "pass"
    assert "seeds" not in result.note


def test_table_and_file_show_every_row(tmp_path: Path) -> None:
    measured = Measured(97.5, "%", Bar(95, at_least=True), "of pinned memory")
    results = [
        Result.of(row("copies", 0.0), measured, seconds=2.0),
        Result.without_figure(row("graphs", 0.0), "not run", "needs a GPU"),
    ]
    lines = report.table(results).splitlines()
    assert [line.split()[:2] for line in lines] == [["row", "result"], ["copies", "pass"], ["graphs", "not"]]
    assert "97.5" in lines[1]
    assert "≥ 95" in lines[1]
    assert report.summary(results, 60.0) == "pass 1, fail 0, not run 1; 60 s"
    report.save(tmp_path / "check.json", {"name": "a GPU"}, results, 60.0)
    content = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    assert content["machine"]["name"] == "a GPU"
    assert [(r["name"], r["outcome"], r["figure"]) for r in content["rows"]] == [
        ("copies", "pass", 97.5),
        ("graphs", "not run", None),
    ]


def test_sizes_are_full_on_a_gpu_alone() -> None:
    assert sizes_for("cuda", quick=False) == FULL
    assert sizes_for("cuda", quick=True) == sizes_for("cpu", quick=True) == QUICK
    on_a_cpu = sizes_for("cpu", quick=False)
    assert (on_a_cpu.digits, on_a_cpu.adm_256) == (FULL.digits, False)


def test_copies_in_a_profile_are_summed_by_direction_and_memory() -> None:
    def event(name: str, count: int) -> dict[str, Any]:
        return {"ph": "X", "cat": "gpu_memcpy", "name": name, "args": {"bytes": count}}

    events = [
        event("Memcpy HtoD (Pinned -> Device)", 700),
        event("Memcpy HtoD (Pinned -> Device)", 200),
        event("Memcpy HtoD (Pageable -> Device)", 50),
        event("Memcpy DtoH (Device -> Pageable)", 30),
        event("Memcpy DtoD (Device -> Device)", 1000),
        {"ph": "M", "name": "process_name", "args": {"name": "python"}},
    ]
    sums = sharing.copied_bytes({"traceEvents": events})
    assert sums == {("HtoD", "Pinned"): 900, ("HtoD", "Pageable"): 50, ("DtoH", "Pageable"): 30}


def test_norms_of_a_float32_network_are_seen_in_float32(machine: Machine) -> None:
    backbone = on_cpu(machine, "dit")
    counts = correctness.norm_types(backbone, random_pixels(1, backbone.architecture.image_side))
    assert set(counts) == {"float32"}
    assert counts.total() >= len(backbone.architecture.blocks)


@pytest.mark.parametrize("block", [14, 16, 18, 25])
def test_a_truncated_network_ends_at_its_block(machine: Machine, block: int) -> None:
    variant = variants.Variant(on_cpu(machine, "adm"), block, 2)
    variant.check(variant.run(variant.module))


def test_a_wrong_variant_is_noticed(machine: Machine) -> None:
    variant = variants.Variant(on_cpu(machine, "adm"), 16, 2)
    with pytest.raises(AssertionError, match="differs from the product's"):
        variant.check(variant.expected.flip(0))


def test_only_blocks_of_the_decoder_truncate(machine: Machine) -> None:
    with pytest.raises(ValueError, match="not at conv_in"):
        Truncated(on_cpu(machine, "adm").network.module, "conv_in")


@pytest.mark.parametrize("name", ["features-dit-bfloat16", "head-knn", "memory-runs-out", "linear-path"])
def test_single_rows_pass(machine: Machine, name: str) -> None:
    result = run_row(row_named(name), machine)
    assert result.outcome == "pass", result.note


def test_a_difference_is_relative() -> None:
    assert difference(torch.tensor([1.1, 0.0]), torch.tensor([1.0, 0.0])) == pytest.approx(0.1)


def doubled(_barrier: Any, number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    time.sleep(number)
    return 2 * number


@pytest.mark.slow
def test_processes_return_their_results_or_are_ended() -> None:
    assert in_processes(doubled, [(0,), (1,)], 60) == [0, 2]
    with pytest.raises(ProcessFailedError, match="ValueError: negative"):
        in_processes(doubled, [(-1,)], 60)
    since = time.perf_counter()
    with pytest.raises(ProcessFailedError, match="did not finish"):
        in_processes(doubled, [(1000,)], 0.5)
    assert time.perf_counter() - since < 100


@pytest.mark.slow
def test_the_whole_check_runs_on_a_cpu(tmp_path: Path) -> None:
    ran = checked("--quick", "--out", "check.json", "--commit", "abc", folder=tmp_path)
    content = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    outcomes = {row["name"]: row["outcome"] for row in content["rows"]}
    failed = [(row["name"], row["note"]) for row in content["rows"] if row["outcome"] == "fail"]
    assert not failed
    assert ran.returncode == 0, ran.stderr
    assert {name for name, outcome in outcomes.items() if outcome == "not run"} == NEED_A_GPU
    assert content["machine"]["commit"] == "abc"
    assert content["machine"]["device"] == "cpu"
    assert "not run 6" in ran.stdout


@pytest.mark.slow
def test_unknown_rows_are_refused_with_the_names_there_are(tmp_path: Path) -> None:
    ran = checked("--quick", "--only", "head-forest", folder=tmp_path)
    assert ran.returncode == 1
    assert "no row is called head-forest; there are features-bundled-float32," in ran.stderr
