"""`weft rebuild`: versions and deployments anew from Git, on the machine that has the data folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from cli.addresses import running_servers
from cli.embedded import postgres
from cli.embedded.child import stop
from cli.errors import CommandError
from cli.given import Given
from cli.installation import find_key, hold
from cli.options import Data, Json
from cli.printing import columns, make_console, print_json, styled
from cli.settings import DATA, Settings, read_settings
from cli.up import migrate_database
from reconciler.git.errors import GitError
from reconciler.reconciler import Reconciled, Reconciler
from schemas.pattern import JSON
from store.database import Database, StoreError


def register(app: typer.Typer) -> None:
    app.command()(rebuild)


def rebuild(data: Data = None, as_json: Json = False) -> None:
    """Build versions and deployments anew from Git: the same ids, numbers and webhook URLs. Runs stay.

    Works with the service up or down, on the machine that has the data folder.

    Example: weft rebuild --data /var/lib/weft
    """
    settings = read_settings(Given(flags={DATA.name: data}))
    key = find_key(settings)
    with _database(settings) as url:
        migrate_database(url)
        done = _rebuild(settings, url, key)
    if as_json:
        print_json({organisation: _json(one) for organisation, one in done.items()})
    else:
        for organisation, one in done.items():
            _print(make_console(), organisation, one)


def _rebuild(settings: Settings, url: str, key: bytes) -> dict[str, Reconciled]:
    database = Database(url, connections=2)
    try:
        reconciler = Reconciler(
            database, settings.data / "git", installation_key=key, public_url=settings.public_url
        )
        organisations = reconciler.organisations()
        if not organisations:
            raise CommandError(f"There is no repository in {settings.data / 'git'}: nothing to build from")
        with Console(stderr=True).status("Reading the history …"):
            return {organisation: reconciler.rebuild(organisation) for organisation in organisations}
    except (GitError, StoreError) as error:
        raise CommandError(str(error)) from error
    finally:
        database.close()


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """The database's address: of the given one, of the one that runs, else of one that runs for so long."""
    if settings.database_url is not None or postgres.running_url(settings.data) is not None:
        yield settings.database_url or running_servers(settings).database_url
        return
    lock = hold(settings.data)
    service = postgres.open_postgres(settings.data)
    process = service.spawn()
    try:
        service.wait_ready(process)
        yield service.url
    finally:
        stop(process, service.stop_signal)
        os.close(lock)


def _json(done: Reconciled) -> JSON:
    deployments = done.plan.as_json()["deployments"] if done.plan else []
    return {"deployments": deployments, "problems": [str(problem) for problem in done.problems]}


def _print(console: Console, organisation: str, done: Reconciled) -> None:
    steps = done.plan.steps if done.plan else ()
    what = "1 deployment" if len(steps) == 1 else f"{len(steps)} deployments"
    console.print(f"{organisation}: built anew from Git, {what}", soft_wrap=True)
    rows = [
        (step.name, str(step.version_to or ""), styled(step.after.state if step.after else "undeployed"))
        for step in steps
    ]
    if rows:
        console.print(columns(("NAME", "VERSION", "STATE"), rows, cut=("NAME",)))
    for problem in done.problems:
        console.print(str(problem), soft_wrap=True, markup=False)
