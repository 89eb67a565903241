"""`redis`: one command, and its answer."""

from __future__ import annotations

import base64
import binascii
import contextlib
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

import httpcore

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.dialer import Dialer
from runner.nodes.found import Found
from runner.nodes.http_tls import TlsOptions
from runner.nodes.idle import Idle
from runner.nodes.resp import Answers, BrokenError, ServerError, written
from runner.nodes.watched import CancelledError, DeadlinePassedError, TlsError, Watch, WatchedStream
from schemas.connection import ConnectionType
from schemas.pattern import JSON
from schemas.redis_commands import refusal

MOST_SENT: Final = 16 * 1024 * 1024
"""Bytes of one command."""

_PORTS: Final = {"redis": 6379, "rediss": 6379}
_LATER: Final = frozenset(
    ("LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS", "OOM", "MISCONF")
)
_HINTS: Final = {
    "NOAUTH": "Give `password`, and `user` if there are several, in the connection.",
    "WRONGPASS": "Check `user` and `password` of the connection.",
    "NOPERM": "The user of the connection may not do that: see ACL on the server.",
    "MOVED": "The server is one of a cluster, and the key is on another one: a connection leads to one server.",
    "ASK": "The server is one of a cluster, and the key is on another one: a connection leads to one server.",
    "NOPROTO": "It has to be Redis 6 or newer, or Valkey.",
}
_CONTEXTS = 16  # of TLS that are kept

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RedisAddress:
    host: str
    port: int
    database: int
    tls: bool
    user: str | None
    password: str | None

    @classmethod
    def read(cls, spec: Mapping[str, JSON]) -> RedisAddress:
        """From the `spec` of a connection that passed the checks."""
        parts = urlsplit(spec["url"])
        user, password = spec.get("user"), spec.get("password")
        return cls(
            host=parts.hostname or "",
            port=parts.port or _PORTS[parts.scheme],
            database=int(parts.path.strip("/") or 0),
            tls=parts.scheme == "rediss",
            user=user or unquote(parts.username or "") or None,
            password=password or unquote(parts.password or "") or None,
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"

    @property
    def hello(self) -> list[bytes]:
        words = [b"HELLO", b"3"]
        if self.password is not None:
            words += [b"AUTH", (self.user or "default").encode(), self.password.encode()]
        return [*words, b"SETNAME", b"weft"]


class RedisSession:
    """One connection, signed in."""

    def __init__(self, stream: WatchedStream) -> None:
        self._stream = stream
        self._answers = Answers(stream)
        self.hello: Mapping[str, JSON] = {}

    @property
    def fit(self) -> bool:
        return self._answers.at_rest and not self._stream.get_extra_info("is_readable")

    @property
    def tls(self) -> str | None:
        connection = self._stream.get_extra_info("socket")
        return connection.version() if isinstance(connection, ssl.SSLSocket) else None

    def begin(self, address: RedisAddress) -> None:
        """Raises as `ask` does."""
        said = self.ask(address.hello)
        self.hello = said if isinstance(said, dict) else {}
        if address.database:
            self.ask([b"SELECT", str(address.database).encode()])

    def ask(self, arguments: Sequence[bytes]) -> JSON:
        """Raises ServerError, BrokenError, NodeError `output_too_large`, and what `Watch` raises."""
        try:
            self._stream.write(written(arguments))
            return self._answers.next()
        except httpcore.NetworkError as error:
            raise BrokenError(f"the connection was lost: {error}") from error

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()


class RedisNode:
    """Takes `{connection, command}`, gives the answer. For any number of threads; make it after forking."""

    def __init__(self) -> None:
        self._dialer = Dialer()
        self._idle: Idle[RedisSession] = Idle()
        self._contexts: dict[TlsOptions, ssl.SSLContext] = {}

    def __call__(self, context: NodeContext, inputs: JSON) -> JSON:
        command = arguments_of(inputs["command"])
        spec = context.connections.get(str(inputs["connection"]), ConnectionType.REDIS)
        return self._within(context, spec, lambda session: session.ask(command))

    def probe(self, context: NodeContext, name: str) -> Found:
        """PING, and what the server says of itself where it may be asked."""
        spec = context.connections.get(name, ConnectionType.REDIS)
        return self._within(context, spec, lambda session: _found(session, RedisAddress.read(spec)))

    def forget(self) -> None:
        self._idle.forget()

    def close(self) -> None:
        self._idle.close()
        self._dialer.close()

    def _within(self, context: NodeContext, spec: Mapping[str, JSON], work: Callable[[RedisSession], T]) -> T:
        watch = Watch.start("no answer", context.remaining(), context.cancelled)
        name = spec["name"]
        try:
            with watch.over():
                return self._with_session(context, spec, work)
        except DeadlinePassedError as error:
            raise NodeError("timeout", f"{name}: {error}") from None
        except CancelledError:
            raise NodeError("cancelled", f"{name}: given up with its run", retryable=False) from None
        except BrokenError as error:
            raise NodeError("connection", f"{name}: {error}") from None
        except TlsError as error:
            hint = "Check its certificate; `tls: {ca: …}` or SSL_CERT_FILE name other authorities to trust."
            raise NodeError(
                "tls", f"{name}: {error.reason}", hint=hint if error.trust else "", retryable=not error.trust
            ) from None
        except ServerError as error:
            raise NodeError(
                "redis_error",
                f"{name}: {str(error)[:1000]}",
                hint=_HINTS.get(error.code, ""),
                retryable=error.code in _LATER,
            ) from None
        except NodeError as error:
            raise NodeError(
                error.type, f"{name}: {error.message}", hint=error.hint, retryable=error.retryable
            ) from None

    def _with_session(
        self, context: NodeContext, spec: Mapping[str, JSON], work: Callable[[RedisSession], T]
    ) -> T:
        key = (spec["organisation"], spec["environment"], spec["name"])
        made_from = (spec, context.network)
        session = self._idle.take(key, made_from) or self._open(spec, context)
        whole = False
        try:
            result = work(session)
            whole = True
        except ServerError:
            whole = True
            raise
        finally:
            if whole:
                self._idle.give(key, made_from, session)
            else:
                session.close()
        return result

    def _open(self, spec: Mapping[str, JSON], context: NodeContext) -> RedisSession:
        address = RedisAddress.read(spec)
        stream = self._dialer.stream(address.host, address.port, context.network)
        try:
            if address.tls:
                stream = self._secured(stream, address, spec, context)
            session = RedisSession(stream)
            session.begin(address)
        except BaseException:
            stream.close()
            raise
        return session

    def _secured(
        self, stream: WatchedStream, address: RedisAddress, spec: Mapping[str, JSON], context: NodeContext
    ) -> WatchedStream:
        try:
            options = TlsOptions.read(spec.get("tls") or {}, context.assets)
            trusted = self._contexts.get(options) or options.context()
        except ValueError as error:
            raise NodeError("tls", str(error), retryable=False) from None
        if len(self._contexts) < _CONTEXTS:  # each reads a large file
            self._contexts[options] = trusted
        try:
            return stream.start_tls(trusted, options.server_name or address.host)
        except httpcore.ConnectError as error:
            raise BrokenError(f"no TLS connection: {error}") from error


def arguments_of(command: JSON) -> list[bytes]:
    """What is sent for `command`. Raises NodeError `bad_redis_command`."""
    if not isinstance(command, list) or not command or not isinstance(command[0], str):
        raise _bad("`command` must be a list that begins with a command, such as [GET, key]")
    refused = refusal(command)
    if refused is not None:
        raise NodeError("bad_redis_command", refused[0], hint=refused[1], retryable=False)
    arguments = [_argument(position, one) for position, one in enumerate(command)]
    if sum(map(len, arguments)) > MOST_SENT:
        raise _bad(f"`command` has more than {MOST_SENT:,} bytes")
    return arguments


def _argument(position: int, value: JSON) -> bytes:
    match value:
        case str():
            try:
                return value.encode()
            except UnicodeEncodeError:
                raise _bad(f"`command[{position}]` is no valid text") from None
        case bool():
            raise _bad(
                f"`command[{position}]` is true or false, which Redis does not know; write 1 or 0, or text"
            )
        case int() | float():
            return repr(value).encode()
        case {"base64": str(text)} if len(value) == 1:
            try:
                return base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                raise _bad(f"`command[{position}].base64` is no Base64") from None
    raise _bad(f"`command[{position}]` is neither text nor a number nor {{base64: …}}")


def _found(session: RedisSession, address: RedisAddress) -> Found:
    session.ask([b"PING"])
    server = f"{session.hello.get('server', 'redis')} {session.hello.get('version', '')}"
    with contextlib.suppress(ServerError):  # it may be forbidden
        said: Any = session.ask([b"INFO", b"server"])
        facts = dict(line.split(":", 1) for line in str(said).splitlines() if ":" in line)
        if "valkey_version" in facts:
            server = f"valkey {facts['valkey_version']}"
    return Found(address=str(address), server=server, tls=session.tls)


def _bad(message: str) -> NodeError:
    return NodeError("bad_redis_command", message, retryable=False)
