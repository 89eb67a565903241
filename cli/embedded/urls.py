"""Where the embedded servers of a data folder are; needs nothing of the servers themselves."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from cli.embedded.sockets import find_socket

NAME = "weft"  # of the database, and of its only role


def database_url(sockets: Path) -> str:
    """The address of the PostgreSQL whose socket is in the folder."""
    return f"postgresql://{NAME}@/{NAME}?host={quote(str(sockets), safe='')}"


def broker_url(socket: Path) -> str:
    return f"unix://{quote(str(socket))}"


def running_database(data: Path) -> str | None:
    """Of the installation in `data`; None when it has no socket there."""
    socket = find_socket(data, "postgresql/.s.PGSQL.5432")
    return None if socket is None else database_url(socket.parent)


def running_broker(data: Path) -> str | None:
    """Of the installation in `data`; None when it has no socket there."""
    socket = find_socket(data, "valkey.sock")
    return None if socket is None else broker_url(socket)
