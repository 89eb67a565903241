"""Which files must be checked again after a change: what differs, what it leans on, and what leans on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from reconciler.git.trees import Change
from reconciler.reader import Reader
from reconciler.snapshot import Snapshot
from schemas.deployment import DeploymentSpec
from schemas.documents import Kind, ParsedFile
from schemas.pattern_test import PatternTest
from schemas.rules import check

PROJECT = "weft.yaml"  # its settings bear on every file


def still_sound(before: Snapshot, after: Snapshot, differing: Collection[Change], reader: Reader) -> bool:
    """Whether a change to what had no problems brought none. False may be a false alarm: check everything."""
    if after.frozen.faults:
        return False
    files = affected_files(before, after, differing)
    if any(file.problems for file in files.values()):
        return False
    tree = after.tree or ""
    return not check(files, lambda path: reader.asset_state(tree, path))


def affected_files(before: Snapshot, after: Snapshot, differing: Iterable[Change]) -> dict[str, ParsedFile]:
    """The part of `after.files` in which a problem that `before` did not have can show.

    Sound as long as a rule looks at a document, at what it calls or is called by, at what deploys it, at the
    connections, at the tests of all that leads to it, and at the documents of the same name; a property test holds
    that against `schemas.rules`.
    """
    paths = {change.path for change in differing}
    keys = {key for path in paths for snapshot in (before, after) for key in snapshot.keys_in(path)}
    if PROJECT in paths or any(kind == Kind.CONNECTION for kind, _ in keys):
        return dict(after.files)
    names = {name for kind, name in keys if kind == Kind.PATTERN}
    names |= {name for path in paths for name in after.users.get(path, ())}
    names |= {caller for name in names for caller in after.callers.get(name, ())}
    keys |= {(Kind.PATTERN, name) for name in _with_callees(after, names)}
    keys |= {(Kind.DEPLOYMENT, name) for pattern in names for name in after.bound.get(pattern, ())}
    tried = _with_callers(after, names)
    keys |= {(Kind.PATTERN_TEST, name) for pattern in tried for name in after.tried.get(pattern, ())}
    # What a deployment or a test names has to be there, or it would seem to be missing.
    keys |= {(Kind.PATTERN, name) for name in _with_callees(after, set(_named_by(after, keys)))}
    keys |= {(Kind.CONNECTION, name) for name in after.places.of_kind(Kind.CONNECTION)}
    paths |= {PROJECT} | {place.path for key in keys for place in after.places.get(key)}
    return {path: after.files[path] for path in sorted(paths) if path in after.files}


def _with_callees(snapshot: Snapshot, names: set[str]) -> set[str]:
    """`names` and all that they call, directly or not: a circle is seen whole or not at all."""
    found, open_ = set(names), list(names)
    while open_:
        draft = snapshot.drafts.get(open_.pop())
        new = {call.name for call in draft.calls if call.version is None} - found if draft else set()
        found |= new
        open_.extend(new)
    return found


def _with_callers(snapshot: Snapshot, names: set[str]) -> set[str]:
    """`names` and all that call one of them, directly or not."""
    found, open_ = set(names), list(names)
    while open_:
        new = set(snapshot.callers.get(open_.pop(), ())) - found
        found |= new
        open_.extend(new)
    return found


def _named_by(snapshot: Snapshot, keys: set[tuple[Kind, str]]) -> Iterator[str]:
    for key in keys:
        for place in snapshot.places.get(key):
            if place.document and isinstance(place.document.typed, DeploymentSpec | PatternTest):
                yield place.document.typed.pattern
