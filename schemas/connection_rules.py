"""What must hold within a connection beyond its shape: keys that fit its type, and no secret in the repository."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from schemas.buckets import Bucket
from schemas.connection import SECRET, ConnectionType
from schemas.mistakes import Mistake, did_you_mean
from schemas.pattern import JSON
from schemas.template_text import OPENING

_SHARED: Final = frozenset({"type", "url", "maxConcurrent", "environments"})
_KEYS: Final = {
    ConnectionType.POSTGRESQL: frozenset({"user", "password"}),
    ConnectionType.MYSQL: frozenset({"user", "password"}),
    ConnectionType.SQLITE: frozenset(),
    ConnectionType.HTTP: frozenset({"headers", "auth", "tls"}),
    ConnectionType.SMTP: frozenset({"user", "password", "starttls", "from"}),
    ConnectionType.REDIS: frozenset({"user", "password", "tls"}),
    ConnectionType.S3: frozenset({"endpoint", "region", "accessKey", "secretKey", "tls"}),
}
_SCHEMES: Final = {
    ConnectionType.POSTGRESQL: ("postgresql", "postgres"),
    ConnectionType.MYSQL: ("mysql", "mariadb"),
    ConnectionType.SQLITE: ("sqlite",),
    ConnectionType.HTTP: ("https", "http"),
    ConnectionType.SMTP: ("smtp", "smtps"),
    ConnectionType.REDIS: ("redis", "rediss"),
    ConnectionType.S3: ("s3",),
}
_EXAMPLES: Final = {
    ConnectionType.POSTGRESQL: "postgresql://db.internal/warehouse",
    ConnectionType.MYSQL: "mysql://db.internal/shop",
    ConnectionType.SQLITE: "sqlite:///orders.db",
    ConnectionType.HTTP: "https://api.example.com/v1",
    ConnectionType.SMTP: "smtp://mail.example.com:587",
    ConnectionType.REDIS: "redis://cache.internal:6379/0",
    ConnectionType.S3: "s3://bucket/folder",
}
SSL_MODES: Final = ("disable", "prefer", "require", "verify-full")
"""What `?sslmode=` may say in the address of a database."""

_NUMBER: Final = re.compile(r"/?|/[0-9]{1,5}")
_FILE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_SECRET_KEYS: Final = frozenset({"password", "token", "clientSecret", "key", "secretKey"})
_SECRET_HEADERS: Final = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)

_Path = tuple[str | int, ...]


def connection_mistakes(spec: Mapping[str, JSON]) -> Iterator[Mistake]:
    """All mistakes of a connection's `spec`, whatever shape it has."""
    yield from _value_mistakes({key: spec[key] for key in spec if key != "type"}, ("spec",))
    written = spec.get("type")
    if written not in [str(one) for one in ConnectionType]:
        return  # the JSON Schema says so
    kind = ConnectionType(written)
    for own, at in _levels(spec):
        yield from _key_mistakes(kind, own, at)
        url = own.get("url")
        if isinstance(url, str):
            yield from _url_mistakes(kind, url, (*at, "url"))
    if kind is ConnectionType.S3:
        yield from _half_credentials(spec)


def url_problem(kind: str, url: str) -> str | None:
    """Why an address that came from a secret cannot be that of a connection of `kind`, or None.

    It may hold a password, which the message does not quote.
    """
    wrong = _wrong_url(ConnectionType(kind), url)
    return None if wrong is None else wrong[1]


def _levels(spec: Mapping[str, JSON]) -> Iterator[tuple[Mapping[str, JSON], _Path]]:
    yield spec, ("spec",)
    environments = spec.get("environments")
    for name, own in environments.items() if isinstance(environments, dict) else ():
        if isinstance(own, dict):
            yield own, ("spec", "environments", name)


def _key_mistakes(kind: ConnectionType, own: Mapping[str, JSON], at: _Path) -> Iterator[Mistake]:
    known = _KEYS[kind]
    every = frozenset().union(*_KEYS.values())
    for key in own:
        if key in every and key not in known:
            message = f'a connection of type {kind} has no "{key}"'
            hint = did_you_mean(key, known | _SHARED)
            yield Mistake(path=(*at, key), at_key=True, code="unknown-key", message=message, hint=hint)


def _url_mistakes(kind: ConnectionType, url: str, at: _Path) -> Iterator[Mistake]:
    if SECRET.fullmatch(url.strip()):
        return  # known when it is used
    if OPENING in SECRET.sub("", url):
        return  # no secret, and said already
    wrong = _wrong_url(kind, SECRET.sub("x", url)) or _written_password(kind, SECRET.sub("x", url))
    if wrong:
        code, message, hint = wrong
        yield Mistake(path=at, code=code, message=message, hint=hint)


def _wrong_url(kind: ConnectionType, url: str) -> tuple[str, str, str] | None:
    """Code, message and hint. The message quotes no value of the address: it may hold a password."""
    example = f"Write it as in {_EXAMPLES[kind]}."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "invalid-value", '"url" is not a valid address', example
    if parts.scheme not in _SCHEMES[kind]:
        words = " or ".join(f"{scheme}://" for scheme in _SCHEMES[kind])
        return "invalid-value", f'the "url" of a connection of type {kind} begins with {words}', example
    if kind is ConnectionType.SQLITE:
        return _wrong_file(url)
    if kind is ConnectionType.S3:
        return _wrong_bucket(url)
    if not parts.hostname or re.search(r"[\s,%\\]", parts.netloc.rpartition("@")[2]) or port == 0:
        return "invalid-value", '"url" names no host', example
    if kind in (ConnectionType.POSTGRESQL, ConnectionType.MYSQL):
        return _wrong_database(kind, parts.path, parts.query)
    if kind is ConnectionType.SMTP and (parts.path.strip("/") or parts.query or parts.fragment):
        return "invalid-value", '"url" of a mail server has a host and a port and no more', example
    if kind is ConnectionType.REDIS and (parts.query or parts.fragment or not _NUMBER.fullmatch(parts.path)):
        return (
            "invalid-value",
            '"url" of Redis has a host, a port and the number of a database, and no more',
            example,
        )
    return None


def _written_password(kind: ConnectionType, url: str) -> tuple[str, str, str] | None:
    if ":" not in urlsplit(url).netloc.rpartition("@")[0]:
        return None
    hint = "Take it out of the address and write `password: ${{ secrets.NAME }}` below it."
    if kind is ConnectionType.HTTP:
        hint = "Take it out of the address and write `auth: {basic: {…, password: ${{ secrets.NAME }}}}`."
    return "literal-secret", '"url" holds a password', hint


def _wrong_file(url: str) -> tuple[str, str, str] | None:
    path = url.removeprefix("sqlite:///")
    if path != url and _FILE.fullmatch(path) and ".." not in path.split("/"):
        return None
    hint = "Write sqlite:///orders.db, or a folder as well: sqlite:///shop/orders.db."
    return "invalid-value", '"url" does not name a file below the folder of databases', hint


def _wrong_bucket(url: str) -> tuple[str, str, str] | None:
    try:
        Bucket.read(url)
    except ValueError:
        hint = "Write s3://bucket, or with what all keys begin with: s3://bucket/folder."
        return "invalid-value", '"url" is not the address of a bucket', hint
    return None


def _half_credentials(spec: Mapping[str, JSON]) -> Iterator[Mistake]:
    environments = spec.get("environments")
    for name in ("", *(environments if isinstance(environments, dict) else ())):
        own = environments.get(name) if name and isinstance(environments, dict) else {}
        given = {*spec, *(own if isinstance(own, dict) else ())} & {"accessKey", "secretKey"}
        if len(given) == 1:
            at: _Path = ("spec", "environments", name) if name else ("spec",)
            missing = ({"accessKey", "secretKey"} - given).pop()
            message = f'"{given.pop()}" needs "{missing}" beside it'
            hint = f"Add `{missing}`, or leave both out where the bucket is public."
            yield Mistake(path=at, code="missing-key", message=message, hint=hint)
            return


def _wrong_database(kind: ConnectionType, path: str, query: str) -> tuple[str, str, str] | None:
    if not path.strip("/"):
        return "invalid-value", '"url" names no database', f"Write it as in {_EXAMPLES[kind]}."
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key != "sslmode":
            hint = "Only `?sslmode=` may follow; leave the rest out."
            return "invalid-value", f'"url" cannot say {key!r:.50}', hint
        if value not in SSL_MODES:
            return "invalid-value", "no such `sslmode`", f"Write one of {', '.join(SSL_MODES)}."
    return None


def _value_mistakes(value: JSON, at: _Path) -> Iterator[Mistake]:
    """Expressions that are no secrets, and secrets that are written out."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _value_mistakes(one, (*at, key))
    elif isinstance(value, str):
        if OPENING in SECRET.sub("", value):
            message = f'"{at[-1]}" cannot hold this expression'
            hint = "In a connection only secrets are filled in: ${{ secrets.NAME }}."
            yield Mistake(path=at, code="template-not-allowed", message=message, hint=hint)
        elif _is_secret(at) and not SECRET.search(value):
            message = f'"{at[-1]}" is written out: a secret does not belong into the repository'
            hint = "Write ${{ secrets.NAME }} and set it: weft secret set NAME. Change this one: it is known."
            yield Mistake(path=at, code="literal-secret", message=message, hint=hint)


def _is_secret(at: _Path) -> bool:
    key = str(at[-1])
    if at[-2:-1] == ("headers",):
        return _SECRET_HEADERS.search(key) is not None
    return key in _SECRET_KEYS
