"""Folders of Hugging Face's `datasets` library: Parquet files as on its hub, or what `save_to_disk` writes."""

from objectives.datasets.layouts.huggingface.files import HUGGINGFACE_LAYOUT, configurations, outside
from objectives.datasets.layouts.huggingface.reading import read_huggingface

__all__ = ["HUGGINGFACE_LAYOUT", "configurations", "outside", "read_huggingface"]
