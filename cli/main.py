"""The command `weft`: its commands by name, and how a command that fails says so."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from cli import doctor, service
from cli.errors import CommandError

app = typer.Typer(
    name="weft",
    help="Git-native automation: workflows as YAML, deployed by git push, rolled back by git revert.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(service.up)
app.command()(service.web)
app.command()(service.worker)
app.command()(service.controller)
app.command()(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"weft {version('weft')}")
        raise typer.Exit


@app.callback()
def weft(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """What all commands share."""


def main() -> None:
    """The entry point. Exit code 0: done; 1: the answer is no; 2: wrong usage."""
    try:
        app()
    except CommandError as error:
        typer.echo(f"weft: {error}", err=True)
        sys.exit(error.exit_code)
