"""Why a worker process died, in words, from texts of Ray 2.60."""

from pathlib import Path

import pytest

from search.scheduling.on_ray import deaths as module
from search.scheduling.on_ray.deaths import MOST_CHARACTERS, Deaths, kernel_kills

KILLED = (
    "Failure # 1 (occurred at 2026-11-30_11-58-26)\nThe actor died unexpectedly before finishing this task.\n"
    "\tclass_name: ImplicitFunc\n\tactor_id: 9a0f14d363773a694baaa4ca01000000\n\tpid: 8741\n\tip: 192.0.2.2\n"
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker "
    "unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was "
    "killed by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the worker crashed.\n"
)


def test_signal_9_leaves_no_trace_and_a_crash_leaves_one(tmp_path: Path) -> None:
    deaths = Deaths(tmp_path)
    assert deaths.reason(KILLED) == "its worker process was killed by signal 9"
    log = tmp_path / "worker-a0951a9e-ffffffff-8741.err"
    log.write_text(":actor_name:A\n*** SIGSEGV received at time=1796039920 on cpu 0 ***\nPC: @ 0x7fd2934a8eec\n")
    assert deaths.reason(KILLED) == "its worker process crashed (SIGSEGV)"


def test_a_process_on_another_machine_is_named_by_its_address() -> None:
    assert Deaths(None).reason(KILLED) == "its worker process was killed or crashed on 192.0.2.2"


def test_the_kernel_counts_what_it_kills_for_want_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = tmp_path / "vmstat"
    monkeypatch.setattr(module, "KERNEL_COUNTS", counts)
    assert kernel_kills() == 0
    counts.write_text("pgfault 5\noom_kill 3\nfoom_kill 9\n")
    deaths = Deaths(tmp_path)
    assert deaths.reason(KILLED) == "its worker process was killed by signal 9"
    counts.write_text("pgfault 7\noom_kill 4\n")
    assert deaths.reason(KILLED) == "its worker process was killed by signal 9, when the system was out of memory"
    assert deaths.reason(KILLED) == "its worker process was killed by signal 9"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("", "unknown"),
        ("Failure # 1 (occurred at 10:00)\n", "unknown"),
        ("Failure # 1 (occurred at 10:00)\nsomething odd\n", "something odd"),
        (
            "Failure # 1\nThe actor died because of an error raised in its creation task, ray::ImplicitFunc\n"
            "RuntimeError: The actor failed to import:\n\nTraceback:\n  File 'x', line 1\n"
            "ModuleNotFoundError: No module named 'x'\nAn unexpected internal error occurred.\n",
            "ModuleNotFoundError: No module named 'x'",
        ),
        (
            "Failure # 1\nThe actor died unexpectedly.\n\tclass_name: with_parameters\nThe actor is dead because its "
            "worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker was odd.\n",
            "Worker was odd.",
        ),
        ("Failure # 1\nray.exceptions.OddError: Task was killed" + " word" * 99, "Task was killed word"),
        (
            "Failure # 1\nThe actor died unexpectedly.\n\tpid: 8\n\tip: 10.0.0.2\nThe actor died because its node has "
            "died. Node Id: 99\n\tthe actor's node was terminated unexpectedly: health check failed\n",
            "the machine of its worker was lost: 10.0.0.2",
        ),
        (
            "Failure # 1\nThe actor 77 is unavailable: The actor is temporarily unavailable: RpcError: RPC error: "
            "recvmsg:Connection reset by peer rpc_code: 14. The task may or may not have been executed on the actor.\n",
            "the connection to its worker process was lost",
        ),
        (
            "Failure # 1\nOutOfMemoryError: 1 worker(s) were killed due to the node running low on memory. Memory on "
            "the node (IP: 192.0.2.2, ID: a84a) was 1.88GB used / 23.54GB limit (0.079955)\nOOM kill reason: Memory\n",
            "was killed by Ray, because the machine was out of memory: 1.88 of 23.54 GB are used",
        ),
        (
            "Failure # 1 (occurred at 10:00)\n2 worker(s) were killed due to the node running low on memory.\n",
            "was killed by Ray, because the machine was out of memory",
        ),
    ],
)
def test_the_reason_of_a_dead_worker_is_one_line_of_rays_text(error: str, reason: str) -> None:
    words = Deaths(None).reason(error)
    assert reason in words
    assert "\n" not in words
    assert len(words) <= len("its worker process died: ") + MOST_CHARACTERS
