"""Values that are too large for a row: kept as blobs, a reference in the row.

The reference is `{"$blob": key, "size": bytes of JSON}`. A value of a user's own that begins so becomes a blob
whatever its size, so that what looks like a reference is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from schemas.pattern import JSON
from store.blobs import LARGE, Blobs

_OPENING: Final = '{"$blob":'


@dataclass(frozen=True, slots=True)
class Large:
    """A value that is somewhere else until somebody needs it."""

    key: str
    size: int
    blobs: Blobs

    def load(self) -> JSON:
        """Raises BlobMissing, BlobsUnavailable."""
        return orjson.loads(self.blobs.get(self.key))

    @property
    def text(self) -> str:
        """The reference."""
        return orjson.dumps({"$blob": self.key, "size": self.size}).decode()


def put_away(text: str, blobs: Blobs) -> str:
    """The JSON text as a row holds it. Raises BlobsUnavailable."""
    if len(text) <= LARGE and not text.startswith(_OPENING):
        return text
    content = text.encode()
    return Large(blobs.put(content), len(content), blobs).text


def found(value: JSON, blobs: Blobs) -> JSON:
    """What a row holds: a value, or a `Large` one."""
    if type(value) is dict and next(iter(value), None) == "$blob":
        return Large(value["$blob"], value["size"], blobs)
    return value


def is_reference(text: str) -> bool:
    """Whether the JSON text of a row stands for a value that is somewhere else."""
    return text.startswith(_OPENING)
