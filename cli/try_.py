"""`weft try`: a pattern of the work tree, or of a branch, run on the server without being deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.arguments import read_json
from cli.client import open_server
from cli.draft import draft_files
from cli.options import Data, Json
from cli.runs import Input, show
from cli.validate import find_root, read_files
from schemas.pattern import JSON


def register(app: typer.Typer) -> None:
    app.command("try")(try_)


def try_(
    pattern: Annotated[str, typer.Argument(help="The pattern's name.")],
    given: Input = None,
    trigger: Annotated[
        str | None,
        typer.Option(
            metavar="JSON|@FILE",
            help='What starts it, such as {"body": {}}: a request unless it has a `kind`.',
            show_default=False,
        ),
    ] = None,
    stub: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NODE=JSON|@FILE", help="What a node gives instead of running.", show_default=False
        ),
    ] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(
            "--var", metavar="NAME=JSON|@FILE", help="Another value of a variable.", show_default=False
        ),
    ] = None,
    environment: Annotated[
        str | None, typer.Option(help="Where it runs. Default: test.", show_default=False)
    ] = None,
    ref: Annotated[
        str | None,
        typer.Option(
            metavar="BRANCH", help="As this branch was pushed, not the work tree.", show_default=False
        ),
    ] = None,
    following: Annotated[
        bool, typer.Option("--follow/--no-follow", "-f", help="Show the run until it ends.")
    ] = True,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Run a pattern of this work tree in test mode: nothing is deployed. Exit code 1 when it ends badly.

    Example: weft try order-intake --trigger '{"body": {"id": 7}}' --stub 'charge={"paid": true}'
    """
    body: dict[str, JSON] = {
        key: value for key, value in (("ref", ref), ("environment", environment)) if value
    }
    for option, key, text in (("--input", "input", given), ("--trigger", "trigger", trigger)):
        if text is not None:
            body[key] = read_json(option, text)
    body["stubs"] = dict(_pair("--stub", one) for one in stub or ())
    body["variables"] = dict(_pair("--var", one) for one in variable or ())
    if ref is None:
        root = find_root(Path.cwd())
        body["files"] = draft_files(root, read_files(root), pattern)
    with open_server(data) as server:
        started = server.post("patterns", pattern, "test", body=body)
        show(server, started, following=following, as_json=as_json)


def _pair(option: str, text: str) -> tuple[str, JSON]:
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise typer.BadParameter(f"it takes NAME=JSON, and {text!r:.80} has no =", param_hint=option)
    return name, read_json(option, value)
