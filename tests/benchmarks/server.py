r"""How many reads a second the HTTP server answers, and how long they take, beside open event streams.

    python tests/benchmarks/server.py --trials 5000 --jobs 200 --streams 50 --connections 8 --seconds 20

A study and jobs are stored in a new SQLite database. `search serve` runs as a process of its own on the loopback
interface and demands tokens. Streams of events are opened and stay open. Then each connection sends the reads below one
after the other, in turn, for so many seconds. The client is a process of its own on the same machine. It prints for
each route the requests, and the median, the 99th percentile and the longest of their milliseconds. `/healthz` needs
neither a thread nor the database: its times say how long the event loop was busy with other things.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import defaultdict
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from search.database.jobs.job_table import JobTable
from search.database.jobs.worker_table import WorkerTable
from search.database.store import Store
from search.database.tokens import TokenTable
from tests.support.served import free_port
from tests.support.stored_study import store_study

ROUTES = (
    "/healthz",
    "/api/v1/jobs",
    "/api/v1/jobs/7",
    "/api/v1/jobs/7/log",
    "/api/v1/studies",
    "/api/v1/studies/{study}",
    "/api/v1/studies/{study}/best",
    "/api/v1/studies/{study}/trials?limit=100",
    "/api/v1/datasets",
    "/api/v1/caller",
)


def fill(storage: str, trials: int, jobs: int) -> tuple[str, str]:
    """Store a study, jobs and a token. Return the name of the study and the text of the token."""
    study = store_study(storage, trials)
    with Store.open(storage) as store:
        table, workers = JobTable(store), WorkerTable(store)
        worker = workers.register(lambda _: ((0, 1), ()))
        for _ in range(jobs):
            table.submit("run", {"dataset": "digits", "trials": 40, "heads": ["linear"]}, "anna")
        for number in range(1, jobs // 2):
            table.claim(worker)
            table.append_log(number, worker, "trial 1/40: 1 complete, 0 pruned, 0 failed\n" * 100)
            table.record_progress(number, worker, {"stage": "trials", "finished": 1, "trials": 40, "best": 0.9})
            table.end(number, worker, "finished")
        workers.end(worker)
        return study, TokenTable(store).create("load", "viewer")


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, token: str) -> bytes:
    """Send one request over a connection that stays open, and return the content of the answer."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    if " 200 " not in lines[0]:
        raise RuntimeError(f"{path}: {lines[0]}")
    size = next(int(line.partition(":")[2]) for line in lines if line.lower().startswith("content-length"))
    return await reader.readexactly(size)


async def stream(port: int, token: str, job: int) -> None:
    """Read the events of a job until cancelled."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path = f"/api/v1/jobs/{job}/events"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    while await reader.read(65536):
        pass


async def load(
    port: int, token: str, routes: list[str], seconds: float, start: int, times: dict[str, list[float]]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    end, number = time.perf_counter() + seconds, start
    while time.perf_counter() < end:
        path = routes[number % len(routes)]
        before = time.perf_counter()
        await ask(reader, writer, path, token)
        times[path].append(1000 * (time.perf_counter() - before))
        number += 1
    writer.close()


async def measure(port: int, token: str, study: str, args: argparse.Namespace) -> dict[str, list[float]]:
    routes = [route.format(study=study) for route in ROUTES]
    last = args.jobs  # the later half of the jobs waits, so that their streams stay open
    streams = [asyncio.create_task(stream(port, token, last - i % (last // 3))) for i in range(args.streams)]
    await asyncio.sleep(3)
    warm: dict[str, list[float]] = defaultdict(list)
    await load(port, token, routes, args.seconds / 2, 0, warm)
    times: dict[str, list[float]] = defaultdict(list)
    await asyncio.gather(*(load(port, token, routes, args.seconds, i, times) for i in range(args.connections)))
    assert not any(task.done() for task in streams)
    for task in streams:
        task.cancel()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)  # of the process that sends the requests
    parser.add_argument("--token", help=argparse.SUPPRESS)
    parser.add_argument("--study", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.port is not None:
        print(json.dumps(asyncio.run(measure(args.port, args.token, args.study, args))))
        return
    with TemporaryDirectory() as home:
        storage, port = f"sqlite:///{home}/studies.db", free_port()
        study, token = fill(storage, args.trials, args.jobs)
        words = ["--home", home, "--port", str(port), "--rate-limit", "1000000"]
        log = open(f"{home}/log", "w")  # noqa: SIM115, PTH123 - closed with the process
        server = subprocess.Popen(
            [sys.executable, "-m", "search", "serve", *words], stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert server.stdout is not None
            assert "serving at" in server.stdout.readline()
            numbers = [f"--{name}={getattr(args, name)}" for name in ("jobs", "streams", "connections", "seconds")]
            client = [sys.executable, __file__, *numbers, "--port", str(port), "--token", token, "--study", study]
            times = json.loads(subprocess.run(client, stdout=subprocess.PIPE, check=True).stdout)
        finally:
            server.terminate()
            server.wait()
            log.close()
    every = [milliseconds for values in times.values() for milliseconds in values]
    print(f"{'route':45} requests  median     p99  longest ms")
    for path, values in [*times.items(), ("all", every)]:
        p99 = quantiles(values, n=100)[98]
        print(f"{path.replace(study, 'STUDY'):45} {len(values):8,} {median(values):7.1f} {p99:7.1f} {max(values):8.1f}")
    print(f"{len(every) / args.seconds:,.0f} requests a second, {args.streams} streams open")


if __name__ == "__main__":
    main()
