"""`weft run`, `weft runs`, `weft log`, `weft cancel`, `weft retry`: what ran, and what shall."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.text import Text

from cli.arguments import read_json
from cli.client import Server, open_server
from cli.following import follow
from cli.options import Data, Json
from cli.printing import columns, make_console, moment, print_json, styled, took, version
from cli.run_events import Event, run_events
from cli.run_log import print_log
from schemas.pattern import JSON
from schemas.quantities import seconds

INTERRUPTED = 130  # as shells have it: 128 and the number of the signal

RunId = Annotated[str, typer.Argument(help="The run's id, as `weft runs` lists it.")]
Input = Annotated[
    str | None,
    typer.Option("--input", metavar="JSON|@FILE", help="What the run is given; @- reads standard input."),
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show the run until it ends.")]
Since = Annotated[
    str | None, typer.Option(help="Accepted since: a time, or a duration such as 2h.", show_default=False)
]
Until = Annotated[
    str | None, typer.Option(help="Accepted before: a time, or a duration such as 2h.", show_default=False)
]


def register(app: typer.Typer) -> None:
    app.command()(run)
    app.command()(runs)
    app.command()(log)
    app.command()(cancel)
    app.command()(retry)


def run(
    name: Annotated[str, typer.Argument(help="The deployment's name.")],
    given: Input = None,
    following: Follow = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Start a run.

    Example: weft run order-intake --input '{"order": {"id": 7}}' --follow
    """
    body = {"trigger": "manual"} | _input(given)
    with open_server(data) as server:
        started = server.post("deployments", name, "runs", body=body)
        show(server, started, following=following, as_json=as_json)


def runs(
    deployment: Annotated[str | None, typer.Option(help="Only of this one.", show_default=False)] = None,
    pattern: Annotated[str | None, typer.Option(help="Only of this one.", show_default=False)] = None,
    status: Annotated[str | None, typer.Option(help="Such as failed.", show_default=False)] = None,
    trigger: Annotated[str | None, typer.Option(help="Such as webhook.", show_default=False)] = None,
    environment: Annotated[str | None, typer.Option(help="Only in this one.", show_default=False)] = None,
    since: Since = None,
    until: Until = None,
    parent: Annotated[str | None, typer.Option(help="Runs that this run called.", show_default=False)] = None,
    roots: Annotated[bool, typer.Option("--roots", help="No called runs.")] = False,
    mode: Annotated[str | None, typer.Option(help="live or test.", show_default=False)] = None,
    most: Annotated[int, typer.Option("--limit", min=1, help="So many at most.")] = 20,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List runs, the newest first.

    Example: weft runs --deployment order-intake --status failed --since 24h
    """
    query = {
        "deployment": deployment,
        "pattern": pattern,
        "status": status,
        "trigger": trigger,
        "environment": environment,
        "since": point_in_time("--since", since),
        "until": point_in_time("--until", until),
        "parent": parent,
        "roots": roots or None,
        "mode": mode,
    }
    with open_server(data) as server:
        found = list(server.items("runs", most=most, **query))
    if as_json:
        print_json(found)
    elif not found:
        make_console().print("There are no such runs.")
    else:
        headers = ("RUN", "STATUS", "AT", "TOOK", "PATTERN")
        make_console().print(columns(headers, map(_row, found), cut=("PATTERN",)))


def _row(found: JSON) -> tuple[str | Text, ...]:
    at, duration = moment(found["createdAt"]), took(found["durationMs"])
    return found["id"], styled(found["status"]), at, duration, found["pattern"]


def log(
    run_id: RunId,
    following: Follow = False,
    attempt: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Of this attempt, not the latest.", show_default=False),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show a run node by node. With --follow, until it ends; exit code 1 when it ended badly.

    With --json and --follow, one event per line.

    Example: weft log 0199d3a4-5c1e-7c3a-9f60-3d1f3a2b4c5d --follow
    """
    if following and attempt is not None:
        raise typer.BadParameter("--follow shows every attempt: give one of --follow and --attempt, not both")
    with open_server(data) as server:
        found = server.get("runs", run_id, attempt=attempt)
        if following and (as_json or not found["endedAt"]):
            _follow(server, run_id, as_json=as_json)
            return
    if as_json:
        print_json(found)
    else:
        print_log(make_console(), found, attempt)
    if following:
        _exit_by(found)


def cancel(run_id: RunId, data: Data = None, as_json: Json = False) -> None:
    """Ask a run, and all that it called, to end.

    Example: weft cancel 0199d3a4-5c1e-7c3a-9f60-3d1f3a2b4c5d
    """
    with open_server(data) as server:
        found = server.post("runs", run_id, "cancel")
    if as_json:
        print_json(found)
    else:
        make_console().print(f"Run {run_id} is asked to end.", soft_wrap=True)


def retry(
    run_id: RunId,
    from_failed: Annotated[bool, typer.Option("--from-failed", help="Keep what is done.")] = False,
    from_node: Annotated[
        str | None, typer.Option("--from", metavar="NODE", help="Keep what is done before this node.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="On the version that is live now.")] = False,
    given: Input = None,
    following: Follow = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Run an ended run once more, as a new run: from the start, behind what is done, or from a node on.

    Example: weft retry 0199d3a4-5c1e-7c3a-9f60-3d1f3a2b4c5d --from-failed --follow
    """
    if from_failed and from_node is not None:
        raise typer.BadParameter("take --from-failed or --from, not both")
    start = "failed" if from_failed else from_node or "start"
    body = {"from": start, "version": "live" if live else "same"} | _input(given)
    with open_server(data) as server:
        started = server.post("runs", run_id, "retry", body=body)
        show(server, started, following=following, as_json=as_json)


def show(server: Server, started: JSON, *, following: bool, as_json: bool) -> None:
    """A run that was just started: where it is seen, or all of it until its end."""
    if following:
        _follow(server, started["id"], as_json=as_json)
    elif as_json:
        print_json(started)
    else:
        console = make_console()
        console.print(
            f"Run {started['id']} of {started['pattern']} {version(started['version'])}", soft_wrap=True
        )
        console.print(f"See it with: weft log {started['id']} --follow", soft_wrap=True)


def _follow(server: Server, run_id: str, *, as_json: bool) -> None:
    events = run_events(server, run_id)
    try:
        ended = _print_events(events) if as_json else follow(make_console(), events)
    except KeyboardInterrupt:
        print(f"The run goes on. See it with: weft log {run_id} --follow", file=sys.stderr)
        print(f"End it with: weft cancel {run_id}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    _exit_by(ended)


def _print_events(events: Iterable[Event]) -> JSON:
    """One line of JSON for each. Gives the ended run."""
    run = None
    for event in events:
        if event.event == "run":
            run = event.data
        print(json.dumps(event._asdict(), ensure_ascii=False), flush=True)
    return run


def _exit_by(ended: JSON) -> None:
    if ended["status"] != "completed":
        raise typer.Exit(1)


def _input(given: str | None) -> dict[str, JSON]:
    return {} if given is None else {"input": read_json("--input", given)}


def point_in_time(option: str, text: str | None) -> str | None:
    """A time as it is, a duration as the time so long ago."""
    if text is None:
        return None
    try:
        return (datetime.now(UTC) - timedelta(seconds=seconds(text))).isoformat()
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "it takes a time such as 2026-03-01T09:30 or a duration such as 2h", param_hint=option
        ) from None
