"""Reads what a classifier's file says about itself, without torch and without its tensors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from spaces.files import check_ends

ENTRY = "classifier"
"""The entry of the file's metadata that describes the classifier."""


@dataclass(frozen=True)
class ClassifierFacts:
    """The facts that a file states about its classifier; nothing of them is checked.

    results: of the study: its name, dataset, metric and accuracies.
    """

    setting: Mapping[str, Any]
    classes: tuple[str, ...]
    backbone: str
    results: Mapping[str, Any]


def read_facts(path: Path) -> ClassifierFacts | None:
    """Return what a file says about its classifier; None where it holds none or is damaged."""
    try:
        check_ends(path)
        with safe_open(path, framework="np") as file:
            record = json.loads((file.metadata() or {})[ENTRY])
        classes = tuple(str(name) for name in record["classes"])
        return ClassifierFacts(
            dict(record["setting"]), classes, str(record["origin"]["backbone"]), dict(record.get("worth", {}))
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
