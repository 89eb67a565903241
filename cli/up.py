"""Starts the service: everything on this machine, or one part of it."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg

from cli.addresses import Servers, running_servers, url_file
from cli.announcement import Announcement
from cli.embedded.child import Service
from cli.embedded.postgres import open_postgres
from cli.embedded.valkey import open_valkey
from cli.errors import StartError
from cli.installation import find_key, hold, make_data_folder, open_key, open_token
from cli.listener import is_loopback, listen
from cli.logs import set_up_logs
from cli.parts import Part
from cli.processes import STAGES, load_main
from cli.roll import Roll
from cli.settings import Settings, default_public_url
from cli.supervisor import Supervisor
from cli.values import without_password
from store.database import StoreError, migrate
from store.settings import ServiceSettings, UpstreamSettings

log = logging.getLogger(__name__)


def run_everything(settings: Settings) -> None:
    """`weft up`: blocks until it is asked to stop. Raises StartError."""
    set_up_logs(settings.log)
    require_git()
    make_data_folder(settings.data)
    lock = hold(settings.data)
    listener = listen(settings.host, settings.port)
    settings = with_port(settings, listener)
    warn_if_open(settings)
    services, servers = embedded_services(settings)
    roll = Roll(settings.data / "workers")
    with Supervisor(services=services, descriptors=(lock, listener.fileno()), roll=roll) as supervisor:
        filled = fill_in(settings, servers, key=open_key(settings), token=open_token(settings))
        counts = {"web": 1, "worker": settings.workers, "controller": 1}
        parts = [*make_parts(counts, filled, listener), announcer(filled, settings)]
        supervisor.wait_ready()
        migrate_database(filled.database_url)
        with address_known(settings):
            supervisor.run(parts)


def run_alone(settings: Settings, counts: Mapping[str, int]) -> None:
    """`weft web`, `worker`, `controller`: one part, on servers that are there already. Raises StartError."""
    set_up_logs(settings.log)
    make_data_folder(settings.data)
    servers, key = running_servers(settings), find_key(settings)
    token, listener = settings.admin_token, None
    if "web" in counts:
        require_git()
        listener = listen(settings.host, settings.port)
        settings = with_port(settings, listener)
        warn_if_open(settings)
        token = open_token(settings)
    filled = fill_in(settings, servers, key=key, token=token)
    migrate_database(filled.database_url)
    with Supervisor(descriptors=() if listener is None else (listener.fileno(),)) as supervisor:
        supervisor.run(make_parts(counts, filled, listener))


def warn_if_open(settings: Settings) -> None:
    """Tokens and sessions travel in the clear where others can listen."""
    if not is_loopback(settings.host) and not settings.public_url.startswith("https://"):
        remedy = "put a proxy with TLS before it and set WEFT_PUBLIC_URL=https://..."
        log.warning(
            "listening_without_tls", extra={"host": settings.host, "port": settings.port, "remedy": remedy}
        )


def require_git() -> None:
    if shutil.which("git") is None:
        raise StartError("git is missing: install it (Debian and Ubuntu: apt install git)")


def embedded_services(settings: Settings) -> tuple[list[Service], Servers]:
    """The servers that nobody gave, in the order in which they start; and where all servers are."""
    services: list[Service] = []
    database_url, redis_url = settings.database_url, settings.redis_url
    if database_url is None:
        postgres = open_postgres(settings.data)
        services.append(postgres)
        database_url = postgres.url
    if redis_url is None:
        valkey = open_valkey(settings.data)
        services.append(valkey)
        redis_url = valkey.url
    return services, Servers(database_url=database_url, redis_url=redis_url)


def fill_in(settings: Settings, servers: Servers, *, key: bytes, token: str | None) -> ServiceSettings:
    return ServiceSettings(
        data=settings.data,
        public_url=settings.public_url,
        database_url=servers.database_url,
        redis_url=servers.redis_url,
        admin_token=token,
        installation_key=key,
        threads=settings.threads,
        blobs=settings.blobs,
        blobs_endpoint=settings.blobs_endpoint,
        upstream=upstream_settings(settings),
        forge_secrets=settings.forge_secret,
        forge_api=settings.forge_api,
        trusted_proxies=settings.trusted_proxies,
        log=settings.log,
        secrets_key=settings.secrets_key,
        secrets_key_old=settings.secrets_key_old,
        secrets_dir=settings.secrets_dir,
        vault=settings.vault,
    )


def upstream_settings(settings: Settings) -> UpstreamSettings | None:
    if settings.upstream is None:
        return None
    return UpstreamSettings(
        url=settings.upstream, token=settings.upstream_token, every=settings.upstream_every
    )


def make_parts(
    counts: Mapping[str, int], settings: ServiceSettings, listener: socket.socket | None
) -> list[Part]:
    """The parts named in `counts`, with as many processes each; web gets the listener."""
    descriptor = None if listener is None else listener.fileno()
    of_web = dataclasses.replace(settings, listener=descriptor)
    return [
        Part(
            name=name,
            main=load_main(name),
            settings=of_web if name == "web" else settings,
            count=count,
            stage=STAGES[name],
        )
        for name, count in counts.items()
    ]


def announcer(filled: ServiceSettings, settings: Settings) -> Part:
    main = Announcement(local_url=default_public_url(settings.host, settings.port), command=os.getpid())
    return Part(name="announcer", main=main, settings=filled, once=True)


def migrate_database(url: str) -> None:
    """Raises StartError when the database cannot be reached or cannot serve."""
    try:
        migrate(url)
    except psycopg.OperationalError as error:
        said = str(error).strip().splitlines()[-1]
        raise StartError(f"The database {without_password(url)} cannot be used: {said}") from error
    except StoreError as error:
        raise StartError(str(error)) from error


def with_port(settings: Settings, listener: socket.socket) -> Settings:
    """Where port 0 became a free one, says which."""
    port = listener.getsockname()[1]
    default = settings.public_url == default_public_url(settings.host, settings.port)
    public_url = default_public_url(settings.host, port) if default else settings.public_url
    return dataclasses.replace(settings, port=port, public_url=public_url)


@contextmanager
def address_known(settings: Settings) -> Iterator[None]:
    """Says where we are while we run, for the client commands on this machine."""
    path = url_file(settings.data)
    path.write_text(f"{default_public_url(settings.host, settings.port)}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
