"""The commands `search token`: make, list and delete the tokens of the server."""

from datetime import datetime
from typing import Annotated

import typer

from objectives.home import Home
from search.cli.flags import HomeOption, JsonOption, StorageOption
from search.cli.output import print_aside, print_json, print_lines

app = typer.Typer(help="Make, list or delete tokens of the server.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the person or program that will use it.")],
    role: Annotated[
        str,
        typer.Option(
            metavar="ROLE",
            help="viewer: reads. runner: also submits jobs, controls its own and classifies images. admin: all.",
        ),
    ],
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Make a token and print it. It is shown only once: the database keeps nothing but its digest."""
    from search.database.store import Store
    from search.database.tokens import TokenTable

    with Store.open(storage or Home.at(home).storage) as store:
        text = TokenTable(store).create(name, role)
    print_lines(text)
    print_aside("the token is not shown again; send it as `Authorization: Bearer TOKEN`, or log in with it at /login")


@app.command("list")
def list_tokens(as_json: JsonOption = False, home: HomeOption = None, storage: StorageOption = None) -> None:
    """List the tokens: names, roles, and when each was made and used last."""
    from search.database.store import Store
    from search.database.tokens import TokenTable
    from search.display.text import PlainTable, print_table

    with Store.open(storage or Home.at(home).storage, reading=True) as store:
        tokens = TokenTable(store).tokens()
    if as_json:
        rows = [
            {
                "name": token.name,
                "role": token.role,
                "created": token.created.isoformat(),
                "last_used": token.last_used and token.last_used.isoformat(),
            }
            for token in tokens
        ]
        print_json(rows)
        return
    if not tokens:
        print_lines("no tokens yet; `search token create NAME --role viewer` makes one")
        return
    table = PlainTable("name", "role", "made", "last used")
    for token in tokens:
        table.add_row(token.name, token.role, _moment(token.created), _moment(token.last_used))
    print_table(table)


@app.command()
def delete(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the token; `search token list` lists them.")],
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Delete a token. A server refuses it, and the logins that were made with it, within a second."""
    from search.database.store import Store
    from search.database.tokens import TokenTable

    with Store.open(storage or Home.at(home).storage) as store:
        TokenTable(store).delete(name)
    print_lines(f"token {name} is deleted")


def _moment(moment: datetime | None) -> str:
    """Format a time in the local time zone."""
    return "never" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M}"
