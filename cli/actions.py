"""`weft deploy`, `weft clone`, `weft promote`, `weft rollback`, `weft pause`, `weft resume`, `weft archive`,
`weft undeploy`: each is one commit, or one moved tag, and prints it.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from typing import Annotated

import typer

from cli.acting import Message, act, said
from cli.options import Data, Json

Name = Annotated[str, typer.Argument(help="The deployment's name.")]


def register(app: typer.Typer) -> None:
    for command in (deploy, clone, promote, rollback):
        app.command()(command)
    for word, text in _WORDS.items():
        app.command(word, help=cleandoc(text))(_of_deployment(word))


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
    act(("deployments",), given | said(message), data, as_json=as_json)


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
    act(("patterns", pattern, "clone"), {"name": new} | said(message), data, as_json=as_json)


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
    act(("deployments", name, "promote"), given | said(message), data, as_json=as_json)


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
    act(("deployments", name, "rollback"), given | said(message), data, as_json=as_json)


_WORDS = {
    "pause": """Start no more runs: webhooks answer 503, schedules do not fire, runs in progress end.

    Example: weft pause order-intake -m 'the warehouse moves'
    """,
    "resume": """Start runs again.

    Example: weft resume order-intake
    """,
    "archive": """End it for good: no run, no change any more. What ran stays.

    Example: weft archive order-intake -m 'replaced by orders'
    """,
    "undeploy": """Take its file away: its webhook answers 404 until it is deployed again. What ran stays.

    Example: weft undeploy order-intake
    """,
}
"""The commands that take nothing but a deployment, and their help."""


def _of_deployment(word: str) -> Callable[..., None]:
    def command(name: Name, message: Message = None, data: Data = None, as_json: Json = False) -> None:
        act(("deployments", name, word), said(message), data, as_json=as_json)

    return command
