"""`weft hooks`: the calls of a webhook; sending one again; catching the next one as a test."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from cli.client import Server, open_server
from cli.errors import CommandError
from cli.options import Data, Json
from cli.printing import MISSING, STYLES, columns, facts, make_console, moment, print_json, short, styled
from cli.taps import document_of, name_of, written
from schemas.pattern import JSON
from schemas.quantities import duration, seconds

LOOK = 0.5
"""Seconds between two looks for a call, and at its run."""

ENDS = 30.0
"""Seconds in which the run of a call that was caught may end, so that its case can say how."""

_NO_WEBHOOK = "has no webhook that could be called: its pattern needs `on: {webhook: {}}`"

HELP = """The calls of a webhook, refused ones too.

Example: weft hooks order-intake
"""

Name = Annotated[str, typer.Argument(help="The deployment.")]


class _Group(TyperGroup):
    """`weft hooks NAME` lists; a deployment that is called like a command is listed by `weft hooks list NAME`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["list", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    hooks = typer.Typer(cls=_Group, no_args_is_help=True, help=HELP)
    hooks.command("list")(list_)
    hooks.command("show")(show)
    hooks.command("replay")(replay)
    hooks.command("tap")(tap)
    app.add_typer(hooks, name="hooks")


def list_(
    name: Name,
    refused: Annotated[bool, typer.Option("--refused", help="Only those that started no run.")] = False,
    most: Annotated[int, typer.Option("--limit", min=1, help="So many at most.")] = 20,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the calls of a webhook, the newest first, with what became of them.

    Example: weft hooks order-intake --refused
    """
    accepted = False if refused else None
    with open_server(data) as server:
        found = list(server.items("deployments", name, "deliveries", most=most, accepted=accepted))
        url = None if found else server.get("deployments", name)["webhookUrl"]
    if as_json:
        print_json(found)
    elif not found:
        make_console().print(_nobody(name, url, refused=refused))
    else:
        headers = ("DELIVERY", "AT", "ANSWER", "METHOD", "FROM", "WHAT BECAME OF IT")
        make_console().print(columns(headers, map(_row, found), cut=("WHAT BECAME OF IT",)))


def _nobody(name: str, url: str | None, *, refused: bool) -> str:
    if url is None:
        return f"{name} {_NO_WEBHOOK}"
    return f"No call of {name} was refused." if refused else f"Nobody has called {name}."


def _row(found: JSON) -> tuple[str | Text, ...]:
    became, more = _became(found), found["more"]
    if more:
        became.append(f" ({more:,} more were refused before it and not kept)", "dim")
    method = " ".join(filter(None, (found["method"], found["path"])))
    return found["id"], moment(found["at"]), str(found["status"]), method, found["address"] or MISSING, became


def _became(found: JSON) -> Text:
    """The state of its run, or why there is none; where `verify` only observes, also what it saw."""
    if not found["accepted"]:
        return Text(found["reason"], STYLES["failed"]).append(f": {short(found['detail'], 200)}", "")
    became = styled(found["run"]["status"])
    unverified = found.get("unverified")
    if unverified:
        became.append(f" (not verified: {short(unverified['detail'], 200)})", STYLES["failed"])
    return became


def show(
    delivery: Annotated[str, typer.Argument(help="Its id, as `weft hooks NAME` lists it.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show one call whole: what became of it, and its headers, query, body.

    Example: weft hooks show 0199d3a4-5c1e-7c3a-9f60-3d1f3a2b4c5d
    """
    with open_server(data) as server:
        found = server.get("deliveries", delivery)
    if as_json:
        print_json(found)
    else:
        _print_answer(found)
        _print(found)


def _print_answer(found: JSON) -> None:
    """Not what `weft hooks tap` shows: there the run may not have begun."""
    rows: list[tuple[str, str | Text]] = [
        ("Delivery", f"{found['id']} of {found['deployment']}"),
        ("At", found["at"]),
        ("From", found["address"] or MISSING),
        ("Answer", Text(f"{found['status']} ").append_text(_became(found))),
    ]
    if found["run"]:
        rows.append(("Run", found["run"]["id"]))
    console = make_console()
    console.print(facts(rows))
    console.print()


def _print(found: JSON) -> None:
    request, console = found["request"], make_console()
    console.print(f"{request['method']} {request.get('path') or ''}".rstrip(), style="bold", markup=False)
    for name, value in request["headers"].items():
        for one in value if isinstance(value, list) else [value]:
            console.print(f"{name}: {one}", markup=False)
    if request.get("query"):
        console.print(f"query: {short(request['query'], 2000)}", markup=False)
    console.print()
    body = request["body"]
    if request.get("encoding") == "base64":
        body = _readable(body)
    if isinstance(body, str):
        console.print(body, markup=False)
    else:
        print_json(body)


def _readable(encoded: str) -> str:
    """The text that a body was which nobody understood; bytes that are no text stay in Base64."""
    try:
        return base64.b64decode(encoded).decode()
    except UnicodeDecodeError:
        return f"(in Base64) {encoded}"


def replay(
    delivery: Annotated[str, typer.Argument(help="Its id, as `weft hooks NAME` lists it.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Send one call again: a run of what is live now, also of a call that was refused.

    Example: weft hooks replay 0199d3a4-5c1e-7c3a-9f60-3d1f3a2b4c5d
    """
    with open_server(data) as server:
        run = server.post("deliveries", delivery, "replay")
    if as_json:
        print_json(run)
    else:
        typer.echo(f"{run['id']}  {run['pattern']} {run['status']}: weft log {run['id']}")


def tap(
    name: Name,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait for a call.")] = "10m",
    save: Annotated[bool, typer.Option(help="Write the case into tests/ of this folder.")] = True,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Wait for the next call of a webhook, show it, and save it as a test of the pattern.

    What the nodes that reach outside gave becomes their stubs. Exit code 1 when nobody calls in time.

    Example: weft hooks tap order-intake
    """
    patience = _patience(timeout)
    with open_server(data) as server:
        deployment = server.get("deployments", name)
        if deployment["webhookUrl"] is None:
            raise CommandError(f"{name} {_NO_WEBHOOK}")
        if not as_json:
            typer.echo(f"Waiting for a call of {deployment['webhookUrl']} (at most {timeout})", err=True)
        found = server.get("deliveries", _next(server, name, patience))
        run = _ended(server, found["run"]["id"]) if found["run"] else None
        document = document_of(server, deployment, found, run)
    path = Path("tests") / f"{name_of(deployment, found)}.yaml"
    if as_json:
        print_json({"delivery": found, "case": document, "file": str(path) if save else None})
    else:
        _print(found)
    if save:
        path.parent.mkdir(exist_ok=True)
        path.write_text(written(document))
        typer.echo(f"Saved as {path}: weft test {deployment['pattern']}", err=True)


def _patience(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise typer.BadParameter(f"--timeout: {error}") from None


def _next(server: Server, name: str, patience: float) -> str:
    """The id of the first call from now on."""
    known = _newest(server, name, 1)
    last = known[0]["id"] if known else ""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        behind = [one["id"] for one in _newest(server, name, 50) if one["id"] > last]
        if behind:
            return str(behind[-1])
        time.sleep(LOOK)
    raise CommandError(f"Nobody called {name} within {duration(patience)}")


def _newest(server: Server, name: str, most: int) -> list[dict[str, Any]]:
    return list(server.items("deployments", name, "deliveries", most=most))


def _ended(server: Server, run: str) -> JSON:
    """The run as it ended, or as it is when it takes long."""
    deadline = time.monotonic() + ENDS
    while True:
        found = server.get("runs", run)
        if found["endedAt"] or time.monotonic() >= deadline:
            return found
        time.sleep(LOOK)
