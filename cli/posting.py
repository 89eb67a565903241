"""`weft post`, `weft answer`: what `wait` and `approve` nodes of a run wait for."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli.arguments import read_json
from cli.client import MisusedError, Server, open_server
from cli.options import Data, Json
from cli.printing import make_console, print_json
from cli.runs import RunId
from schemas.pattern import JSON


class Decision(StrEnum):
    YES = "yes"
    NO = "no"


def register(app: typer.Typer) -> None:
    app.command()(post)
    app.command()(answer)


def post(
    run_id: RunId,
    event: Annotated[str, typer.Argument(help="The event's name, as the `wait` node has it.")],
    body: Annotated[
        str | None,
        typer.Option(metavar="JSON|@FILE", help="What the node gives; @- reads standard input."),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Post an event to a run, for a `wait` node. It is kept until a node takes it.

    Example: weft post 0199d3a4-5c1e-7c3a-9f60-3d1f3a2b4c5d paid --body '{"amount": 12}'
    """
    sent: dict[str, JSON] = {"event": event}
    if body is not None:
        sent["body"] = read_json("--body", body)
    with open_server(data) as server:
        _send(server, run_id, sent, f"Posted {event}.", as_json=as_json)


def answer(
    run_id: RunId,
    decision: Annotated[Decision, typer.Argument(help="yes approves, no refuses.")],
    node: Annotated[
        str | None,
        typer.Option(help="The `approve` node's path or id, where several wait.", show_default=False),
    ] = None,
    form: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE", help="What the node's form asks for.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Answer a run that waits for an approval.

    Example: weft answer 0199d3a4-5c1e-7c3a-9f60-3d1f3a2b4c5d yes --form '{"from": "2026-12-01"}'
    """
    sent: dict[str, JSON] = {"approved": decision is Decision.YES}
    if node is not None:
        sent["node"] = node
    if form is not None:
        sent["form"] = read_json("--form", form)
    said = "Approved." if decision is Decision.YES else "Refused."
    with open_server(data) as server:
        try:
            _send(server, run_id, sent, said, as_json=as_json)
        except MisusedError as error:
            if "form" not in error.places:
                raise
            how = """Fill it in: --form '{"key": "value"}', or --form @FILE"""
            raise MisusedError(f"{error}\n{how}", places=error.places) from None


def _send(server: Server, run_id: str, sent: JSON, said: str, *, as_json: bool) -> None:
    kept = server.post("runs", run_id, "events", body=sent)
    if as_json:
        print_json(kept)
    else:
        make_console().print(said)
