"""Branches and tags: their names, and moving them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pygit2

ABSENT = "0" * 40

BRANCHES = "refs/heads/"
TAGS = "refs/tags/"
LINES = "refs/weft/lines/"  # what the default branch held before it was rewritten, in order


@dataclass(frozen=True, kw_only=True)
class RefUpdate:
    """One ref of a push. Ids are 40 hex digits; ABSENT for "was not there" and "shall not be there"."""

    ref: str
    old: str
    new: str


def refs_after(refs: Mapping[str, str], updates: Sequence[RefUpdate]) -> dict[str, str]:
    """Where everything is after the updates."""
    after = {**refs, **{update.ref: update.new for update in updates}}
    return {ref: object_id for ref, object_id in after.items() if object_id != ABSENT}


def digest(refs: Mapping[str, str]) -> str:
    """One hash for where every ref is."""
    lines = "".join(f"{ref} {object_id}\n" for ref, object_id in sorted(refs.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def valid_ref_name(ref: str) -> bool:
    """Whether Git would take it (git-check-ref-format), and no command would mistake it for something else."""
    short = ref.split("/", 2)[-1]
    mistaken = short == "HEAD" or short.startswith(("-", "refs/"))
    return bool(pygit2.reference_is_valid_name(ref)) and not mistaken
