"""`weft slots`, `weft backfill`, `weft backfills`: what schedules did, and what they shall make up for."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from cli.client import open_server
from cli.options import Data, Json
from cli.printing import MISSING, columns, make_console, moment, print_json, styled
from cli.runs import Since, Until, point_in_time
from schemas.pattern import JSON

Name = Annotated[str, typer.Argument(help="The deployment's name.")]
SHOWN = 20


def register(app: typer.Typer) -> None:
    app.command()(slots)
    app.command()(backfill)
    app.command()(backfills)


def slots(
    name: Name,
    status: Annotated[str | None, typer.Option(help="fired, skipped or waiting.", show_default=False)] = None,
    reason: Annotated[str | None, typer.Option(help="Such as missed or overlap.", show_default=False)] = None,
    since: Since = None,
    until: Until = None,
    most: Annotated[int, typer.Option("--limit", min=1, help="So many at most.")] = 20,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List slots of a deployment's schedules, the latest first: which fired, which did not, and why.

    Example: weft slots nightly-report --status skipped --since 7d
    """
    query = {
        "status": status,
        "reason": reason,
        "since": point_in_time("--since", since),
        "until": point_in_time("--until", until),
    }
    with open_server(data) as server:
        found = list(server.items("deployments", name, "slots", most=most, **query))
    if as_json:
        print_json(found)
    elif not found:
        make_console().print("There are no such slots.")
    else:
        headers = ("SLOT", "STATUS", "RUN", "ENDED", "SCHEDULE")
        make_console().print(columns(headers, map(_slot_row, found), cut=("SCHEDULE",)))


def _slot_row(slot: JSON) -> tuple[str | Text, ...]:
    status = styled(slot["status"])
    if slot["reason"]:
        status.append(f": {slot['reason']}")
    ended = styled(slot["runStatus"]) if slot["runStatus"] else Text(MISSING)
    return _when(slot), status, slot["runId"] or MISSING, ended, slot["schedule"] or MISSING


def _when(slot: JSON) -> str:
    at = moment(slot["at"])
    if "until" not in slot:
        return at
    amount = "many" if slot["count"] is None else str(slot["count"])
    return f"{at} to {moment(slot['until'])} ({amount})"


def backfill(
    name: Name,
    begin: Annotated[str, typer.Option("--from", metavar="DAY|TIME", help="The first slot's day or time.")],
    end: Annotated[str, typer.Option("--to", metavar="DAY|TIME", help="The last one's, itself included.")],
    schedule: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Which, as `weft deployment` counts.", show_default=False),
    ] = None,
    cron: Annotated[str | None, typer.Option(help="Slots of this line instead.", show_default=False)] = None,
    timezone: Annotated[str | None, typer.Option(help="Of --cron; else UTC.", show_default=False)] = None,
    parallel: Annotated[int, typer.Option("--max-parallel", min=1, help="Runs at once.")] = 1,
    reverse: Annotated[bool, typer.Option("--reverse", help="The latest slot first.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also slots that ran already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the slots.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Run the slots that a schedule had, or would have had, in the past.

    Example: weft backfill nightly-report --from 2026-03-01 --to 2026-03-07 --dry-run
    """
    wanted = {"from": begin, "to": end, "schedule": schedule, "cron": cron, "timezone": timezone}
    flags = {"maxParallel": parallel, "reverse": reverse, "again": again, "dryRun": dry_run}
    body = {key: value for key, value in wanted.items() if value is not None} | flags
    with open_server(data) as server:
        made = server.post("deployments", name, "backfills", body=body)
    if as_json:
        print_json(made)
    elif dry_run:
        _print_slots(made)
    else:
        left_out = f", {made['leftOut']} that ran already left out" if made["leftOut"] else ""
        typer.echo(f"Backfill {made['id']}: {made['slots']} slots of {made['schedule']}{left_out}")
        typer.echo(f"See how far it is with: weft backfills {name}")


def _print_slots(found: JSON) -> None:
    for at in found["slots"]:
        typer.echo(at)
    left_out = f", {len(found['leftOut'])} that ran already left out" if found["leftOut"] else ""
    typer.echo(f"{len(found['slots'])} slots would run{left_out}", err=True)


def backfills(
    name: Name,
    cancel: Annotated[
        str | None, typer.Option(metavar="ID", help="Begin no more slots of this one.", show_default=False)
    ] = None,
    most: Annotated[int, typer.Option("--limit", min=1, help="So many at most.")] = SHOWN,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List a deployment's backfills, the newest first, or cancel one; runs that have begun go on.

    Example: weft backfills nightly-report
    """
    with open_server(data) as server:
        if cancel is not None:
            found = [server.post("deployments", name, "backfills", cancel, "cancel")]
        else:
            found = list(server.items("deployments", name, "backfills", most=most))
    if as_json:
        print_json(found if cancel is None else found[0])
    elif not found:
        make_console().print("There are no backfills.")
    else:
        headers = ("BACKFILL", "STATE", "SLOTS", "FROM", "TO", "BY", "SCHEDULE")
        make_console().print(columns(headers, map(_row, found), cut=("BY", "SCHEDULE")))


def _row(found: JSON) -> tuple[str | Text, ...]:
    state = styled(found["state"])
    if found["reason"]:
        state.append(f": {found['reason']}")
    done = f"{found['ended']} of {found['slots']}"
    begin, end = moment(found["from"]), moment(found["to"])
    return found["id"], state, done, begin, end, found["actor"], found["schedule"]
