"""Runs functions in processes of their own, which are ended when their time is over."""

import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from gpu_check.rows import one_line


class ProcessFailedError(Exception):
    """A process failed or did not finish in time."""


def in_processes(work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], seconds: float) -> list[Any]:
    """Call `work` once for each tuple of arguments, each in a new process, at the same time. Return the results.

    Every call gets a barrier of all calls as its first argument. Raises ProcessFailedError if a call raises, dies, or
    takes longer than `seconds`; then every process is ended.
    """
    context = get_context("spawn")
    barrier = context.Barrier(len(arguments), timeout=seconds)
    processes, pipes = [], []
    for values in arguments:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(theirs, work, barrier, values))
        process.start()
        theirs.close()
        processes.append(process)
        pipes.append(ours)
    ends = time.perf_counter() + seconds
    try:
        return [_result(pipe, ends) for pipe in pipes]
    finally:
        for process in processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()


def _result(pipe: Connection, ends: float) -> Any:
    if not pipe.poll(max(ends - time.perf_counter(), 0)):
        raise ProcessFailedError("a process did not finish in its time")
    try:
        succeeded, value = pipe.recv()
    except EOFError:
        raise ProcessFailedError("a process died without a result") from None
    if not succeeded:
        raise ProcessFailedError(value)
    return value


def _child(pipe: Connection, work: Callable[..., Any], barrier: Any, values: tuple[Any, ...]) -> None:
    try:
        pipe.send((True, work(barrier, *values)))
    except BaseException as error:  # whatever it is, the parent reports it
        barrier.abort()
        pipe.send((False, one_line(error)))
