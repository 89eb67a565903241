"""`weft plan`: what a change would do to what is live, asked of the server."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli.client import open_server
from cli.options import Data, Json
from cli.printing import print_json
from reconciler.plan_text import plan_markdown, plan_text


class Format(StrEnum):
    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


Base = Annotated[
    str | None,
    typer.Option(metavar="REV", help="Compare with this commit. Default: what is live.", show_default=False),
]
Head = Annotated[
    str | None,
    typer.Option(
        metavar="REV", help="A branch, tag or commit that was pushed. Default: main.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    app.command()(plan)


def plan(
    base: Base = None,
    head: Head = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TEXT,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Show what a commit would change if the default branch held it.

    Example: weft plan --head my-change --format markdown
    """
    with open_server(data) as server:
        found = server.get("plan", base=base, head=head)
    if as_json or format_ == Format.JSON:
        print_json(found)
    else:
        typer.echo((plan_markdown if format_ == Format.MARKDOWN else plan_text)(found).rstrip("\n"))
