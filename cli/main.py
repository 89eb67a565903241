"""The command `weft`: its commands by name, and how a command that fails says so."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from importlib.metadata import version
from typing import Annotated

import typer

from cli.errors import CommandError

# Which module has which commands, in the order of the help. A command imports its own module alone:
# `weft runs` answers before all that `weft up` needs would even be imported.
COMMANDS = {
    "up": "cli.service",
    "demo": "cli.demo",
    "validate": "cli.validate",
    "test": "cli.rehearsal",
    "try": "cli.try_",
    "plan": "cli.plan",
    "deployments": "cli.deployments",
    "deployment": "cli.deployments",
    "versions": "cli.deployments",
    "diff": "cli.diff",
    "deploy": "cli.actions",
    "clone": "cli.actions",
    "template": "cli.templates",
    "promote": "cli.actions",
    "rollback": "cli.actions",
    "pause": "cli.actions",
    "resume": "cli.actions",
    "archive": "cli.actions",
    "undeploy": "cli.actions",
    "run": "cli.runs",
    "runs": "cli.runs",
    "log": "cli.runs",
    "cancel": "cli.runs",
    "retry": "cli.runs",
    "slots": "cli.backfills",
    "backfill": "cli.backfills",
    "backfills": "cli.backfills",
    "post": "cli.posting",
    "answer": "cli.posting",
    "dead-letters": "cli.letters",
    "hooks": "cli.hooks",
    "changes": "cli.changes",
    "change": "cli.changes",
    "approve": "cli.changes",
    "merge": "cli.changes",
    "close": "cli.changes",
    "pushes": "cli.pushes",
    "connection": "cli.connections",
    "token": "cli.tokens",
    "secret": "cli.secrets",
    "rebuild": "cli.rebuild",
    "doctor": "cli.doctor",
    "web": "cli.service",
    "worker": "cli.service",
    "controller": "cli.service",
}


def make_app(command: str | None = None) -> typer.Typer:
    """The application with all commands; or, where `command` is one of them, with those of its module."""
    app = typer.Typer(
        name="weft",
        help="Git-native automation: workflows as YAML, deployed by git push, rolled back by git revert.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_weft)
    for module in _modules(command):
        importlib.import_module(module).register(app)
    return app


def _modules(command: str | None) -> Iterable[str]:
    if command == "--version":
        return ()
    return [COMMANDS[command]] if command in COMMANDS else dict.fromkeys(COMMANDS.values())


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"weft {version('weft')}")
        raise typer.Exit


def _weft(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """What all commands share."""


def main() -> None:
    """The entry point. Exit code 0: done; 1: the answer is no; 2: wrong usage."""
    try:
        make_app(sys.argv[1] if len(sys.argv) > 1 else None)()
    except CommandError as error:
        typer.echo(f"weft: {error}", err=True)
        sys.exit(error.exit_code)
