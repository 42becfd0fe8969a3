"""The command `search export`: saves the best setting of a study as a classifier in one file."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from objectives.home import Home
from search.cli.flags import DatasetOption, HomeOption, ServerOption, StorageOption, StudyOption
from search.cli.output import chosen_study, print_aside, print_lines
from search.cli.remote import follow, remote_study, server_client

if TYPE_CHECKING:
    from search.client import Client


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
    server: ServerOption = None,
) -> None:
    """Save the best setting of a study as a classifier.

    The classifier is fitted on training and validation images, and saved in one file, which `search classify` uses. A
    page beside it shows the accuracy on each class, confusions, likely label errors, and copies across splits. With
    --server a worker exports it into its home folder, and --out downloads it from there.
    """
    if server is not None:
        with server_client(server, home=home, storage=storage) as client:
            name = remote_study(client, dataset, study)
            _export_on_server(client, server.rstrip("/"), name, out, data_root, backbone)
        return
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


def _export_on_server(
    client: "Client", server: str, study: str, out: Path | None, data_root: str | None, backbone: str | None
) -> None:
    """Let a worker export a classifier, follow it, and print where the file is; download it where `out` says so."""
    from search.study.export import check_file, writable

    if out is not None:
        check_file(out)
        writable(out)  # before a worker exports it
    result = follow(client, client.export(study, data_root=data_root, backbone=backbone), server)
    classifier = f"{server}/api/v1/classifiers/{quote(result['classifier'], safe='')}"
    if out is None:
        print_lines(f"{classifier}/file")
        print_aside("--out FILE downloads it too")
    else:
        print_lines(str(client.download_classifier(result["classifier"], out)))
        print_aside(f"use it as `{shlex.join(['search', 'classify', str(out)])} IMAGE_OR_FOLDER`")
    print_aside(
        f"classify images with it on {server}/classifiers/{quote(result['classifier'], safe='')}",
        f"its mistakes, by class, and doubtful labels: {classifier}/page",
    )
