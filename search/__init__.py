"""Search over diffusion-feature settings: which block, timestep, pooling and head classify your images best.

    import search

    study = search.run("digits", trials=40)
    study.best.setting                      # block, timestep, pooling, head
    study.report("report.html")
    classifier = study.export("digits.safetensors")

Names are loaded when they are first used, so that `import search` is light: torch, Ray, Optuna, SQLAlchemy and plotly
come with the functions that need them.
"""

import importlib
import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from objectives.classifier import Classifier
    from search.api import compare, features, load_study, recommend, run, studies
    from search.client import Client
    from search.recommendation.recommend import Recommendation
    from search.samplers.cost_aware import CostAwareSampler, suggest_setting
    from search.study.feature_matrix import Features
    from search.study.study import Study
    from spaces import (
        PRESETS,
        BackboneError,
        CacheError,
        ClassifierError,
        DatasetError,
        InvalidSpaceError,
        SearchError,
        Setting,
        Space,
        StorageError,
        UnknownNameError,
        UsageError,
    )

_SOURCES = {
    "run": "search.api",
    "recommend": "search.api",
    "load_study": "search.api",
    "studies": "search.api",
    "compare": "search.api",
    "features": "search.api",
    "Features": "search.study.feature_matrix",
    "Study": "search.study.study",
    "Recommendation": "search.recommendation.recommend",
    "Classifier": "objectives.classifier",
    "Client": "search.client",
    "CostAwareSampler": "search.samplers.cost_aware",
    "suggest_setting": "search.samplers.cost_aware",
    "Setting": "spaces",
    "Space": "spaces",
    "PRESETS": "spaces",
    "SearchError": "spaces",
    "UsageError": "spaces",
    "UnknownNameError": "spaces",
    "InvalidSpaceError": "spaces",
    "DatasetError": "spaces",
    "BackboneError": "spaces",
    "ClassifierError": "spaces",
    "CacheError": "spaces",
    "StorageError": "spaces",
}

__all__ = [
    "PRESETS",
    "BackboneError",
    "CacheError",
    "Classifier",
    "ClassifierError",
    "Client",
    "CostAwareSampler",
    "DatasetError",
    "Features",
    "InvalidSpaceError",
    "Recommendation",
    "SearchError",
    "Setting",
    "Space",
    "StorageError",
    "Study",
    "UnknownNameError",
    "UsageError",
    "compare",
    "features",
    "load_study",
    "recommend",
    "run",
    "studies",
    "suggest_setting",
]


_FOLDER = Path(__file__).parent.parent


def _forget_working_directory() -> None:
    """Take the working directory off the import path, where `python -m search` has put it first.

    A file there such as random.py would replace a library.
    """
    with suppress(FileNotFoundError):  # the working directory has been deleted: nothing in it replaces a library
        if sys.argv[:1] == ["-m"] and sys.path[:1] == [str(Path.cwd())] != [str(_FOLDER)]:
            del sys.path[0]


def _import_sibling(name: str) -> ModuleType:
    """Import another of our packages from the folder of this one, whatever the import path has before it.

    Raises ImportError in one line where another module was imported under that name.
    """
    found = PathFinder.find_spec(name, [str(_FOLDER)])
    if name not in sys.modules and found and found.loader:
        sys.modules[name] = module_from_spec(found)
        found.loader.exec_module(sys.modules[name])
    module = importlib.import_module(name)
    if module.__file__ is None or Path(module.__file__).parent.parent != _FOLDER:
        raise ImportError(
            f"`{name}` was imported from {module.__file__} before `search`, which needs its own in {_FOLDER}: rename "
            "the other one, or import `search` first"
        )
    return module


def _shadow() -> str:
    """Return in words which file beside the script, or in the working directory, has replaced a module of Python."""
    folder = Path(sys.path[0]).absolute()
    for name in sys.stdlib_module_names & sys.modules.keys():
        file = getattr(sys.modules[name], "__file__", None)
        if file and folder in (Path(file).absolute().parent, Path(file).absolute().parent.parent):
            return f"{file} has replaced Python's module `{name}`: rename it"
    return ""


def _check_spaces(spaces: ModuleType) -> None:
    """Raise ImportError in one line where another distribution has replaced our top-level package `spaces`."""
    if not hasattr(spaces, "PRESETS"):
        raise ImportError(
            "another distribution has replaced the package `spaces` of diffusion-feature-search: uninstall it "
            "(`pip uninstall spaces`), then install diffusion-feature-search again"
        )


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name not in _SOURCES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_SOURCES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_forget_working_directory()
try:
    _check_spaces(_import_sibling("spaces"))
except AttributeError as error:
    raise ImportError(_shadow() or str(error)) from error
_import_sibling("objectives")
_import_sibling("dashboards")
