"""`weft secret`: what patterns and connections need and no repository should hold."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.client import Server, open_server
from cli.errors import CommandError
from cli.options import Data, Json
from cli.printing import MISSING, columns, make_console, moment, print_json
from schemas.pattern import JSON
from schemas.secret_text import without_newline

HELP = """Set, list, delete and rotate secrets. Everybody may list their names and uses; admins may do the rest.

Example: weft secret set CRM_TOKEN --environment production
"""
Name = Annotated[str, typer.Argument(metavar="NAME", help="As it stands in ${{ secrets.NAME }}.")]
Environment = Annotated[
    str | None,
    typer.Option(
        "--environment", metavar="NAME", help="For this environment only. Default: all.", show_default=False
    ),
]
# A value on the command line would be in the shell's history and in the list of processes.
NotAValue = Annotated[list[str] | None, typer.Argument(hidden=True)]


class NotHereError(CommandError):
    """A value where none is taken."""

    exit_code = 2


def register(app: typer.Typer) -> None:
    secret = typer.Typer(no_args_is_help=True, help=HELP)
    secret.command("set")(set_)
    secret.command("list")(list_)
    secret.command("delete")(delete)
    secret.command("rotate")(rotate)
    secret.command("uses")(uses)
    app.add_typer(secret, name="secret")


def set_(
    name: Name,
    not_a_value: NotAValue = None,
    environment: Environment = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Set a secret. Its value is asked for, or read from standard input; one line end at its end is no part of it.

    Example: weft secret set CRM_TOKEN < crm-token.txt
    """
    if not_a_value:
        raise NotHereError(
            "A secret is never an argument: it would stay in the shell's history, and others could see it in the"
            f" list of processes. Change it where it comes from, and then: weft secret set {name}"
        )
    value = _read(name)
    with open_server(data) as server:
        stored = server.put("secrets", name, body={"value": value, "environment": environment})
        hidden = [] if as_json else _hidden_by(server, stored)
    if as_json:
        print_json(stored)
        return
    done = "is set" if stored["version"] == 1 else f"is changed (version {stored['version']})"
    typer.echo(f"{name} {done} for {_scope(stored)}.")
    for line in hidden:
        typer.echo(line)


def list_(
    environment: Annotated[
        str | None,
        typer.Option(
            "--environment", metavar="NAME", help="Those that can be used there.", show_default=False
        ),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List secrets: their names and where they come from. What they are is never shown.

    Example: weft secret list --environment production
    """
    with open_server(data) as server:
        found = server.get("secrets", environment=environment)
    if as_json:
        print_json(found["items"])
    elif found["items"]:
        headers = ("NAME", "ENVIRONMENT", "FROM", "VERSION", "CHANGED", "BY")
        make_console().print(columns(headers, map(_row, found["items"]), cut=("NAME", "BY")))
    else:
        make_console().print("No secrets: weft secret set NAME")
    for silent in found["unavailable"]:
        typer.echo(f"not all of them: {silent['message']}", err=True)


def delete(name: Name, environment: Environment = None, data: Data = None, as_json: Json = False) -> None:
    """Delete a secret that is stored. Runs that need it fail from then on.

    Example: weft secret delete CRM_TOKEN --environment staging
    """
    with open_server(data) as server:
        gone = server.delete("secrets", name, environment=environment)
    if as_json:
        print_json(gone)
    else:
        typer.echo(f"{name} is deleted for {_scope(gone)}.")


def rotate(data: Data = None, as_json: Json = False) -> None:
    """Encrypt every stored secret anew, with a new key. Runs go on meanwhile, and webhook URLs stay.

    Example: weft secret rotate
    """
    with open_server(data) as server:
        done = server.post("secrets", "rotate")
    if as_json:
        print_json(done)
        return
    count = done["secrets"]
    typer.echo(f"{count} secret{'' if count == 1 else 's'} encrypted anew.")
    if done["keyChanged"]:
        typer.echo("They need the key of before no more: take WEFT_SECRETS_KEY_OLD away where it is set.")


def uses(
    name: Name,
    environment: Annotated[
        str | None,
        typer.Option("--environment", metavar="NAME", help="Only in this one.", show_default=False),
    ] = None,
    most: Annotated[int, typer.Option("--limit", min=1, help="So many at most.")] = 20,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List which nodes of which runs used a secret, the newest first. A node of a run stands here once.

    Example: weft secret uses CRM_TOKEN --environment production
    """
    with open_server(data) as server:
        found = list(server.items("secrets", name, "uses", most=most, environment=environment))
    if as_json:
        print_json(found)
    elif not found:
        make_console().print(f"No run used {name} there." if environment else f"No run used {name}.")
    else:
        headers = ("RUN", "NODE", "PATTERN", "ENVIRONMENT", "AT")
        rows = (
            (one["run"], one["node"], one["pattern"], one["environment"], moment(one["at"])) for one in found
        )
        make_console().print(columns(headers, rows, cut=("NODE", "PATTERN")))


def _read(name: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(name, hide_input=True, confirmation_prompt="Once more"))
    try:
        value = without_newline(sys.stdin.buffer.read().decode())
    except UnicodeDecodeError:
        # Not `from`: the error holds what was read.
        raise NotHereError("What came on standard input is not UTF-8 text: a secret is text") from None
    if not value:
        raise NotHereError(
            "Nothing came on standard input: a secret is not empty. To delete one: weft secret delete"
        )
    return value


def _hidden_by(server: Server, stored: JSON) -> list[str]:
    """What keeps the secret from being used in some environments."""
    if stored["environment"] is not None:
        return []
    others = [one for one in server.get("secrets")["items"] if one["name"] == stored["name"]]
    return [
        f"{one['environment']} still has one of its own."
        for one in others
        if one["source"] == "stored" and one["environment"] is not None
    ]


def _scope(secret: JSON) -> str:
    return f"the environment {secret['environment']}" if secret["environment"] else "all environments"


def _row(secret: JSON) -> tuple[str, ...]:
    version = MISSING if secret["version"] is None else str(secret["version"])
    place = (secret["name"], secret["environment"] or "all", secret["source"])
    return (*place, version, moment(secret["updatedAt"]), secret["updatedBy"] or MISSING)
