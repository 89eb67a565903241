"""The outputs that expressions can name, in layers: each item of a loop has one of its own over those around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping

from schemas.pattern import JSON


class Layer(MutableMapping[str, JSON]):
    __slots__ = ("_below", "_own")

    def __init__(self, below: Mapping[str, JSON] | None = None) -> None:
        self._own: dict[str, JSON] = {}
        self._below = below

    def __getitem__(self, name: str) -> JSON:
        if name in self._own or self._below is None:
            return self._own[name]
        return self._below[name]

    def __setitem__(self, name: str, value: JSON) -> None:
        self._own[name] = value

    def __delitem__(self, name: str) -> None:
        del self._own[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or (self._below is not None and name in self._below)

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        for name in self._below or ():
            if name not in self._own:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)
