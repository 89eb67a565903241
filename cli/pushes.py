"""`weft pushes`: who moved which branch or tag."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from cli.client import open_server
from cli.options import Data, Json
from cli.printing import MISSING, columns, make_console, moment, print_json
from schemas.pattern import JSON

NOBODY = Text("unknown", style="dim")


def register(app: typer.Typer) -> None:
    app.command()(pushes)


def pushes(
    ref: Annotated[
        str | None, typer.Argument(help="Of this branch or tag, such as main.", show_default=False)
    ] = None,
    most: Annotated[int, typer.Option("--limit", min=1, help="So many at most.")] = 50,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List who moved which branch or tag, the newest first.

    Example: weft pushes main
    """
    with open_server(data) as server:
        found = list(server.items("refs", "moves", most=most, ref=ref))
    if as_json:
        print_json(found)
    elif not found:
        make_console().print(
            "Nothing was pushed here." if ref is None else f"{ref} never moved.", markup=False
        )
    else:
        headers = ("WHEN", "WHO", "REF", "FROM", "TO")
        make_console().print(columns(headers, map(_row, found), cut=("WHO", "REF")))


def _row(move: JSON) -> tuple[str | Text, ...]:
    who = NOBODY if move["user"] is None else move["user"]
    name = move["ref"].removeprefix("refs/")
    return moment(move["at"]), who, name, *((move[side] or MISSING)[:10] for side in ("old", "new"))
