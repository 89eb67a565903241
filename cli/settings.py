"""The settings of the service and of its clients, and what the service runs with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli import values
from cli.given import Given, Setting
from cli.vault import VAULT, read_vault
from store.settings import VaultSettings

DATA = Setting(
    name="WEFT_DATA",
    flag="--data",
    parse=values.folder,
    right="a folder, such as /var/lib/weft",
    default="$XDG_DATA_HOME/weft (~/.local/share/weft; /var/lib/weft for root)",
)
HOST = Setting(
    name="WEFT_HOST",
    flag="--host",
    parse=values.host,
    right="an address or a host name, such as 0.0.0.0",
    default="127.0.0.1",
)
PORT = Setting(
    name="WEFT_PORT",
    flag="--port",
    parse=values.number(0, 65535),
    right="a number up to 65535, such as 8080",
    default="8080",
)
PUBLIC_URL = Setting(
    name="WEFT_PUBLIC_URL",
    parse=values.web_url,
    right="an address such as https://weft.example",
    default="http://host:port",
)
DATABASE_URL = Setting(
    name="WEFT_DATABASE_URL",
    parse=values.server_url("postgresql", "postgres"),
    right="an address such as postgresql://user:password@host/weft",
    default="embedded",
    secret=True,
)
REDIS_URL = Setting(
    name="WEFT_REDIS_URL",
    parse=values.server_url("redis", "rediss", "unix"),
    right="an address such as redis://host:6379/0",
    default="embedded",
    secret=True,
)
BLOBS = Setting(
    name="WEFT_BLOBS",
    parse=values.blobs,
    right="a folder, or an address such as s3://bucket/prefix",
    default="the folder blobs in the data folder",
)
BLOBS_ENDPOINT = Setting(
    name="WEFT_BLOBS_ENDPOINT",
    parse=values.web_url,
    right="an address such as https://minio.example",
    default="Amazon's",
)
ADMIN_TOKEN = Setting(
    name="WEFT_ADMIN_TOKEN",
    parse=values.token,
    right="at least 20 characters without a space",
    default="made at the first start",
    secret=True,
)
INSTALLATION_KEY = Setting(
    name="WEFT_INSTALLATION_KEY",
    parse=values.key,
    right="at least 64 hexadecimal digits, such as `openssl rand -hex 32` prints",
    default="made at the first start",
    secret=True,
)
SECRETS_KEY = Setting(
    name="WEFT_SECRETS_KEY",
    parse=values.key,
    right="at least 64 hexadecimal digits, such as `openssl rand -hex 32` prints",
    default="the installation key",
    secret=True,
)
SECRETS_KEY_OLD = Setting(
    name="WEFT_SECRETS_KEY_OLD",
    parse=values.key,
    right="what WEFT_SECRETS_KEY was: at least 64 hexadecimal digits",
    default="none",
    secret=True,
)
SECRETS_DIR = Setting(
    name="WEFT_SECRETS_DIR",
    parse=values.folder,
    right="a folder, such as /run/secrets",
    default="none",
)
WORKERS = Setting(
    name="WEFT_WORKERS",
    flag="--workers",
    parse=values.number(1, 256),
    right="a number from 1 to 256, such as 2",
    default="cores - 1, at least 1",
)
THREADS = Setting(
    name="WEFT_THREADS",
    flag="--threads",
    parse=values.number(1, 256),
    right="a number from 1 to 256, such as 16",
    default="16",
)
UPSTREAM = Setting(
    name="WEFT_UPSTREAM",
    flag="--upstream",
    parse=values.git_address,
    right="a repository's address, such as https://git.example/team/flows.git or git@git.example:team/flows.git",
    default="none",
    secret=True,
)
UPSTREAM_TOKEN = Setting(
    name="WEFT_UPSTREAM_TOKEN",
    parse=values.secret,
    right="a token without a space",
    default="none",
    secret=True,
)
UPSTREAM_EVERY = Setting(
    name="WEFT_UPSTREAM_EVERY",
    parse=values.duration(1.0, 86400.0),
    right="a duration from 1s to 1d, such as 30s",
    default="30s",
)
FORGE_SECRET = Setting(
    name="WEFT_FORGE_SECRET",
    parse=values.forge_secrets,
    right="at least 16 characters, or two such secrets with a comma between them",
    default="none",
    secret=True,
)
FORGE_API = Setting(
    name="WEFT_FORGE_API",
    parse=values.web_url,
    right="an address such as https://git.example/api/v4",
    default="the upstream host's",
)
TRUSTED_PROXIES = Setting(
    name="WEFT_TRUSTED_PROXIES",
    parse=values.address_ranges,
    right="ranges of addresses with commas between them, such as 10.0.0.0/8,127.0.0.1",
    default="none",
)
LOG = Setting(
    name="WEFT_LOG",
    parse=values.log,
    right="debug, info, warning or error, text or json, or both, such as debug,json",
    default="info, text on a terminal, else JSON",
)
URL = Setting(
    name="WEFT_URL",
    parse=values.web_url,
    right="an address such as https://weft.example",
    default="the local installation's",
)
TOKEN = Setting(
    name="WEFT_TOKEN",
    parse=values.token,
    right="at least 20 characters without a space",
    default="the local installation's",
    secret=True,
)
SETTINGS: tuple[Setting[Any], ...] = (
    *(DATA, HOST, PORT, PUBLIC_URL, DATABASE_URL, REDIS_URL, BLOBS, BLOBS_ENDPOINT),
    *(ADMIN_TOKEN, INSTALLATION_KEY, SECRETS_KEY, SECRETS_KEY_OLD),
    SECRETS_DIR,
    *VAULT,
    *(WORKERS, THREADS, UPSTREAM, UPSTREAM_TOKEN, UPSTREAM_EVERY),
    *(FORGE_SECRET, FORGE_API, TRUSTED_PROXIES, LOG, URL, TOKEN),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the service runs with, checked.

    `database_url`, `redis_url` None: the embedded servers. `admin_token`, `installation_key` None: the files
    in the data folder, which `cli.installation` makes at the first start. `upstream_every`: seconds.
    `blobs`: what `store.s3_blobs.open_blobs` takes.
    """

    data: Path
    host: str
    port: int
    public_url: str
    database_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    blobs: str
    blobs_endpoint: str | None
    admin_token: str | None = field(repr=False)
    installation_key: bytes | None = field(repr=False)
    secrets_key: bytes | None = field(repr=False)
    secrets_key_old: bytes | None = field(repr=False)
    secrets_dir: Path | None
    vault: VaultSettings | None
    workers: int
    threads: int
    upstream: str | None = field(repr=False)
    upstream_token: str | None = field(repr=False)
    upstream_every: float
    forge_secret: tuple[str, ...] = field(repr=False)
    forge_api: str | None
    trusted_proxies: tuple[str, ...]
    log: str


def read_settings(given: Given | None = None) -> Settings:
    """All settings of the service. Makes nothing on disk. Raises SettingsError for the first wrong one."""
    given = given or Given()
    host, port = given.read(HOST) or "127.0.0.1", given.read(PORT)
    port = 8080 if port is None else port
    data = given.read(DATA) or default_data_folder(given.environ)
    return Settings(
        data=data,
        host=host,
        port=port,
        public_url=given.read(PUBLIC_URL) or default_public_url(host, port),
        database_url=given.read(DATABASE_URL),
        redis_url=given.read(REDIS_URL),
        blobs=given.read(BLOBS) or str(data / "blobs"),
        blobs_endpoint=given.read(BLOBS_ENDPOINT),
        admin_token=given.read(ADMIN_TOKEN),
        installation_key=given.read(INSTALLATION_KEY),
        secrets_key=given.read(SECRETS_KEY),
        secrets_key_old=given.read(SECRETS_KEY_OLD),
        secrets_dir=given.read(SECRETS_DIR),
        vault=read_vault(given),
        workers=given.read(WORKERS) or default_workers(),
        threads=given.read(THREADS) or 16,
        upstream=given.read(UPSTREAM),
        upstream_token=given.read(UPSTREAM_TOKEN),
        upstream_every=given.read(UPSTREAM_EVERY) or 30.0,
        forge_secret=given.read(FORGE_SECRET) or (),
        forge_api=given.read(FORGE_API),
        trusted_proxies=given.read(TRUSTED_PROXIES) or (),
        log=given.read(LOG) or "info",
    )


def default_data_folder(environ: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME/weft`, else `~/.local/share/weft`; for root `/var/lib/weft`.

    PostgreSQL refuses to run as root, and the system user that it runs as then cannot look into `/root`.
    """
    if environ.get("XDG_DATA_HOME"):
        return Path(environ["XDG_DATA_HOME"]) / "weft"
    return Path("/var/lib/weft") if os.geteuid() == 0 else Path.home() / ".local" / "share" / "weft"


def default_public_url(host: str, port: int) -> str:
    """How this machine itself reaches the listener."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def default_workers() -> int:
    return max(1, len(os.sched_getaffinity(0)) - 1)
