"""`weft dead-letters`: the inbox of runs that used up their attempts or took workers with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.text import Text

from cli.client import MisusedError, Server, open_server
from cli.options import Data, Json
from cli.printing import columns, make_console, moment, print_json, short, styled
from cli.runs import Since, Until, point_in_time
from schemas.pattern import JSON

Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN]…", help="Their ids, as `weft dead-letters` lists them.", show_default=False
    ),
]
Deployment = Annotated[str | None, typer.Option(help="Only of this one.", show_default=False)]
Pattern = Annotated[str | None, typer.Option(help="Only of this one.", show_default=False)]
Error = Annotated[
    str | None, typer.Option("--error", metavar="TYPE", help="Such as http_status.", show_default=False)
]
All = Annotated[bool, typer.Option("--all", help="All that match the filters, or simply all.")]


def register(app: typer.Typer) -> None:
    letters = typer.Typer(invoke_without_command=True)
    letters.callback()(list_)
    letters.command("retry")(retry)
    letters.command("discard")(discard)
    app.add_typer(letters, name="dead-letters")


def list_(
    context: typer.Context,
    deployment: Deployment = None,
    pattern: Pattern = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[
        str | None, typer.Option(help="open (default), retried or discarded.", show_default=False)
    ] = None,
    most: Annotated[int, typer.Option("--limit", min=1, help="So many at most.")] = 20,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List, retry or discard runs that used up their attempts or took workers with them.

    Example: weft dead-letters --deployment order-intake --since 24h
    """
    if context.invoked_subcommand is not None:
        return
    filters = _filters(deployment, pattern, error, (since, until))
    with open_server(data) as server:
        found = list(server.items("dead-letters", most=most, **filters, state=state))
    if as_json:
        print_json(found)
    elif not found:
        make_console().print("There are no such dead letters.")
    else:
        headers = ("RUN", "STATE", "AT", "PATTERN", "REASON")
        make_console().print(columns(headers, map(_row, found), cut=("PATTERN", "REASON")))


def _row(letter: JSON) -> tuple[str | Text, ...]:
    error = letter["error"] or {}
    reason = f"{error.get('type', 'unknown')}: {error.get('message', '')}"
    return letter["id"], styled(letter["state"]), moment(letter["at"]), letter["pattern"], short(reason, 200)


def retry(
    runs: Runs = None,
    every: All = False,
    deployment: Deployment = None,
    pattern: Pattern = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    from_failed: Annotated[bool, typer.Option("--from-failed", help="Keep what is done.")] = False,
    live: Annotated[bool, typer.Option("--live", help="On the version that is live now.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Run dead letters once more, as new runs. Exit code 1 when one could not be.

    Example: weft dead-letters retry --all --deployment order-intake --error connection --from-failed
    """
    filters = _filters(deployment, pattern, error, (since, until))
    how: dict[str, JSON] = {
        "from": "failed" if from_failed else "start",
        "version": "live" if live else "same",
    }
    _check(runs, filters, every=every)
    with open_server(data) as server:
        retried, refused = _retried(server, runs or [], how, filters)
    if as_json:
        print_json({"retried": retried, "refused": refused})
    else:
        for one in retried:
            typer.echo(f"{one['id']} is run {one['run']} now")
        for one in refused:
            typer.echo(f"{one['id']} stays: {one['reason']}", err=True)
        typer.echo(f"{len(retried)} retried" + (f", {len(refused)} not" if refused else ""))
    if refused:
        raise typer.Exit(1)


def _retried(
    server: Server, runs: list[str], how: dict[str, JSON], filters: dict[str, JSON]
) -> tuple[list[JSON], list[JSON]]:
    if runs:
        answers = [
            {"id": run, "run": server.post("dead-letters", run, "retry", body=how)["id"]} for run in runs
        ]
        return answers, []
    pages = list(_pages(server, "retry", {**how, **filters}))
    return [one for page in pages for one in page["retried"]], [
        one for page in pages for one in page["refused"]
    ]


def discard(
    runs: Runs = None,
    every: All = False,
    deployment: Deployment = None,
    pattern: Pattern = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Take dead letters out of the inbox. Their runs stay in the history, with who discarded them and when.

    Example: weft dead-letters discard --all --deployment order-intake --until 30d
    """
    filters = _filters(deployment, pattern, error, (since, until))
    _check(runs, filters, every=every)
    with open_server(data) as server:
        if runs:
            gone = [server.delete("dead-letters", run)["id"] for run in runs]
        else:
            gone = [one for page in _pages(server, "discard", filters) for one in page["discarded"]]
    if as_json:
        print_json({"discarded": gone})
    else:
        typer.echo(f"{len(gone)} discarded")


def _pages(server: Server, verb: str, body: dict[str, JSON]) -> Iterator[JSON]:
    """One request after the other until none is left."""
    cursor: str | None = None
    while True:
        page = server.post("dead-letters", verb, body=body | ({} if cursor is None else {"cursor": cursor}))
        yield page
        cursor = page["next"]
        if cursor is None:
            return


def _check(runs: list[str] | None, filters: dict[str, JSON], *, every: bool) -> None:
    if bool(runs) == every:
        raise MisusedError("Say which: ids of runs, or --all with filters if wanted")
    if runs and filters:
        raise MisusedError("Filters go with --all, not with ids")


def _filters(
    deployment: str | None, pattern: str | None, error: str | None, times: tuple[str | None, str | None]
) -> dict[str, JSON]:
    since, until = point_in_time("--since", times[0]), point_in_time("--until", times[1])
    given = {"deployment": deployment, "pattern": pattern, "error": error, "since": since, "until": until}
    return {name: value for name, value in given.items() if value is not None}
