"""What the commands that make a commit or move a tag share."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.client import open_server
from cli.printing import print_json
from reconciler.plan_text import plan_text
from schemas.pattern import JSON

Message = Annotated[
    str | None, typer.Option("--message", "-m", help="Why, for the commit's text.", show_default=False)
]


def said(message: str | None) -> dict[str, JSON]:
    return {} if message is None else {"message": message}


def act(path: tuple[str, ...], body: dict[str, JSON], data: str | None, *, as_json: bool) -> None:
    """Ask the server to do it, and print the commit and what it changed. Raises CommandError."""
    with open_server(data) as server:
        done = server.post(*path, body=body)
    if as_json:
        print_json(done)
        return
    if done.get("circuit"):
        typer.echo(
            "The circuit is closed: runs begin again. Nothing else had to change, so there is no commit."
        )
        return
    ref = done["ref"].removeprefix("refs/heads/").removeprefix("refs/")
    typer.echo(f"{ref} is at {done['commit'][:10]}")
    typer.echo(plan_text(done["plan"]))
