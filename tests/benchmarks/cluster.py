"""A search on a cluster of machines with one core each, which are made on this machine: what it costs by machines.

    python -m tests.benchmarks.cluster [--machines 1 2 4] [--apart] [--out FILE.json]

Needs root and PostgreSQL. The machines have a network of their own (`tests/support/cluster.py`). The database is
reached through a socket that only the driver's machine sees. With `--apart` each machine has a cache of its own. More
machines than cores of this machine share its cores: their seconds say nothing about a real cluster, the counts do.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from objectives.results import StudyResults
from search.database.store import Store
from tests.faults.cluster import passes_in
from tests.support.cluster import cluster
from tests.support.postgresql import PASSWORD, QUOTED_PASSWORD, Server, running_server

OPTIONS = ("--dataset", "digits", "--trials", "24", "--heads", "linear,ridge", "--pools", "1,2,4")


def transactions(server: Server) -> int:
    """Return the number of transactions that the database has committed."""
    host, _, port = server.address.partition(":")
    with psycopg.connect(host=host, port=port, user="search", password=PASSWORD, dbname="postgres") as connection:
        [number] = connection.execute("SELECT sum(xact_commit) FROM pg_stat_database").fetchone() or [0]
    return int(number)


def measure(server: Server, machines: int, apart: bool, options: list[str]) -> dict[str, Any]:
    """Run a search, and return what it cost."""
    url = f"postgresql+psycopg://search:{QUOTED_PASSWORD}@/postgres?host={server.folder}&port={server.address[10:]}"
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder,
        cluster(Path(folder), [server.folder]) as made,
    ):
        made.add("head", cpus=0)
        for number in range(machines):
            made.add(f"m{number}")
        home = (made.own if apart else made.shared) / "home"
        network = [machine.network_bytes() for machine in made.machines]
        committed, began = transactions(server), time.monotonic()
        words = made.search("run", *OPTIONS, *options, "--home", str(home), "--storage", url)
        ended = made.run(*words, seconds=900)
        seconds = time.monotonic() - began
        if ended.returncode:
            sys.exit(ended.stdout + ended.stderr)
        time.sleep(1.5)  # PostgreSQL counts a transaction up to a second late
        committed = transactions(server) - committed
        network = [
            (after[0] - before[0], after[1] - before[1])
            for before, machine in zip(network, made.machines, strict=True)
            for after in [machine.network_bytes()]
        ]
        caches = (
            [made.folder_of(machine) / "home" / "cache" for machine in made.machines] if apart else [home / "cache"]
        )
        counts = passes_in(*caches)
        rows = Counter[tuple[str, bytes]]()
        for count in counts:
            rows.update(count.keys())
        size = sum(file.stat().st_size for cache in caches for file in cache.glob("features/*/*/*.safetensors"))
        with Store.open(server.url) as store:
            [study] = store.studies()
            results = store.read_study(study.name)
    server.empty()
    return {
        "machines": machines,
        "apart": apart,
        "seconds": seconds,
        "transactions": committed,
        "received": [received for received, _ in network],
        "sent": [sent for _, sent in network],
        "rows": sum(map(len, counts)),
        "different rows": len(rows),
        "bytes": size,
        **of_study(results),
    }


def of_study(results: StudyResults) -> dict[str, Any]:
    seconds = Counter[str]()
    for trial in results.complete:
        seconds.update(trial.seconds)
    return {
        "trials": results.finished,
        "finals": len(results.finals) + len(results.reevaluations),
        "passes made": results.passes_made,
        "passes needed": results.passes_needed,
        "screening passes": results.screening_passes,
        "stages": dict(results.stages),
        "seconds of trials": dict(seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments, options = parser.parse_known_args()
    rows = []
    with running_server() as server:
        for machines in arguments.machines:
            rows.append(measure(server, machines, arguments.apart, options))
            print(json.dumps(rows[-1]), flush=True)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps({"cores": os.cpu_count(), "rows": rows}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
