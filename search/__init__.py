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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from objectives.classifier import Classifier
    from search.api import compare, features, load_study, recommend, run, studies
    from search.feature_matrix import Features
    from search.recommendation.recommend import Recommendation
    from search.samplers.cost_aware import CostAwareSampler, suggest_setting
    from search.study import Study
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
    "Features": "search.feature_matrix",
    "Study": "search.study",
    "Recommendation": "search.recommendation.recommend",
    "Classifier": "objectives.classifier",
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


def _check_spaces() -> None:
    """Raise ImportError in one line where another distribution has replaced our top-level package `spaces`."""
    try:
        from spaces import PRESETS  # noqa: F401
    except ImportError:
        raise ImportError(
            "another distribution has replaced the package `spaces` of diffusion-feature-search: uninstall it "
            "(`pip uninstall spaces`), then install diffusion-feature-search again"
        ) from None


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name not in _SOURCES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_SOURCES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_check_spaces()
