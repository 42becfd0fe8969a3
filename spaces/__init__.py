"""Settings, the spaces they belong to, and descriptions of networks. Plain data; standard library only."""

from spaces.blocks import Architecture, Block
from spaces.dimensions import FOLDS_TOGETHER, HEAD_OPTIONS, Choice
from spaces.errors import (
    BackboneError,
    CacheError,
    ClassifierError,
    DatasetError,
    InvalidSpaceError,
    SearchError,
    StorageError,
    UnknownNameError,
    UsageError,
)
from spaces.lookup import check_name, lookup
from spaces.presets import PRESETS
from spaces.setting import Setting, Tap
from spaces.space import Space

__all__ = [
    "FOLDS_TOGETHER",
    "HEAD_OPTIONS",
    "PRESETS",
    "Architecture",
    "BackboneError",
    "Block",
    "CacheError",
    "Choice",
    "ClassifierError",
    "DatasetError",
    "InvalidSpaceError",
    "SearchError",
    "Setting",
    "Space",
    "StorageError",
    "Tap",
    "UnknownNameError",
    "UsageError",
    "check_name",
    "lookup",
]
