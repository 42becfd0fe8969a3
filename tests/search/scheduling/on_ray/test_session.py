"""Sessions of Ray in processes of their own: Ray reads its variables once a process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.scheduling.on_ray.session import RaySession
from search.scheduling.resources import Resources
from spaces import SearchError

SESSIONS = """
import os, sys
before = dict(os.environ)
from search.running.run_folder import run_folder
from search.scheduling.on_ray.session import ENVIRONMENT, RaySession
from search.scheduling.resources import Resources

def answer():
    import ray
    return ray.get(ray.remote(num_cpus=1)(lambda: 6).remote())

def priority():
    import ray
    return ray.get(ray.remote(num_cpus=1)(lambda: os.nice(0)).remote())

for _ in range(2):
    with run_folder() as folder, RaySession(Resources(1), folder) as session:
        session.wait()
        assert answer() == 6
        assert priority() == os.nice(0)  # Ray's own workers would yield to everything else on the machine
print("left", [name for name in ENVIRONMENT if os.environ.get(name) != before.get(name)])
import ray
from spaces import SearchError
ray.init(num_cpus=1, include_dashboard=False, logging_level=40)
try:
    with run_folder() as folder, RaySession(Resources(1), folder) as session:
        session.start()
except SearchError as error:
    assert "Ray runs in this process already" in str(error)
else:
    raise AssertionError
assert answer() == 6
ray.shutdown()
"""


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "import ray\n"], ids=["Ray is new", "Ray was imported before"])
def test_a_process_may_have_several_sessions_and_its_own_ray(before: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", before + SESSIONS], capture_output=True, text=True, check=False, timeout=200
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "left []"


@pytest.mark.slow
def test_an_error_while_ray_starts_is_raised_at_once() -> None:
    """Ray's processes die with the thread that started them: that thread must outlive the shutdown."""
    lines = (
        "import time\n"
        "from search.running.run_folder import run_folder\n"
        "from search.scheduling.on_ray.session import RaySession\n"
        "from search.scheduling.resources import Resources\n"
        "began = time.monotonic()\n"
        "try:\n"
        "    with run_folder() as folder, RaySession(Resources(1), folder) as session:\n"
        "        session.start()\n"
        "        raise ValueError('a mistake')\n"
        "except ValueError as error:\n"
        "    print(error, time.monotonic() - began < 50)\n"
    )
    ran = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False, timeout=200)
    assert ran.stdout.strip() == "a mistake True", ran.stderr


NAMES = ("search", "spaces", "objectives", "random", "queue", "numpy", "ray")
FILES = f"""
from search.running.run_folder import run_folder
from search.scheduling.on_ray.session import RaySession
from search.scheduling.resources import Resources

def files():
    import importlib, os
    return os.environ["MARK"], *(importlib.import_module(name).__file__ for name in {NAMES})

with run_folder() as folder, RaySession(Resources(1), folder) as session:
    session.wait()
    import ray
    print(*files(), sep="\\n")
    print(*ray.get(ray.remote(num_cpus=1)(files).remote()), sep="\\n")
"""


@pytest.mark.slow
def test_workers_import_the_files_of_the_driver_whatever_lies_in_the_working_directory(tmp_path: Path) -> None:
    """The folder for temporary files is too deep for sockets, as those of batch systems are."""
    (work := tmp_path / "work").mkdir()
    for name in ("search.py", "spaces.py", "random.py", "numpy.py", "objectives/__init__.py", "ray/__init__.py"):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text("mine = True\n")
    (script := tmp_path / "script.py").write_text(FILES)
    (deep := tmp_path / ("deep" * 20)).mkdir()
    environment = {**os.environ, "TMPDIR": str(deep), "MARK": "set"}
    command = [sys.executable, str(script)]
    ran = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    count = 1 + len(NAMES)
    assert lines[:count] == lines[count:]
    assert str(work) not in ran.stdout


DOORS = """
import json, psutil
from search.running.run_folder import run_folder
from search.scheduling.on_ray.session import RaySession
from search.scheduling.resources import Resources

with run_folder() as folder, RaySession(Resources(1), folder) as session:
    session.wait()
    import ray
    names = {ray.get(ray.remote(num_cpus=1)(lambda: psutil.Process().name()).remote())}
    doors = []
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        names.add(process.name())
        doors += [socket.laddr.ip for socket in process.net_connections("inet") if not socket.raddr]
    print(json.dumps([sorted(names), doors, folder.stat().st_mode & 0o777]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "import ray\n"], ids=["Ray is new", "Ray was imported before"])
def test_a_private_ray_listens_on_this_machine_alone_and_nobody_else_enters_its_folder(before: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", before + DOORS], capture_output=True, text=True, check=False, timeout=200
    )
    assert ran.returncode == 0, ran.stderr
    names, doors, mode = json.loads(ran.stdout.splitlines()[-1])
    assert {"gcs_server", "raylet"} < {*names}
    assert len(doors) > 4
    assert {*doors} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert mode == 0o700


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of address space")
def test_too_little_address_space_is_refused_before_ray_starts() -> None:
    lines = (
        "import resource\n"
        "from pathlib import Path\n"
        "from search.scheduling.on_ray.session import RaySession\n"
        "from search.scheduling.resources import Resources\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, resource.RLIM_INFINITY))\n"
        "RaySession(Resources(1), Path('unused')).start()\n"
    )
    ran = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False, timeout=60)
    assert "a process may have 2.0 GiB of address space (`ulimit -v`), and a run needs at least 3 GiB" in ran.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:port"])
def test_a_cluster_that_does_not_respond_is_a_readable_error(address: str, tmp_path: Path) -> None:
    with (
        pytest.raises(SearchError, match=f"no Ray cluster answers at {address}"),
        RaySession(Resources(workers=1, address=address), tmp_path) as session,
    ):
        session.start()
