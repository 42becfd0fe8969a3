"""The rows of scripts/check_gpu: what is right and how fast it is on a GPU."""

import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]

if "tests" not in sys.modules:
    # Python prefers a regular package `tests`, which some library may have installed, to a folder without __init__.py.
    tests = ModuleType("tests")
    tests.__path__ = [str(ROOT / "tests")]
    sys.modules["tests"] = tests
