"""The command `search serve`: the HTTP API and the page for people."""

import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from objectives.home import Home
from search.cli.flags import HomeOption, HostOption, PortOption, StorageOption, allowed_host_option, number_option
from search.cli.output import print_aside, print_lines
from search.scheduling.signals import exit_code
from search.server.settings import PORT
from spaces import SearchError


def serve(
    host: HostOption = "127.0.0.1",
    port: PortOption = PORT,
    allowed_host: Annotated[
        list[str] | None, allowed_host_option("They also need a token, see `search token create`.")
    ] = None,
    data_root: Annotated[
        list[str] | None,
        typer.Option(
            "--data-root",
            metavar="NAME=DIR",
            help="Folder below which the images and networks of jobs may lie; a job calls it NAME/sub/folder. May be "
            "repeated.",
        ),
    ] = None,
    allow_hub: Annotated[
        bool, typer.Option("--allow-hub", help="Let jobs name networks and datasets of Hugging Face.")
    ] = False,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate, to serve HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Private key of the certificate.")] = None,
    rate_limit: Annotated[
        int, number_option(1, "Requests a second that one token or address may send.", high=1_000_000)
    ] = 500,
    with_worker: Annotated[
        bool, typer.Option("--with-worker", help="Also run the jobs of the queue, in a process beside the server.")
    ] = False,
    log_format: Annotated[
        str, typer.Option(metavar="NAME", help="text, or json: one object a line, for programs.")
    ] = "text",
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Serve the HTTP API and the page.

    The API lies under /api/v1, and /docs describes it. On 127.0.0.1 and without tokens everybody on this machine may do
    everything.
    """
    try:
        from search.server.run import serve as run_server
        from search.server.settings import settings_of
        from search.server.worker_beside import worker_beside
    except ModuleNotFoundError as error:
        raise SearchError(
            f"`search serve` needs {error.name}, which is not installed; in the folder of this program's source, "
            "pip install '.[server]' installs all that it needs"
        ) from None
    settings = settings_of(
        Home.at(home),
        storage,
        host=host,
        port=port,
        allowed_hosts=allowed_host or (),
        data_roots=data_root or (),
        allow_hub=allow_hub,
        tls_cert=tls_cert,
        tls_key=tls_key,
        log_format=log_format,
        requests=rate_limit,
    )

    def on_listening(address: str) -> None:
        print_lines(f"serving at {address}; Ctrl-C ends it")
        if settings.demands_tokens and settings.tls is None:
            print_aside(
                "warning: the connection is not encrypted, and whoever reads it has the tokens; give --tls-cert and "
                "--tls-key, or put a proxy with TLS before it"
            )

    with worker_beside(settings) if with_worker else nullcontext():
        run_server(settings, on_listening)
    if exit_code() != 128 + signal.SIGINT:  # Ctrl-C is how a server is meant to end
        raise typer.Exit(exit_code())
