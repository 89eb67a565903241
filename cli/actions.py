"""`weft deploy`, `weft clone`, `weft promote`, `weft rollback`, `weft pause`, `weft resume`, `weft archive`,
`weft undeploy`: each is one commit, or one moved tag, and prints it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from cli.client import open_server
from cli.options import Data, Json
from cli.printing import print_json
from reconciler.plan_text import plan_text
from schemas.pattern import JSON

Name = Annotated[str, typer.Argument(help="The deployment's name.")]
Message = Annotated[
    str | None, typer.Option("--message", "-m", help="Why, for the commit's text.", show_default=False)
]


def register(app: typer.Typer) -> None:
    for command in (deploy, clone, promote, rollback, pause, resume, archive, undeploy):
        app.command()(command)


def deploy(
    pattern: Annotated[str, typer.Argument(help="The pattern's name.")],
    name: Annotated[
        str | None, typer.Option(help="The deployment's. Default: the pattern's.", show_default=False)
    ] = None,
    environment: Annotated[str | None, typer.Option(help="Such as staging.", show_default=False)] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Stay on this version.", show_default=False)
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Follow this tag.", show_default=False)] = None,
    message: Message = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a pattern live: write the deployment's file.

    Example: weft deploy order-intake --name order-intake-staging --environment staging
    """
    if version is not None and tag is not None:
        raise typer.BadParameter("give one of --version and --tag, or none")
    source = {"version": version} if version is not None else {"tag": tag} if tag is not None else None
    wanted = {"pattern": pattern, "name": name, "environment": environment, "source": source}
    given = {key: value for key, value in wanted.items() if value is not None}
    _act(("deployments",), given | _said(message), data, as_json=as_json)


def clone(
    pattern: Annotated[str, typer.Argument(help="The pattern's name.")],
    new: Annotated[str, typer.Argument(help="The copy's name.")],
    message: Message = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Copy a pattern into a file of its own, to go its own way.

    Example: weft clone order-intake order-intake-2
    """
    _act(("patterns", pattern, "clone"), {"name": new} | _said(message), data, as_json=as_json)


def promote(
    name: Name,
    version: Annotated[
        int | None, typer.Option(min=1, help="This version of its pattern.", show_default=False)
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Whatever is under this tag.", show_default=False)] = None,
    environment: Annotated[
        str | None, typer.Option("--from", metavar="ENV", help="What runs there.", show_default=False)
    ] = None,
    follow: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="The branch's head again.", show_default=False)
    ] = None,
    message: Message = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make another version live.

    Example: weft promote order-intake --version 3
    """
    ways = {"version": version, "tag": tag, "fromEnvironment": environment, "follow": follow}
    given = {key: value for key, value in ways.items() if value is not None}
    if len(given) != 1:
        raise typer.BadParameter("give exactly one of --version, --tag, --from and --follow")
    _act(("deployments", name, "promote"), given | _said(message), data, as_json=as_json)


def rollback(
    name: Name,
    to: Annotated[
        int | None,
        typer.Option(min=1, help="This version. Default: the one that was live before.", show_default=False),
    ] = None,
    revert: Annotated[
        bool, typer.Option("--revert", help="Restore the pattern's files instead of pinning the version.")
    ] = False,
    message: Message = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Go back to an earlier version, and stay there.

    Example: weft rollback order-intake -m 'v4 loses orders'
    """
    wanted = {"to": to, "revert": revert or None}
    given = {key: value for key, value in wanted.items() if value is not None}
    _act(("deployments", name, "rollback"), given | _said(message), data, as_json=as_json)


def pause(name: Name, message: Message = None, data: Data = None, as_json: Json = False) -> None:
    """Start no more runs: webhooks answer 503, schedules do not fire, runs in progress end.

    Example: weft pause order-intake -m 'the warehouse moves'
    """
    _act(("deployments", name, "pause"), _said(message), data, as_json=as_json)


def resume(name: Name, message: Message = None, data: Data = None, as_json: Json = False) -> None:
    """Start runs again.

    Example: weft resume order-intake
    """
    _act(("deployments", name, "resume"), _said(message), data, as_json=as_json)


def archive(name: Name, message: Message = None, data: Data = None, as_json: Json = False) -> None:
    """End it for good: no run, no change any more. What ran stays.

    Example: weft archive order-intake -m 'replaced by orders'
    """
    _act(("deployments", name, "archive"), _said(message), data, as_json=as_json)


def undeploy(name: Name, message: Message = None, data: Data = None, as_json: Json = False) -> None:
    """Take its file away: its webhook answers 404 until it is deployed again. What ran stays.

    Example: weft undeploy order-intake
    """
    _act(("deployments", name, "undeploy"), _said(message), data, as_json=as_json)


def _said(message: str | None) -> dict[str, JSON]:
    return {} if message is None else {"message": message}


def _act(path: tuple[str, ...], body: dict[str, JSON], data: str | None, *, as_json: bool) -> None:
    with open_server(data) as server:
        done = server.post(*path, body=body)
    if as_json:
        print_json(done)
        return
    ref = done["ref"].removeprefix("refs/heads/").removeprefix("refs/")
    typer.echo(f"{ref} is at {done['commit'][:10]}")
    typer.echo(plan_text(done["plan"]))
