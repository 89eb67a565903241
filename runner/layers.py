"""The outputs that expressions can name, in layers: each item of a loop has one of its own over those around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping

from runner.nodes.base import NodeError
from schemas.pattern import JSON
from store.blobs import BlobMissing, BlobsUnavailable
from store.database import StoreUnavailable
from store.large import Large


def loaded(value: JSON) -> JSON:
    """The value itself, wherever it is kept. Raises NodeError `blob_missing`, StoreUnavailable."""
    if type(value) is not Large:
        return value
    try:
        return value.load()
    except BlobMissing as error:
        raise NodeError("blob_missing", str(error), retryable=False) from error
    except BlobsUnavailable as error:
        raise StoreUnavailable(str(error)) from error


class Layer(MutableMapping[str, JSON]):
    __slots__ = ("_below", "_own")

    def __init__(self, below: Mapping[str, JSON] | None = None) -> None:
        self._own: dict[str, JSON] = {}
        self._below = below

    def __getitem__(self, name: str) -> JSON:
        if name not in self._own and self._below is not None:
            return self._below[name]
        value = self._own[name]
        if type(value) is Large:
            value = self._own[name] = loaded(value)
        return value

    def __setitem__(self, name: str, value: JSON) -> None:
        self._own[name] = value

    def __delitem__(self, name: str) -> None:
        del self._own[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or (self._below is not None and name in self._below)

    def __iter__(self) -> Iterator[str]:
        yield from list(self._own)  # all at once: the run's thread may add to it meanwhile
        for name in self._below or ():
            if name not in self._own:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)
