"""The commands that start the service: `up`, and its parts alone."""

from __future__ import annotations

import typer

from cli.given import Given
from cli.options import Data, Host, Port, Processes, Threads, Upstream, Workers
from cli.settings import Settings, read_settings
from cli.up import run_alone, run_everything


def register(app: typer.Typer) -> None:
    for command in (up, web, worker, controller):
        app.command()(command)


def up(
    data: Data = None,
    host: Host = None,
    port: Port = None,
    workers: Workers = None,
    threads: Threads = None,
    upstream: Upstream = None,
) -> None:
    """Start everything on this machine, the embedded database and broker included.

    Example: weft up --port 9000 --data ./weft-data
    """
    flags = {"WEFT_DATA": data, "WEFT_HOST": host, "WEFT_PORT": port}
    flags |= {"WEFT_WORKERS": workers, "WEFT_THREADS": threads, "WEFT_UPSTREAM": upstream}
    run_everything(_settings(flags))


def web(data: Data = None, host: Host = None, port: Port = None, upstream: Upstream = None) -> None:
    """Start the web server alone: webhooks, Git, the API.

    Example: WEFT_DATABASE_URL=postgresql://weft@db/weft WEFT_REDIS_URL=redis://cache weft web
    """
    flags = {"WEFT_DATA": data, "WEFT_HOST": host, "WEFT_PORT": port, "WEFT_UPSTREAM": upstream}
    run_alone(_settings(flags), {"web": 1})


def worker(data: Data = None, processes: Processes = None, threads: Threads = None) -> None:
    """Start workers alone.

    Example: weft worker --processes 4 --threads 16
    """
    flags = {"WEFT_DATA": data, "WEFT_WORKERS": processes, "WEFT_THREADS": threads}
    settings = read_settings(Given(flags=flags, spelled={"WEFT_WORKERS": "--processes"}))
    run_alone(settings, {"worker": settings.workers})


def controller(data: Data = None, upstream: Upstream = None) -> None:
    """Start the controller alone; of several, one leads and the others stand by.

    Example: weft controller
    """
    run_alone(_settings({"WEFT_DATA": data, "WEFT_UPSTREAM": upstream}), {"controller": 1})


def _settings(flags: dict[str, str | None]) -> Settings:
    return read_settings(Given(flags=flags))
