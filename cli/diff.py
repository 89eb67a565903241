"""`weft diff`: what differs between two versions of a pattern, in the words of a plan."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.client import open_server
from cli.options import Data, Json
from cli.printing import print_json
from reconciler.plan_text import version_text

Version = Annotated[int, typer.Argument(min=1, help="A number that `weft versions` lists.")]


def register(app: typer.Typer) -> None:
    app.command()(diff)


def diff(
    pattern: Annotated[str, typer.Argument(help="The pattern's name.")],
    v1: Version,
    v2: Version,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show what differs between two frozen versions: triggers, variables, nodes field by field, files, calls.

    Example: weft diff order-intake 3 4
    """
    with open_server(data) as server:
        found = server.get("patterns", pattern, "diff", **{"from": v1, "to": v2})
    if as_json:
        print_json(found)
        return
    typer.echo(f"{pattern}  {version_text(found['from'])} → {version_text(found['to'])}")
    for change in found["changes"]:
        typer.echo(f"    {change['text']}")
    if not found["changes"]:
        typer.echo("    no difference")
