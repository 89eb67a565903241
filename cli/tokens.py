"""`weft token`: who may come in, and as what."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from cli.client import MisusedError, open_server
from cli.options import Data, Json
from cli.printing import MISSING, columns, make_console, moment, print_json
from schemas.pattern import JSON

MOST = 10_000
HELP = """Create, list and revoke tokens. Only admins may.

Example: weft token create --user alice --role editor
"""


def register(app: typer.Typer) -> None:
    token = typer.Typer(no_args_is_help=True, help=HELP)
    token.command("create")(create)
    token.command("list")(list_)
    token.command("revoke")(revoke)
    app.add_typer(token, name="token")


def create(
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="Whose it is, such as alice.")],
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="viewer, editor, operator or admin.")],
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires",
            metavar="WHEN",
            help="A duration such as 30d, or a time such as 2027-03-01T09:30:00Z. Default: never.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Create a token. It is printed now and never again: Weft keeps a hash of it.

    Example: weft token create --user alice --role editor --expires 30d
    """
    with open_server(data) as server:
        made = server.post("tokens", body={"user": user, "role": role, "expires": expires})
    if as_json:
        print_json(made)
        return
    # Alone on standard output, so that a script can take it from there.
    typer.echo(made["token"])
    until = f", until {made['expiresAt']}" if made["expiresAt"] else ""
    typer.echo(
        f"This is {user}'s token now ({role}{until}), shown this once: for WEFT_TOKEN, or as the password of Git.\n"
        f"Take it back with: weft token revoke {made['id']}",
        err=True,
    )


def list_(data: Data = None, as_json: Json = False) -> None:
    """List the tokens that were created, the newest first. What they are is not kept.

    Example: weft token list
    """
    with open_server(data) as server:
        found = list(server.items("tokens", most=MOST))
    if as_json:
        print_json(found)
    elif not found:
        make_console().print("No tokens but the first one: weft token create --user NAME --role ROLE")
    else:
        headers = ("ID", "USER", "ROLE", "CREATED", "BY", "EXPIRES")
        make_console().print(columns(headers, map(_row, found), cut=("USER", "BY")))


def _row(token: JSON) -> tuple[str | Text, ...]:
    expires = Text("expired", style="red") if token["expired"] else moment(token["expiresAt"])
    by, created = token["createdBy"] or MISSING, moment(token["createdAt"])
    return token["id"], token["user"], token["role"], created, by, expires


def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="As `weft token list` shows it.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Take a token back. It opens nothing any more, on other machines within seconds.

    Example: weft token revoke 0199d3a4-5c1e-7c3a-9f60-3d1f3a2b4c5d
    """
    if token.startswith("weft_"):
        # It would stand in the address of the request, which proxies write to their logs.
        raise MisusedError("This is a token, not its id: `weft token list` shows the ids")
    with open_server(data) as server:
        gone = server.delete("tokens", token)
    if as_json:
        print_json(gone)
    else:
        typer.echo(f"{gone['user']}'s token ({gone['role']}) is taken back.")
