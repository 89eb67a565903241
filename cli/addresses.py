"""Where the servers are: the database and the broker for a part, Weft itself for the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cli.embedded.urls import running_broker, running_database
from cli.errors import StartError
from cli.given import Given
from cli.installation import token_file
from cli.settings import DATABASE_URL, REDIS_URL, TOKEN, URL, Settings, read_settings


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Where the database and the broker are."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Client:
    """Which server the command line speaks to, and as whom."""

    url: str
    token: str = field(repr=False)


def running_servers(settings: Settings) -> Servers:
    """The given servers, else the embedded ones of the `weft up` that runs on the data folder.

    Raises StartError where there are neither.
    """
    return Servers(
        database_url=settings.database_url or _embedded(settings, DATABASE_URL.name, running_database),
        redis_url=settings.redis_url or _embedded(settings, REDIS_URL.name, running_broker),
    )


def _embedded(settings: Settings, variable: str, find: Callable[[Path], str | None]) -> str:
    url = find(settings.data)
    if url is None:
        raise StartError(
            f"{variable} is not set and no weft up runs on {settings.data}: set it, or start weft up"
        )
    return url


def url_file(data: Path) -> Path:
    """Where a running `weft up` says its address, for the client commands on this machine."""
    return data / "url"


def read_client(given: Given | None = None) -> Client:
    """WEFT_URL and WEFT_TOKEN, else the local installation's. Raises StartError where there is none."""
    given = given or Given()
    url, token = given.read(URL), given.read(TOKEN)
    if url is not None and token is None:
        raise StartError(f"WEFT_URL={url} needs a token: set WEFT_TOKEN")
    data = read_settings(given).data
    return Client(url=url or _local(url_file(data)), token=token or _local(token_file(data)))


def _local(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise StartError(
            f"No Weft runs here ({path}: {error.strerror}): start weft up, or set WEFT_URL"
        ) from error
