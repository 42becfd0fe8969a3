"""A run on several machines: each has its own network, address, cores and folder (`tests/support/cluster.py`)."""

import importlib.util
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from objectives.features.cache.shards import SUFFIX, Shard
from objectives.results import StudyResults
from search.database.store import Store
from tests.faults.row import Case, NotTriedError, Row, WrongError, demand
from tests.support.cluster import Cluster, NotAllowedError, cluster
from tests.support.processes import child_process

TRIALS = 12
OPTIONS = ("--dataset", "digits", "--trials", str(TRIALS), "--heads", "linear", "--blocks", "3,8,16", "--pools", "1,2")
"""A search of about a minute, which is screened first."""


@contextmanager
def machines(case: Case, *cores: int) -> Iterator[Cluster]:
    """Make a cluster of a head without cores for workers, and machines `a`, `b`, … with so many cores."""
    try:
        with cluster(case.folder) as made:
            made.add("head", cpus=0)
            for name, count in zip("abcdefgh", cores, strict=False):
                made.add(name, cpus=count)
            yield made
    except NotAllowedError as error:
        raise NotTriedError(str(error)) from error


def words(made: Cluster, home: Path, *more: str) -> Sequence[str]:
    """Return the words of the search, with a database that only the head has."""
    storage = f"sqlite:///{made.own}/studies.db"
    return made.search("run", *OPTIONS, "--home", str(home), "--storage", storage, *more)


def results_of(made: Cluster) -> StudyResults:
    with Store.open(f"sqlite:///{made.folder_of(made.head)}/studies.db") as store:
        [study] = store.studies()
        return store.read_study(study.name)


def passes_in(*caches: Path) -> list[Counter[tuple[str, bytes]]]:
    """Count the rows of each (timestep and noise, image) in each cache."""
    counts = []
    for cache in caches:
        count: Counter[tuple[str, bytes]] = Counter()
        for file in cache.glob(f"features/*/*/*{SUFFIX}"):
            shard = Shard.open(file)
            keys = None if shard is None else shard.keys()
            if keys is None:
                raise WrongError(f"{file} cannot be read")
            count.update((file.parent.name, bytes(key)) for key in keys)
        counts.append(count)
    return counts


def check_ended(ended_with: int | None, output: str, study: StudyResults) -> None:
    """Demand that a run did all that was asked for, each setting once."""
    demand(ended_with == 0, f"the run ended with {ended_with}: {output[-800:]}")
    settings = [trial.setting for trial in study.trials if trial.state in ("complete", "pruned")]
    demand(len(settings) >= TRIALS, f"only {len(settings)} of {TRIALS} trials are finished")
    demand(len(settings) == len(set(settings)), "a setting is finished twice")
    demand(bool(study.finals), "the answer was not tested")
    demand(study.screening_passes > 0, "the study was not screened")


def check_no_database(made: Cluster) -> None:
    """Demand that nobody but the head has made or seen a database."""
    for machine in made.machines[1:]:
        left = [*made.folder_of(machine).rglob("*.db")]
        demand(not left, f"machine {machine.name} has a database: {left}")


def share_a_cache(case: Case) -> None:
    """Run on two machines with one cache: passes made are passes needed."""
    with machines(case, 1, 1) as made:
        ended = made.run(*words(made, made.shared / "home"))
        study = results_of(made)
        check_ended(ended.returncode, ended.stdout + ended.stderr, study)
        [rows] = passes_in(made.shared / "home" / "cache")
        demand(max(rows.values()) == 1, f"{sum(rows.values()) - len(rows)} of {len(rows)} passes were made twice")
        demand(study.passes_made == len(rows), f"{study.passes_made} passes are reported, and {len(rows)} were made")
        check_no_database(made)


def keep_caches_apart(case: Case) -> None:
    """Run on two machines that share no folder: they copy from each other what one of them has made."""
    with machines(case, 1, 1) as made:
        ended = made.run(*words(made, made.own / "home"))
        study = results_of(made)
        check_ended(ended.returncode, ended.stdout + ended.stderr, study)
        caches = passes_in(*(made.folder_of(machine) / "home" / "cache" for machine in made.machines[1:]))
        demand(all(max(rows.values()) == 1 for rows in caches), "a machine made a pass twice")
        needed, there = len(caches[0] | caches[1]), sum(map(len, caches))
        demand(
            needed <= study.passes_made < there,
            f"{study.passes_made} passes were made, {needed} were needed, and {there} are there",
        )
        check_no_database(made)


def lose_and_gain_a_machine(case: Case) -> None:
    """Kill one of two machines at a random moment, and let another join."""
    with machines(case, 1, 1) as made, (case.folder / "output").open("w") as output:
        command = made.head.command(*words(made, made.shared / "home"))
        options = {"env": made.variables, "stdout": output, "stderr": output}
        with child_process(command, **options) as run:
            time.sleep(case.random.uniform(15.0, 75.0))
            before = run.poll()
            made.machines[1].kill()
            made.add("another")
            ended = run.wait(300)
        demand(before is None, "the run ended before a machine was killed")
        check_ended(ended, case.output, results_of(made))


def ask_for_gpus(case: Case) -> None:
    """Ask for half a GPU of one type, of machines that say that they have GPUs: only that machine makes passes."""
    with machines(case, 1) as made:
        for name in ("A100", "V100"):
            made.add(name, "--num-gpus=1", f'--resources={{"accelerator_type:{name}": 1}}', cpus=2)
        ended = made.run(*words(made, made.own / "home", "--gpus-per-trial", "0.5", "--gpu-type", "A100"))
        check_ended(ended.returncode, ended.stdout + ended.stderr, results_of(made))
        with_passes = [
            machine.name for machine in made.machines if (made.folder_of(machine) / "home/cache/features").exists()
        ]
        demand(with_passes == ["A100"], f"passes were made on {with_passes}")


def submit_as_job(case: Case) -> None:
    """Submit the search to the cluster as a job, with a folder of its own and a variable."""
    if importlib.util.find_spec("aiohttp_cors") is None:
        raise NotTriedError("`ray job submit` needs ray[default]")
    try:
        with cluster(case.folder) as made:
            made.add("head", "--include-dashboard=true", "--dashboard-host=0.0.0.0")
            made.add("a")
            (made.shared / "job").mkdir()
            environment = {"working_dir": str(made.shared / "job"), "env_vars": {"PGPASSFILE": "/nowhere"}}
            ray = (sys.executable, "-m", "ray.scripts.scripts", "job", "submit")
            where = (f"--address=http://{made.head.address}:8265", f"--runtime-env-json={json.dumps(environment)}")
            ended = made.run(*ray, *where, "--", *words(made, made.shared / "home"))
            check_ended(ended.returncode, ended.stdout + ended.stderr, results_of(made))
    except NotAllowedError as error:
        raise NotTriedError(str(error)) from error


ROWS = [
    Row("two machines, one cache: no pass is made twice, the database is the driver's", share_a_cache, ["sqlite"]),
    Row("two machines, two caches: they copy features from each other", keep_caches_apart, ["sqlite"]),
    Row("a machine is killed and another joins: the run ends right", lose_and_gain_a_machine, ["sqlite"]),
    Row("half a GPU of one type: only machines with it are used", ask_for_gpus, ["sqlite"]),
    Row("a search as `ray job submit` with a token", submit_as_job, ["sqlite"]),
]
