"""The command `search export`: saves the best setting of a study as a classifier in one file."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from objectives.home import Home
from search.cli.flags import DatasetOption, HomeOption, StorageOption, StudyOption
from search.cli.output import chosen_study, print_aside, print_lines


def export(
    dataset: DatasetOption = None,
    study: StudyOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The file to write, FILE.safetensors; its page is FILE.html beside it. Files of another kind are not "
            "replaced. [default: in classifiers/ in the home folder]",
        ),
    ] = None,
    data_root: Annotated[
        str | None,
        typer.Option(
            "--data-root",
            metavar="PATH",
            help="Folder of the images, if they have moved. [default: where the run had them]",
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone", metavar="NAME", help="The network, if it has moved. [default: where the run had it]"
        ),
    ] = None,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Save the best setting of a study as a classifier.

    The classifier is fitted on training and validation images, and saved in one file, which `search classify` uses. A
    page beside it shows the accuracy on each class, confusions, likely label errors, and copies across splits.
    """
    from search.database.store import Store
    from search.display.counter import counter
    from search.study.export import export_classifier

    folder = Home.at(home)
    with Store.open(storage or folder.storage, reading=True) as store:
        name = chosen_study(store, dataset, study)
        results, saved = store.read_study(name), store.saved_options(name)
    with counter("passes") as update:
        exported = export_classifier(results, saved, folder, out, data_root, backbone, on_progress=update)
    for note in exported.notes:
        print_aside(note)
    words = ["search", "classify", str(exported.path), *(["--home", str(home)] if home else [])]
    print_lines(str(exported.path))
    print_aside(
        f"use it as `{shlex.join(words)} IMAGE_OR_FOLDER`",
        f"its mistakes, by class, and doubtful labels: {exported.page}",
    )
