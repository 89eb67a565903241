"""`weft demo`: the service in a folder of its own, the examples pushed to it, and a tour of what happens then."""

from __future__ import annotations

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

from cli.embedded.child import die_with_parent, open_log
from cli.errors import CommandError, StartError
from cli.given import Given
from cli.installation import make_data_folder, open_token
from cli.settings import DATA, PORT, Settings, read_settings
from cli.tour import Live, Stop, Tour, curl
from cli.tour_page import Page
from cli.up import run_everything
from cli.work_tree import WorkTree

AUTHOR = "Ada <ada@weft.example>"
ENDING = (signal.SIGTERM, signal.SIGHUP)
SIGNALS = (signal.SIGINT, *ENDING)
START_PATIENCE = 60.0  # seconds; the first start makes a database
STOP_PATIENCE = 30.0
REMOVE_PATIENCE = 5.0


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    *,
    exit_: Annotated[bool, typer.Option("--exit", help="End after the tour instead of staying up.")] = False,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Keep the data here. Default: a temporary folder.", show_default=False
        ),
    ] = None,
    port: Annotated[
        str | None,
        typer.Option(metavar="NUMBER", help="Where to listen. Default: a free port.", show_default=False),
    ] = None,
) -> None:
    """Show Weft in 20 seconds: push, webhook, run, new version, revert.

    Starts everything on this machine, in a temporary folder; the tour speaks real HTTP and Git.

    Example: weft demo --exit
    """
    for number in ENDING:
        signal.signal(number, _end)
    with temporary_folder() as folder:
        settings = demo_settings(data or str(folder / "data"), port)
        page = Page(Console(highlight=False))
        page.say("Weft: a push is the deployment, a revert is the rollback.\n", "bold")
        make_data_folder(settings.data)
        with service(settings, page) as process:
            advice = _tour(settings, folder, page)
            if not exit_:
                page.say("That was Weft. It is still there; in another terminal:\n", "bold")
                page.say(advice)
                _stay(process, settings, page)


def _tour(settings: Settings, folder: Path, page: Page) -> str:
    """Gives what to try next."""
    token, tree = open_token(settings), WorkTree(folder / "examples", AUTHOR)
    stop = Stop(url=settings.public_url, token=token, examples=examples_folder(), tree=tree)
    try:
        return what_next(settings, Tour(stop, page).run(), tree.folder)
    except CommandError:
        page.say(f"The service's log ends so:\n{tail(log_of(settings))}", "dim")
        raise


def _stay(process: BaseProcess, settings: Settings, page: Page) -> None:
    try:
        page.say("\nCtrl-C stops it and removes what it made.", "bold")
        process.join()
    except KeyboardInterrupt:
        page.say("\nStopping.")
        return
    raise StartError(f"The service ended by itself. Its log ends so:\n{tail(log_of(settings))}")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """One that PostgreSQL's own user can enter where this one is root."""
    folder = Path(tempfile.mkdtemp(prefix="weft-demo-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """A program that was cut off while it made the database may write a moment longer."""
    deadline = time.monotonic() + REMOVE_PATIENCE
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.02)


def demo_settings(data: str, port: str | None) -> Settings:
    """Nothing of the environment: a database named there belongs to a real installation."""
    flags = {DATA.name: data, PORT.name: str(free_port()) if port is None else port}
    return read_settings(Given(flags=flags, environ={}))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def service(settings: Settings, page: Page) -> Iterator[BaseProcess]:
    """Everything that `weft up` starts, as a child of this process and gone with it. Raises StartError."""
    process = _started(settings)
    try:
        with page.step("Start PostgreSQL, Valkey, web server, workers, controller") as step:
            _wait_until_ready(settings, process)
            step.say(f"{settings.public_url}, with its data in {settings.data}", "dim")
        yield process
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # it is being stopped already
        process.terminate()
        process.join(STOP_PATIENCE)
        process.kill()
        process.join()


def _started(settings: Settings) -> BaseProcess:
    """Signals wait meanwhile: one between the fork and knowing its pid would leave a child that nobody ends."""
    # A daemon, because at its end Python waits for all other children, for ever.
    process = multiprocessing.get_context("fork").Process(
        target=_serve, args=(settings, os.getpid()), daemon=True
    )
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return process


def _serve(settings: Settings, parent: int) -> None:
    os.setsid()  # a terminal's Ctrl-C reaches it through us
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    die_with_parent(signal.SIGTERM, parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    with open_log(log_of(settings)) as descriptor:
        os.dup2(descriptor, sys.stdout.fileno())
        os.dup2(descriptor, sys.stderr.fileno())
    try:
        run_everything(settings)
    except CommandError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from error


def _wait_until_ready(settings: Settings, process: BaseProcess) -> None:
    deadline = time.monotonic() + START_PATIENCE
    with httpx.Client(base_url=settings.public_url, trust_env=False, timeout=START_PATIENCE) as client:
        while not _is_ready(client):
            if process.exitcode is not None or time.monotonic() > deadline:
                raise StartError(f"The service did not start. Its log ends so:\n{tail(log_of(settings))}")
            time.sleep(0.02)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def log_of(settings: Settings) -> Path:
    return settings.data / "log" / "service.log"


def tail(log: Path, lines: int = 5) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"


def examples_folder() -> Path:
    """In a wheel they are beside this file, in a checkout beside its folder."""
    packaged = Path(__file__).parent / "examples-repo"
    return packaged if packaged.is_dir() else packaged.parent.parent / packaged.name


def what_next(settings: Settings, live: Live, work: Path) -> str:
    """Commands to type, as they have to be typed here."""
    weft = this_command()
    return f"""  export WEFT_DATA={shlex.quote(str(settings.data))}
  {weft} runs
  {curl({"order_id": "A-1002", "total": 900}, live.hook)}
  {weft} run payment-check --input '{{"payment_id": "p-1"}}' --follow
  cd {shlex.quote(str(work))}    # edit a pattern, git commit, git push weft main"""


def this_command() -> str:
    """How `weft` is typed in another terminal: by its name where that finds it, else by its path."""
    found = shutil.which("weft")
    here = Path(sys.argv[0]).absolute()
    if here.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m cli"
    return "weft" if found and Path(found).samefile(here) else shlex.quote(str(here))


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
