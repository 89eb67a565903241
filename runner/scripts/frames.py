"""Messages between worker and host: four bytes of length, big-endian, then JSON. Standard library only."""

from __future__ import annotations

import struct

_LENGTH = struct.Struct(">I")
CHUNK = 64 * 1024  # below the size from which malloc maps fresh pages each time


def frame(body: bytes) -> bytes:
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def add(self, data: bytes) -> None:
        self._buffer += data

    def announced(self) -> int:
        """The length of the message that is arriving; 0 while it is unknown."""
        return _LENGTH.unpack_from(self._buffer)[0] if len(self._buffer) >= _LENGTH.size else 0

    def next(self) -> bytes | None:
        """The next whole message, or None until more has been added."""
        end = _LENGTH.size + self.announced()
        if len(self._buffer) < end or len(self._buffer) < _LENGTH.size:
            return None
        body = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return body
