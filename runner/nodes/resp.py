"""What is said to Redis and what it answers: RESP3, read within bounds (https://redis.io/docs/reference/protocol-spec)."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Final, Protocol

from runner.nodes.base import NodeError
from schemas.pattern import JSON

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of one answer."""
MOST_VALUES: Final = 250_000
"""In one answer: small ones take much more memory than what is sent of them."""
_DEEPEST: Final = 64
_LONGEST_LINE: Final = 64 * 1024
_PORTION: Final = 64 * 1024
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


class ServerError(Exception):
    """The server answered with an error. `code` is its first word, such as WRONGTYPE."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = text.partition(" ")[0]


class BrokenError(Exception):
    """The connection broke, or what came is not RESP3."""


class Source(Protocol):
    def read(self, max_bytes: int) -> bytes: ...


def written(arguments: Sequence[bytes]) -> bytes:
    """A command as it is sent: each argument by its length, so none can begin another."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        parts += (b"$%d\r\n" % len(argument), argument, b"\r\n")
    return b"".join(parts)


class Answers:
    """Reads one answer after the other from `source`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = bytearray()
        self._left = 0  # bytes of this answer
        self._values = 0

    @property
    def at_rest(self) -> bool:
        """Whether nothing came behind the last answer."""
        return not self._buffer

    def next(self) -> JSON:
        """Raises ServerError, BrokenError, and NodeError `output_too_large`, behind which nothing can be read."""
        self._left, self._values = MOST_BYTES, MOST_VALUES
        return self._value(0)

    def _value(self, depth: int) -> JSON:
        self._values -= 1
        if self._values < 0 or depth > _DEEPEST:
            raise _too_large(f"more than {MOST_VALUES:,} values, or lists nested too deeply")
        line = self._line()
        kind, rest = line[:1], line[1:]
        match kind:
            case b"+":
                return as_json(rest)
            case b"-":
                return _error(rest, depth)
            case b":":
                return _whole(rest)
            case b"$":
                return self._text(rest)
            case b"*" | b"~" | b">":
                count = _count(rest)
                return None if count < 0 else [self._value(depth + 1) for _ in range(count)]
            case b"%":
                return _mapping(
                    [(self._value(depth + 1), self._value(depth + 1)) for _ in range(_count(rest))]
                )
            case b"|":  # attributes of what follows
                for _ in range(2 * _count(rest)):
                    self._value(depth + 1)
                return self._value(depth + 1)
            case b"!":
                return _error(self._exactly(_count(rest)), depth)
            case b"=":
                return as_json(self._exactly(_count(rest))[4:])
        return _plain(kind, rest)

    def _text(self, size: bytes) -> JSON:
        count = _count(size)
        return None if count < 0 else as_json(self._exactly(count))

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _LONGEST_LINE:
                raise BrokenError("what it answers is not the protocol of Redis")
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._spend(len(line) + 2)
        return line

    def _exactly(self, size: int) -> bytes:
        """The next `size` bytes, and the line's end behind them."""
        self._spend(size + 2)
        while len(self._buffer) < size + 2:
            self._fill()
        if self._buffer[size : size + 2] != b"\r\n":
            raise BrokenError("what it answers is not the protocol of Redis")
        found = bytes(self._buffer[:size])
        del self._buffer[: size + 2]
        return found

    def _fill(self) -> None:
        data = self._source.read(_PORTION)
        if not data:
            raise BrokenError("the connection was closed")
        self._buffer += data

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _too_large(f"more than {MOST_BYTES:,} bytes")


def as_json(value: bytes) -> JSON:
    """Text, or `{base64}` of what is none."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    return text if "\0" not in text else {"base64": base64.b64encode(value).decode("ascii")}


def _error(text: bytes, depth: int) -> JSON:
    """Within a list it is a value: what comes behind it has to be read all the same."""
    if depth:
        return {"error": text.decode("utf-8", "replace")}
    raise ServerError(text.decode("utf-8", "replace"))


def _plain(kind: bytes, rest: bytes) -> JSON:
    if kind == b"_":
        return None
    if kind == b"#" and rest in (b"t", b"f"):
        return rest == b"t"
    if kind == b",":
        return _double(rest)
    if kind == b"(":
        return _whole(rest)
    raise BrokenError("what it answers is not the protocol of Redis")


def _whole(text: bytes) -> JSON:
    try:
        value = int(text)
    except ValueError:
        raise BrokenError("what it answers is not the protocol of Redis") from None
    return value if _SMALLEST <= value <= _LARGEST else str(value)


def _double(text: bytes) -> JSON:
    try:
        value = float(text)
    except ValueError:
        raise BrokenError("what it answers is not the protocol of Redis") from None
    return value if math.isfinite(value) else text.decode("ascii")


def _count(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise BrokenError("what it answers is not the protocol of Redis") from None


def _mapping(pairs: list[tuple[JSON, JSON]]) -> JSON:
    """A list of pairs where a key is no text."""
    if all(isinstance(key, str) for key, _ in pairs):
        return dict(pairs)
    return [[key, value] for key, value in pairs]


def _too_large(what: str) -> NodeError:
    return NodeError(
        "output_too_large",
        f"The answer has {what}.",
        hint="Ask for less: a range (LRANGE, GETRANGE), or page by page (SCAN, HSCAN, SSCAN, ZSCAN).",
        retryable=False,
    )
