"""The connections that a commit holds, those that it keeps from before, and what it changes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.differences.fields import Change, fields
from reconciler.snapshot import Snapshot
from schemas.documents import Kind
from schemas.pattern import JSON

CONNECTIONS = "connections/"


def wanted_connections(snapshot: Snapshot) -> dict[str, Mapping[str, JSON]]:
    """Name → `spec` of those without problems."""
    return {
        name: places[0].document.spec
        for name, places in snapshot.places.of_kind(Kind.CONNECTION).items()
        if len(places) == 1 and places[0].document is not None
    }


def kept_connections(snapshot: Snapshot, live: Mapping[str, object]) -> set[str]:
    """Those of `live` that stay as they are: what the commit says of them cannot be used."""
    there = snapshot.places.of_kind(Kind.CONNECTION).keys() - wanted_connections(snapshot).keys()
    return set(live) if _has_unreadable(snapshot) else there & live.keys()


def connection_changes(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """By name, then in the order of the keys. Only what is written is told: secrets are names there."""
    if before.places.of_kind(Kind.CONNECTION) is after.places.of_kind(Kind.CONNECTION):
        return ()
    was, is_ = wanted_connections(before), wanted_connections(after)
    kept = kept_connections(after, was)
    names = sorted({*was, *is_} - (kept - is_.keys()))
    return tuple(change for name in names for change in _changes(name, was.get(name), is_.get(name)))


def _changes(name: str, was: Mapping[str, JSON] | None, is_: Mapping[str, JSON] | None) -> Iterator[Change]:
    path, subject = f"connections.{name}", f"connection {name}"
    if was is None or is_ is None:
        there, verb = (is_, "added") if was is None else (was, "removed")
        assert there is not None
        yield Change(path=path, before=was, after=is_, text=f"{subject} {verb}: {there['type']}")
        return
    for field in fields(was, is_):
        yield field.told(path, subject)


def _has_unreadable(snapshot: Snapshot) -> bool:
    """Whether a file of connections does not even tell the names of what it holds."""
    return any(
        path.startswith(CONNECTIONS) and file.problems and not file.documents and not file.broken
        for path, file in snapshot.files.items()
    )
