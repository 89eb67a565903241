"""What differs between two trees, by comparing object ids: unchanged folders cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reconciler.git.repository import Entry

TREE_MODE = "40000"

Entries = Callable[[str], frozenset[Entry]]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A path that is not a folder, and what the new tree has there: (mode, object id), or None where it is gone."""

    path: str
    now: tuple[str, str] | None


def changes(entries: Entries, old: str | None, new: str | None, prefix: str = "") -> Iterator[Change]:
    """Every differing path, deletions before additions of the same folder. None stands for the empty tree."""
    if old == new:
        return
    before = entries(old) if old else frozenset()
    after = entries(new) if new else frozenset()
    gone, come = _readable(before - after), _readable(after - before)
    for name in sorted(gone.keys() | come.keys()):
        yield from _entry_changes(entries, prefix + name, gone.get(name), come.get(name))


def _readable(entries: frozenset[Entry]) -> dict[str, tuple[str, str]]:
    """Name → (mode, object id). Only what differs is decoded: folders of thousands are compared as bytes."""
    readable = {}
    for entry in entries:
        mode, _, rest = entry.partition(b" ")
        name, digest = rest[:-21], rest[-20:]
        readable[name.decode("utf-8", "backslashreplace")] = (mode.decode(), digest.hex())
    return readable


def _entry_changes(
    entries: Entries, path: str, was: tuple[str, str] | None, now: tuple[str, str] | None
) -> Iterator[Change]:
    old_tree = was[1] if was and was[0] == TREE_MODE else None
    new_tree = now[1] if now and now[0] == TREE_MODE else None
    yield from changes(entries, old_tree, new_tree, f"{path}/")
    if now and not new_tree:
        yield Change(path=path, now=now)
    elif was and not old_tree:
        yield Change(path=path, now=None)
