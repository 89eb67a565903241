"""What `weft doctor` looks at. Each check says what it found, and what to do where that is not right."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import redis

from cli.embedded import postgres, valkey
from cli.embedded.binaries import OLDEST_BROKER, broker_binary, installed_postgres
from cli.errors import StartError
from cli.installation import holder
from cli.listener import listen
from cli.settings import Settings
from cli.values import without_password
from store import health
from store.settings import FIRST_ORGANISATION
from store.upstream import UpstreamState, look_up

OLDEST_GIT = (2, 31)
LEAST_SPACE = 1024**3  # bytes
WORST_CLOCK = 1.0  # seconds between this machine and the database


@dataclass(frozen=True, kw_only=True)
class Check:
    """`remedy` is empty when all is well."""

    name: str
    found: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        return not self.remedy


def all_checks(settings: Settings) -> Iterator[Check]:
    """In an order in which the first remedy is the one to try first."""
    yield check_git()
    yield check_data_folder(settings.data)
    yield check_space(settings.data)
    yield from check_database(settings)
    yield from check_upstream(settings)
    yield check_broker(settings)
    yield check_port(settings)


def check_git() -> Check:
    if (git := shutil.which("git")) is None:
        return Check(name="git", found="missing", remedy="install it (Debian and Ubuntu: apt install git)")
    said = subprocess.run([git, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    number = re.search(r"(\d+)\.(\d+)", said)
    new_enough = number is not None and tuple(map(int, number.groups())) >= OLDEST_GIT
    return Check(name="git", found=said, remedy="" if new_enough else "install Git 2.31 or newer")


def check_data_folder(data: Path) -> Check:
    existing = next(folder for folder in (data, *data.parents) if folder.exists())
    usable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    found = f"{data} can be written" if existing == data else f"{data} is made at the first start"
    if usable:
        return Check(name="data folder", found=found)
    return Check(
        name="data folder",
        found=f"{existing} cannot be written by uid {os.geteuid()}",
        remedy="choose another with --data (or WEFT_DATA)",
    )


def check_space(data: Path) -> Check:
    existing = next(folder for folder in (data, *data.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    remedy = "" if free >= LEAST_SPACE else "make room, or choose another data folder with --data"
    return Check(name="disk", found=f"{free / 1024**3:.1f} GiB free", remedy=remedy)


def check_database(settings: Settings) -> Iterator[Check]:
    url = settings.database_url or postgres.running_url(settings.data)
    if url is None or (settings.database_url is None and holder(settings.data) is None):
        yield _embedded("database", lambda: str(installed_postgres()))
        return
    try:
        before, seen, after = time.time(), health.look(url), time.time()
    except psycopg.OperationalError as error:
        said = str(error).strip().splitlines()[-1]
        yield Check(
            name="database",
            found=f"{without_password(url)} cannot be reached: {said}",
            remedy="start it, or see WEFT_DATABASE_URL",
        )
        return
    yield _version_of(seen)
    yield _schema_of(seen)
    yield clock(seen.now, datetime.fromtimestamp((before + after) / 2, UTC))


def check_upstream(settings: Settings) -> Iterator[Check]:
    """How the mirror does, where there is one and the database can say so."""
    url = settings.database_url or postgres.running_url(settings.data)
    if url is None or (settings.database_url is None and holder(settings.data) is None):
        return
    try:
        state = look_up(url, FIRST_ORGANISATION)
    except psycopg.Error:  # said already, by the checks of the database
        return
    if state is not None:
        yield from upstream_checks(state)


def upstream_checks(state: UpstreamState) -> Iterator[Check]:
    """One for the whole, and one for each ref that a person has to look at. Pure."""
    look = state.look
    if look.error is not None:
        since = f"{state.failing_since:%Y-%m-%d %H:%M:%S %Z}" if state.failing_since else "now"
        yield Check(
            name="upstream",
            found=f"does not do since {since}: {look.error}",
            remedy="what is live stays; it is tried again and again, so nothing else has to be done here",
        )
    else:
        skipped = f", {len(look.skipped)} refs skipped: see GET /api/v1/upstream" if look.skipped else ""
        yield Check(name="upstream", found=f"{state.url} looked at {state.looked_at:%H:%M:%S %Z}{skipped}")
    for one in look.apart:
        remedy = "; ".join(one.resolve) or "see above"
        yield Check(name="upstream", found=one.reason, remedy=remedy)


def _version_of(seen: health.Health) -> Check:
    found = f"PostgreSQL {seen.server_version // 10000}.{seen.server_version % 10000}"
    remedy = "" if seen.server_is_new_enough else "use PostgreSQL 14 or newer"
    return Check(name="database", found=found, remedy=remedy)


def _schema_of(seen: health.Health) -> Check:
    found = f"schema {seen.schema} of {seen.newest_schema}"
    if seen.schema > seen.newest_schema:
        return Check(name="migrations", found=found, remedy="start the newer Weft that migrated it")
    remedy = (
        "" if seen.schema == seen.newest_schema else "start weft up (or any part): it migrates the database"
    )
    return Check(name="migrations", found=found, remedy=remedy)


def clock(database: datetime, here: datetime) -> Check:
    """Whether the two clocks agree. Pure."""
    apart = abs((database - here).total_seconds())
    remedy = "" if apart <= WORST_CLOCK else "let both machines follow a time server (NTP)"
    return Check(name="clock", found=f"{apart:.3f} s from the database's", remedy=remedy)


def check_broker(settings: Settings) -> Check:
    url = settings.redis_url or valkey.running_url(settings.data)
    if url is None or (settings.redis_url is None and holder(settings.data) is None):
        return _embedded("broker", lambda: str(broker_binary()))
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5, decode_responses=True) as client:
            about = client.info("server")
    except redis.RedisError as error:
        found = f"{without_password(url)} cannot be reached: {error}"
        return Check(name="broker", found=found, remedy="start it, or see WEFT_REDIS_URL")
    name = "Valkey" if "valkey_version" in about else "Redis"
    version = str(about.get("valkey_version", about["redis_version"]))
    new_enough = tuple(int(part) for part in version.split(".")[:2]) >= OLDEST_BROKER
    return Check(
        name="broker",
        found=f"{name} {version}",
        remedy="" if new_enough else "use Redis 6.2 or newer, or Valkey",
    )


def check_port(settings: Settings) -> Check:
    if (pid := holder(settings.data)) is not None:
        return Check(name="port", found=f"weft up runs (pid {pid})")
    try:
        listen(settings.host, settings.port).close()
    except StartError as error:
        return Check(name="port", found=str(error).split(":")[0], remedy=str(error).partition(": ")[2])
    return Check(name="port", found=f"{settings.port} on {settings.host} is free")


def _embedded(name: str, find: Callable[[], str]) -> Check:
    try:
        return Check(name=name, found=f"embedded, not running: {find()}")
    except StartError as error:
        return Check(name=name, found="embedded, missing", remedy=str(error))
