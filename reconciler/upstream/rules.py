"""Two repositories and what they agreed on last → what has to move where: pure.

Nothing is overwritten that the other side has not seen, on either side. What is live has the last word about the
default branch: it is followed, merged into and pushed, and neither deleted nor rewritten elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from reconciler.git.refs import BRANCHES, TAGS


class Lineage(StrEnum):
    """How our commit stands to theirs."""

    AHEAD = "ahead"
    BEHIND = "behind"
    FORKED = "forked"
    UNRELATED = "unrelated"


class Verdict(StrEnum):
    """What a ref needs."""

    AGREED = "agreed"
    FOLLOW = "follow"  # ours moves to theirs
    PUSH = "push"  # theirs moves to ours
    MERGE = "merge"  # both move to a merge
    APART = "apart"  # a person has to say


LineageOf = Callable[[str, str], Lineage]
"""Of our commit and theirs; asked only where both sides moved, and for the default branch."""


@dataclass(frozen=True, kw_only=True)
class Three:
    """Where a ref is here, where it is there, and where both were last. None: it is not there."""

    ref: str
    base: str | None
    theirs: str | None
    ours: str | None


@dataclass(frozen=True, kw_only=True)
class Sides:
    """All branches and tags. `base` is empty where the two have never met."""

    base: Mapping[str, str]
    theirs: Mapping[str, str]
    ours: Mapping[str, str]
    default_ref: str

    def three(self, ref: str) -> Three:
        return Three(ref=ref, base=self.base.get(ref), theirs=self.theirs.get(ref), ours=self.ours.get(ref))

    def without(self, refs: frozenset[str]) -> Sides:
        """As if nobody had ever had these."""
        base, theirs, ours = (
            {ref: at for ref, at in side.items() if ref not in refs}
            for side in (self.base, self.theirs, self.ours)
        )
        return replace(self, base=base, theirs=theirs, ours=ours)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """By verdict. `halt`: why nothing moves at all, on either side."""

    by_verdict: Mapping[Verdict, tuple[Three, ...]] = field(default_factory=dict)
    halt: str | None = None

    def of(self, verdict: Verdict) -> tuple[Three, ...]:
        return self.by_verdict.get(verdict, ())


def decide(sides: Sides, lineage: LineageOf) -> Decision:
    """What to do about each ref, by name."""
    halt = _halt(sides, lineage)
    if halt is not None:
        return Decision(halt=halt)
    found: dict[Verdict, list[Three]] = {}
    for ref in sorted({*sides.base, *sides.theirs, *sides.ours}):
        three = sides.three(ref)
        found.setdefault(verdict(three, lineage, is_default=ref == sides.default_ref), []).append(three)
    return Decision(by_verdict={verdict: tuple(threes) for verdict, threes in found.items()})


def verdict(three: Three, lineage: LineageOf, *, is_default: bool) -> Verdict:
    base, theirs, ours = three.base, three.theirs, three.ours
    if theirs == ours:
        return Verdict.AGREED
    if theirs is None or ours is None:
        return _one_sided(three, is_default=is_default)
    if not is_default and base == theirs:
        return Verdict.PUSH
    if base == ours:
        return Verdict.FOLLOW
    if three.ref.startswith(TAGS):
        return Verdict.APART
    match lineage(ours, theirs):
        case Lineage.AHEAD:
            return Verdict.PUSH
        case Lineage.BEHIND:
            return Verdict.FOLLOW
        case Lineage.FORKED if is_default:
            return Verdict.MERGE
        case _:
            return Verdict.APART


def _one_sided(three: Three, *, is_default: bool) -> Verdict:
    """A side deleted it, or has it new. What moved on the other side meanwhile wins over a deletion."""
    if three.theirs is None:
        deleted_there = three.base is not None and three.base == three.ours
        return Verdict.FOLLOW if deleted_there and not is_default else Verdict.PUSH
    return Verdict.PUSH if three.base == three.theirs and not is_default else Verdict.FOLLOW


def _halt(sides: Sides, lineage: LineageOf) -> str | None:
    """What looks like another repository, or a lost one: nothing is deleted, pushed or followed for its sake."""
    here = sides.default_ref.removeprefix(BRANCHES)
    ours, theirs = sides.ours.get(sides.default_ref), sides.theirs.get(sides.default_ref)
    if not sides.theirs:
        return _EMPTIED.format(branch=here) if sides.base else None
    if theirs is None:
        if ours is None:
            return _HEADLESS.format(branch=here)
        gone = sides.default_ref in sides.base
        return (_GONE if gone else _ELSEWHERE).format(branch=here)
    if not sides.base and ours is not None and lineage(ours, theirs) == Lineage.UNRELATED:
        return _UNRELATED.format(branch=here)
    return None


_EMPTIED = (
    "The upstream is empty now. Nothing is deleted here; bring its {branch} back,"
    " or push ours there with git to begin anew."
)
_GONE = (
    "The upstream has no {branch} any more. Nothing is deleted here; bring it back there: what is live is what"
    " {branch} says."
)
_ELSEWHERE = (
    "The upstream has no {branch}, which is what is live here: push ours there with git,"
    " or begin with an empty data folder to mirror what it has."
)
_HEADLESS = "The upstream has no {branch}, and its HEAD names no branch that it has: set its default branch."
_UNRELATED = (
    "{branch} here and {branch} of the upstream have no common history, so neither may replace the other."
    " Begin with an empty upstream or an empty data folder, or merge the two with git."
)
