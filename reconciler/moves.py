"""Which refs moved, from where to where: as a push names them, or by comparing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.git.refs import ABSENT, RefUpdate
from store.ref_moves import Move


def moves_of(updates: Sequence[RefUpdate]) -> list[Move]:
    """Those of a push; a ref that is named where it is already has not moved."""
    return [(one.ref, _object(one.old), _object(one.new)) for one in updates if one.old != one.new]


def moves_since(known: Mapping[str, str], refs: Mapping[str, str]) -> list[Move]:
    """What brought the refs from where they were last known to be to where they are, by name."""
    names = sorted(known.keys() | refs.keys())
    return [(ref, known.get(ref), refs.get(ref)) for ref in names if known.get(ref) != refs.get(ref)]


def _object(id_: str) -> str | None:
    return None if id_ == ABSENT else id_
