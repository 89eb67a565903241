"""Where every document of a commit stands, by kind and name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.documents import Document, Kind, ParsedFile

Key = tuple[Kind, str]


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """Where an identity stands. `document` is None where the one that stands there has problems."""

    path: str
    line: int
    column: int
    document: Document | None = field(default=None, compare=False)


Found = tuple[Place, ...]
"""The places of one identity, by path and line: several are duplicates."""


class Places:
    """A value: what differs makes another, which shares the rest. Places that stay are the same objects."""

    def __init__(self, by_kind: Mapping[Kind, Mapping[str, Found]] | None = None) -> None:
        self._by_kind = by_kind or {}

    def get(self, key: Key) -> Found:
        """Nothing for what is not there."""
        kind, name = key
        return self.of_kind(kind).get(name, ())

    def of_kind(self, kind: Kind) -> Mapping[str, Found]:
        """Name → places."""
        return self._by_kind.get(kind, {})

    def replaced(self, gone: Mapping[str, ParsedFile], come: Mapping[str, ParsedFile]) -> Places:
        """Without what stood in the files `gone` (path → file), with what stands in the files `come`."""
        kinds = {kind for file in (*gone.values(), *come.values()) for kind, _ in keys_of(file)}
        differing = {kind: dict(self.of_kind(kind)) for kind in kinds}
        for path, file in gone.items():
            for kind, name in set(keys_of(file)):
                left = (place for place in differing[kind][name] if place.path != path)
                _put(differing[kind], name, left)
        for path, file in come.items():
            for (kind, name), place in _standing(path, file):
                _put(differing[kind], name, sorted((*differing[kind].get(name, ()), place)))
        return Places({**self._by_kind, **differing})


def keys_of(file: ParsedFile) -> list[Key]:
    """Kind and name of everything that a file holds, sound or not."""
    return [*((d.kind, d.name) for d in file.documents), *((b.kind, b.name) for b in file.broken)]


def _standing(path: str, file: ParsedFile) -> list[tuple[Key, Place]]:
    good = [
        ((d.kind, d.name), Place(path=path, line=d.line, column=d.column, document=d)) for d in file.documents
    ]
    bad = [((b.kind, b.name), Place(path=path, line=b.line, column=b.column)) for b in file.broken]
    return good + bad


def _put(named: dict[str, Found], name: str, places: Iterable[Place]) -> None:
    found = tuple(places)
    if found:
        named[name] = found
    else:
        del named[name]
