"""Sessions of Ray in processes of their own: Ray reads its variables once a process."""

import subprocess
import sys

import pytest

SESSIONS = """
import os, sys
before = dict(os.environ)
from search.scheduling.ray_session import ENVIRONMENT, RaySession
from search.scheduling.resources import Resources

def answer():
    import ray
    return ray.get(ray.remote(num_cpus=1)(lambda: 6).remote())

for _ in range(2):
    with RaySession(Resources(1)) as session:
        session.wait()
        assert answer() == 6
print("left", [name for name in ENVIRONMENT if os.environ.get(name) != before.get(name)])
import ray
ray.init(num_cpus=1, include_dashboard=False, logging_level=40)
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
        "from search.scheduling.ray_session import RaySession\n"
        "from search.scheduling.resources import Resources\n"
        "began = time.monotonic()\n"
        "try:\n"
        "    with RaySession(Resources(1)) as session:\n"
        "        session.start()\n"
        "        raise ValueError('a mistake')\n"
        "except ValueError as error:\n"
        "    print(error, time.monotonic() - began < 50)\n"
    )
    ran = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False, timeout=200)
    assert ran.stdout.strip() == "a mistake True", ran.stderr
