"""Replaces objects among the options of a search by folders, which workers and later commands find."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from objectives.home import Home
from search.options.option import check_type
from spaces import UsageError

GivenDataset = tuple[Any, Any] | tuple[Any, Any, Any]
"""Images with one label each, and perhaps a split each."""

FOLDER = "given"
"""The folder of the home in which given images and networks lie."""


def with_folders(dataset: Any, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the dataset and the options, where objects are written to the home folder and named by their folders.

    dataset: a name; or (images, labels) or (images, labels, splits), see `objectives.datasets.given`. An option
    `backbone` may be a pipeline or model with `save_pretrained`. Everything else is left as it is. Raises SearchError
    where an object cannot be written.
    """
    replaced = dict(options)
    backbone = options.get("backbone")
    is_network = callable(getattr(backbone, "save_pretrained", None))
    if not is_network and not isinstance(dataset, tuple):
        return dataset, replaced
    check_type("home", options.get("home"), str | Path | None)
    home = Home.at(options.get("home"))
    home.check_writable()
    if is_network:
        from objectives.backbones import given as networks

        replaced["backbone"] = networks.write_given(backbone, home.folder / FOLDER)
    if isinstance(dataset, tuple):
        from objectives.datasets import given as datasets

        if options.get("data_root") is not None:
            raise UsageError("`data_root` is for a dataset that is named, got images too; leave it out")
        replaced["data_root"] = datasets.write_given(dataset, home.folder / FOLDER)
        return "csv", replaced
    return dataset, replaced
