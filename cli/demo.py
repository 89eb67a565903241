"""`weft demo`: the service in a folder of its own, the examples pushed to it, and a tour of what happens then."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Annotated

import httpx
import typer
from rich.console import Console

from cli.embedded.child import die_with_parent, last_line, open_log
from cli.errors import CommandError, StartError
from cli.installation import open_token
from cli.settings import DATA, PORT, Given, Settings, read_settings
from cli.tour import DEPLOYMENT, Live, Stop, Tour
from cli.tour_page import Page
from cli.up import run_everything
from cli.work_tree import WorkTree

AUTHOR = "Ada <ada@weft.example>"
START_PATIENCE = 60.0  # seconds; the first start makes a database
STOP_PATIENCE = 30.0


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    *,
    exit_: Annotated[bool, typer.Option("--exit", help="End after the tour instead of staying up.")] = False,
    data: Annotated[
        str | None, typer.Option(help="Keep the data in this folder [default: a temporary one].")
    ] = None,
    port: Annotated[str | None, typer.Option(help="Where to listen [default: a free port].")] = None,
) -> None:
    """Show Weft in 20 seconds: push, webhook, run, new version, revert.

    Starts everything on this machine, in a temporary folder; the tour speaks real HTTP and Git.

    Example: weft demo --exit
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    with temporary_folder() as folder:
        settings = demo_settings(folder, data, port)
        page = Page(Console(highlight=False))
        try:
            with service(settings, folder / "service.log", page) as process:
                live, tree = _tour(settings, folder, page)
                if not exit_:
                    page.say(what_next(settings, live, tree))
                    process.join()
                    raise StartError(f"the service ended by itself: {last_line(folder / 'service.log')}")
        except KeyboardInterrupt:
            page.say("\nStopped. Nothing of it is left.")


def _tour(settings: Settings, folder: Path, page: Page) -> tuple[Live, WorkTree]:
    tree = WorkTree(folder / "repository", AUTHOR)
    stop = Stop(url=settings.public_url, token=open_token(settings), examples=examples_folder(), tree=tree)
    return Tour(stop, page).run(), tree
