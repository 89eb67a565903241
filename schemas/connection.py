"""A connection, typed: where a service is, and by which names its secrets are known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.pattern import JSON

SECRET: Final = re.compile(r"\$\{\{\s*secrets\.([A-Za-z_][A-Za-z0-9_]{0,99})\s*\}\}")
"""What stands for a secret in a value of a connection."""


class ConnectionType(StrEnum):
    POSTGRESQL = "postgresql"
    MYSQL = "mysql"  # and MariaDB
    SQLITE = "sqlite"  # a file of this installation
    HTTP = "http"  # a web service
    SMTP = "smtp"  # a mail server
    REDIS = "redis"  # and Valkey
    S3 = "s3"  # a bucket, at Amazon or elsewhere


DATABASES: Final = (ConnectionType.POSTGRESQL, ConnectionType.MYSQL, ConnectionType.SQLITE)

TYPES_OF_NODES: Final[Mapping[str, tuple[ConnectionType, ...]]] = {
    "sql": DATABASES,
    "http": (ConnectionType.HTTP,),
    "email": (ConnectionType.SMTP,),
    "redis": (ConnectionType.REDIS,),
    "s3": (ConnectionType.S3,),
    "probe": tuple(ConnectionType),
}
"""Kind of node → the types that its `connection` may be of."""


@dataclass(frozen=True, kw_only=True)
class Connection:
    """`spec` is as parsed, with `${{ secrets.NAME }}` where a secret belongs."""

    name: str
    type: ConnectionType
    spec: Mapping[str, JSON]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """At most `most` nodes use `connection` at one time. `environment` "": all that have none of their own."""

    organisation: str
    connection: str
    environment: str
    most: int


def connection_from_spec(name: str, spec: Mapping[str, JSON]) -> Connection:
    """The typed connection of a `spec` that passed the checks."""
    return Connection(name=name, type=ConnectionType(spec["type"]), spec=spec)


def in_environment(spec: Mapping[str, JSON], environment: str) -> dict[str, JSON]:
    """The keys as they are in one environment: its own in place of those beside `environments`."""
    own = spec.get("environments", {}).get(environment, {})
    return {**{key: value for key, value in spec.items() if key != "environments"}, **own}


def counted_in(spec: Mapping[str, JSON], environment: str) -> str:
    """Where the use of a connection counts against its `maxConcurrent`: in an environment that has an address or a
    limit of its own for itself (its name), else together with all others ("").
    """
    own = spec.get("environments", {}).get(environment, {})
    return environment if own.keys() & {"url", "endpoint", "maxConcurrent"} else ""


def with_secrets(value: JSON, secret: Callable[[str], str]) -> JSON:
    """The value with each secret in its place. `secret` gives one by its name, or raises."""
    if isinstance(value, str):
        return SECRET.sub(lambda found: secret(found[1]), value)
    if isinstance(value, dict):
        return {key: with_secrets(one, secret) for key, one in value.items()}
    return value


def secret_names(value: JSON) -> Iterator[str]:
    """The names of all secrets in a value, as often as they stand there."""
    if isinstance(value, str):
        yield from SECRET.findall(value)
    elif isinstance(value, dict):
        for one in value.values():
            yield from secret_names(one)
