"""`weft connection`: which connections there are, and whether one can be used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.text import Text

from cli.client import Server, open_server
from cli.options import Data, Json
from cli.printing import MISSING, columns, facts, make_console, print_json, styled, took
from cli.run_events import run_events
from schemas.pattern import JSON

HELP = """List connections, and test whether they can be used.

Example: weft connection test warehouse
"""


def register(app: typer.Typer) -> None:
    connection = typer.Typer(no_args_is_help=True, help=HELP)
    connection.command("list")(list_)
    connection.command("test")(check)
    app.add_typer(connection, name="connection")


def list_(data: Data = None, as_json: Json = False) -> None:
    """List the connections of the default branch: their keys and the names of their secrets, no values.

    Example: weft connection list
    """
    with open_server(data) as server:
        found = server.get("connections")["items"]
    if as_json:
        print_json(found)
    elif not found:
        make_console().print("There are no connections: push a file below connections/.")
    else:
        headers = ("NAME", "TYPE", "SECRETS", "ELSEWHERE IN", "LIMIT", "COMMIT")
        make_console().print(columns(headers, map(_row, found), cut=("SECRETS", "ELSEWHERE IN")))


def _row(found: JSON) -> tuple[str | Text, ...]:
    return (
        found["name"],
        found["type"],
        ", ".join(found["secrets"]) or MISSING,
        ", ".join(found["environments"]) or MISSING,
        MISSING if found["maxConcurrent"] is None else str(found["maxConcurrent"]),
        found["commit"][:10],
    )


def check(
    name: Annotated[str, typer.Argument(help="As `weft connection list` has it.")],
    environment: Annotated[
        str | None, typer.Option(help="As it is there. Default: production.", show_default=False)
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """See whether a connection can be used, from a worker, with its secrets. Exit code 1 when it cannot.

    Example: weft connection test warehouse --environment staging
    """
    body = {} if environment is None else {"environment": environment}
    with open_server(data) as server:
        run = _ended(server, server.post("connections", name, "test", body=body)["id"])
    works = run["status"] == "completed"
    if as_json:
        print_json({"works": works, "run": run["id"], "found": run["output"], "error": run["error"]})
    else:
        make_console().print(facts(_facts(name, run)))
    if not works:
        raise typer.Exit(1)


def _ended(server: Server, run: str) -> JSON:
    for _ in run_events(server, run):
        pass
    return server.get("runs", run)


def _facts(name: str, run: JSON) -> Iterator[tuple[str, str | Text]]:
    yield "Connection", f"{name} ({run['environment']})"
    if run["status"] == "completed":
        found = run["output"]
        yield "State", Text("works", style="green")
        yield "Type", found["type"]
        yield "Address", found["address"]
        yield "Answers", _answers(found)
        yield "TLS", found["tls"] or "none"
        yield "Took", took(found["latencyMs"])
        return
    error = run["error"] or {}
    yield "State", styled(run["status"])
    yield "Error", Text(f"{error.get('type', 'unknown')}: {error.get('message', '')}", style="red")
    if error.get("hint"):
        yield "Hint", error["hint"]


def _answers(found: JSON) -> str:
    status = found.get("status")
    refused = ": it wants other credentials" if status in (401, 403) else ""
    said = [found["server"] or "", f"status {status}{refused}" if status else ""]
    return ", ".join(filter(None, said)) or "yes"
