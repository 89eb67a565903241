"""`weft deployments`, `weft deployment`, `weft versions`: what is live, and how it became so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.text import Text

from cli.client import RefusedError, Server, open_server
from cli.options import Data, Json
from cli.printing import (
    MISSING,
    columns,
    facts,
    make_console,
    moment,
    print_json,
    short,
    styled,
    version,
)
from schemas.pattern import JSON
from schemas.quantities import duration

MOST = 10_000
LAST_REVISIONS = 5
_MIDNIGHT: Final = time()
_TICK: Final = timedelta(milliseconds=1)

State = Annotated[
    str | None, typer.Option(help="active, paused, archived or undeployed.", show_default=False)
]
Environment = Annotated[str | None, typer.Option(help="Only of this environment.", show_default=False)]
OfPattern = Annotated[str | None, typer.Option("--pattern", help="Only of this pattern.", show_default=False)]
Search = Annotated[str | None, typer.Option("--search", "-q", help="Part of the name.", show_default=False)]


def register(app: typer.Typer) -> None:
    app.command()(deployments)
    app.command()(deployment)
    app.command()(versions)


def deployments(
    state: State = None,
    environment: Environment = None,
    pattern: OfPattern = None,
    search: Search = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List what is live.

    Example: weft deployments --environment production
    """
    with open_server(data) as server:
        query = {"state": state, "environment": environment, "pattern": pattern, "q": search}
        found = list(server.items("deployments", most=MOST, **query))
        warnings = [] if as_json else upstream_warnings(server)
    for line in warnings:
        typer.echo(line, err=True)
    if as_json:
        print_json(found)
    elif not found:
        make_console().print("Nothing is deployed here: push a repository with a file below deployments/.")
    else:
        headers = ("NAME", "VERSION", "STATE", "STATUS", "SOURCE", "DEPLOYED")
        make_console().print(columns(headers, map(_row, found), cut=("NAME", "SOURCE")))


def upstream_warnings(server: Server) -> list[str]:
    """Why what is live may not be what the upstream says."""
    try:
        state = server.get("upstream")
    except RefusedError:  # there is none
        return []
    error = state["lastError"]
    failing = [] if error is None else [f"since {moment(state['failingSince'])}: {error}"]
    lines = [*failing, *(one["reason"] for one in state["diverged"])]
    return [f"upstream: {line} (weft doctor says what to do)" for line in lines]


def _row(found: JSON) -> tuple[str | Text, ...]:
    status = _status(found)
    deployed = moment(found["deployedAt"])
    return found["name"], version(found["version"]), styled(found["state"]), status, _source(found), deployed


def _status(found: JSON) -> Text:
    """Nothing of what starts no runs and wants nobody: `ready` would sound as if it did."""
    told = found["state"] == "active" or found["status"] != "ready"
    return styled(found["status"]) if told else Text("")


def deployment(
    name: Annotated[str, typer.Argument(help="As `weft deployments` lists it.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show one deployment: what is live, since when, how it starts, what it was before.

    Example: weft deployment order-intake
    """
    with open_server(data) as server:
        found = server.get("deployments", name)
        history = list(server.items("deployments", name, "revisions", most=LAST_REVISIONS))
    if as_json:
        print_json({**found, "revisions": history})
        return
    console = make_console()
    console.print(facts(_facts(found)))
    console.print()
    headers = ("REVISION", "VERSION", "STATE", "WHEN", "BY", "COMMIT", "MESSAGE")
    console.print(columns(headers, map(_revision_row, history), cut=("BY", "MESSAGE")))


def _facts(found: JSON) -> Iterator[tuple[str, str | Text]]:
    yield "Deployment", f"{found['name']} ({found['environment']})"
    yield "State", Text(", ").join(word for word in (styled(found["state"]), _status(found)) if word)
    for condition in found["conditions"]:
        if condition["type"] == "Stalled" and condition["status"]:
            yield "Stalled", Text(condition["message"], style="red")
        if condition["type"] == "CircuitOpen":
            yield "Circuit", Text(condition["message"], style="red")
        if condition["type"] == "ErrorsPassedOver":
            yield "Passed over", Text(condition["message"], style="yellow")
    yield "Pattern", _pattern(found)
    yield "Source", _source(found)
    yield "Deployed", f"{moment(found['deployedAt'])} by {found['deployedBy']}, commit {found['commit'][:10]}"
    if found["concurrency"]:
        yield "Limit", _limit(found["concurrency"])
    for trigger in found["triggers"]:
        yield _trigger(trigger, found["state"])
    if found["lastSkipped"]:
        yield "Skipped", f"{moment(found['lastSkipped']['at'])}: {found['lastSkipped']['reason']}"
    for called in found["dependencies"]:
        behind = "" if called["number"] == called["newest"] else f" (newest: v{called['newest']})"
        yield "Calls", f"{called['pattern']} v{called['number']}{behind}"


def _limit(concurrency: JSON) -> str:
    key = f" for each {concurrency['key']}" if "key" in concurrency else ""
    return f"{concurrency['limit']} at once{key}, then {concurrency.get('whenFull', 'queue')}"


def _pattern(found: JSON) -> str:
    newest = found["newest"]
    behind = (
        f" (newest: v{newest})"
        if newest and found["version"] and found["version"]["number"] != newest
        else ""
    )
    return f"{found['pattern']} {version(found['version'])}{behind}"


def _source(found: JSON) -> str:
    return ", ".join(f"{kind} {value}" for kind, value in found["source"].items())


def _trigger(trigger: JSON, state: str) -> tuple[str, str]:
    match trigger["kind"]:
        case "webhook":
            guards = "".join(f", {one}" for one in _guards(trigger))
            return "Webhook", f"{'/'.join(trigger['methods'])} {trigger['url']}{guards}"
        case "schedule":
            return f"Schedule {trigger['number']}", _schedule(trigger, state)
        case "error":
            return "Errors", f"of {', '.join(trigger['from'])}"
        case _:
            return "Called", "by other patterns"


def _guards(trigger: JSON) -> Iterator[str]:
    if trigger["respond"] != "immediate":
        yield f"answers by {trigger['respond']}"
    if "verify" in trigger:
        watched = " (observed only)" if trigger["verify"]["mode"] == "observe" else ""
        yield f"verified by {trigger['verify']['provider']}{watched}"
    if "allowFrom" in trigger:
        yield f"from {', '.join(trigger['allowFrom'])}"
    if "rateLimit" in trigger:
        yield f"at most {trigger['rateLimit']}"


def _schedule(trigger: JSON, state: str) -> str:
    when = trigger.get("cron") or f"every {_span(trigger['everyMs'])}"
    how = ", ".join([trigger["timezone"], *_how(trigger)])
    following = ", ".join(map(moment, trigger["nextFireTimes"]))
    never = ", never fires again" if state == "active" else ""
    return f"{when} ({how})" + (f", next {following}" if following else never)


def _how(trigger: JSON) -> Iterator[str]:
    """What it says beyond when."""
    for key in ("from", "until"):
        if key in trigger:
            yield f"{key} {_edge(trigger[key], trigger['timezone'])}"
    if "dst" in trigger:
        yield f"dst {trigger['dst']['gap'] or 'none'}/{trigger['dst']['overlap']}"
    if "catchUp" in trigger:
        yield f"catches up {trigger['catchUp']['fire']} of {_span(trigger['catchUp']['windowMs'])}"
    if "overlap" in trigger:
        yield f"overlap {trigger['overlap']}"
    if "jitterMs" in trigger:
        yield f"up to {_span(trigger['jitterMs'])} later"
    if "input" in trigger:
        yield f"input {short(trigger['input'], 60)}"


def _span(milliseconds: float) -> str:
    """As it is written in patterns."""
    return duration(milliseconds / 1000)


def _edge(text: str, timezone: str) -> str:
    """A day, or a time on the schedule's clock: elsewhere it may be another day. What ends with a day ends just
    before the next.
    """
    at = datetime.fromisoformat(text).astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    if _MIDNIGHT in {at.time(), (at + _TICK).time()}:
        return at.date().isoformat()
    return at.isoformat(" ", "seconds")


def _revision_row(found: JSON) -> tuple[str | Text, ...]:
    by, message = found["actor"] or found["author"], short(found["message"], 60)
    commit, at = found["commit"][:10], moment(found["at"])
    return str(found["revision"]), version(found["version"]), styled(found["state"]), at, by, commit, message


def versions(
    pattern: Annotated[str, typer.Argument(help="The pattern's name.")],
    most: Annotated[int, typer.Option("--limit", min=1, help="So many at most.")] = 50,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List a pattern's frozen versions, the newest first, and where they are live.

    Example: weft versions order-intake
    """
    with open_server(data) as server:
        found = list(server.items("patterns", pattern, "versions", most=most))
        live = _live(server, pattern)
    if as_json:
        print_json([{**one, "liveIn": live[one["id"]]} for one in found])
    else:
        _print_versions(make_console(), found, live)


def _live(server: Server, pattern: str) -> dict[str, list[str]]:
    """Version id → the deployments that are on it."""
    live: dict[str, list[str]] = defaultdict(list)
    for found in server.items("deployments", most=MOST, pattern=pattern):
        if found["version"]:
            live[found["version"]["id"]].append(found["name"])
    return live


def _print_versions(console: Console, found: list[JSON], live: dict[str, list[str]]) -> None:
    rows = [
        (
            version(one),
            moment(one["frozenAt"]),
            one["commit"][:10],
            Text(", ".join(live[one["id"]]) or MISSING, style="green" if live[one["id"]] else "dim"),
            one["author"].partition(" <")[0],
            short(one["message"], 60),
        )
        for one in found
    ]
    console.print(
        columns(
            ("VERSION", "FROZEN", "COMMIT", "LIVE IN", "AUTHOR", "MESSAGE"),
            rows,
            cut=("LIVE IN", "AUTHOR", "MESSAGE"),
        )
    )
