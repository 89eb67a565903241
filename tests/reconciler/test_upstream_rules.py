"""Where a ref was, is there and is here → what it needs: every combination."""

from __future__ import annotations

import pytest

from reconciler.upstream.rules import Lineage, Sides, Three, Verdict, decide, verdict

A, B, C = "a" * 40, "b" * 40, "c" * 40
MAIN, SIDE, TAG = "refs/heads/main", "refs/heads/side", "refs/tags/v1"
AHEAD, BEHIND, FORKED, UNRELATED = Lineage
AGREED, FOLLOW, PUSH, MERGE, APART = Verdict


def judge(ref: str, base: str | None, theirs: str | None, ours: str | None, how: Lineage) -> Verdict:
    three = Three(ref=ref, base=base, theirs=theirs, ours=ours)
    return verdict(three, lambda _ours, _theirs: how, is_default=ref == MAIN)


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "expected"),
    [
        (A, A, A, AGREED),
        (A, B, B, AGREED),
        (None, B, B, AGREED),
        (A, None, None, AGREED),
        (A, B, A, FOLLOW),
        (A, None, A, FOLLOW),
        (None, B, None, FOLLOW),
        (A, B, None, FOLLOW),  # deleted here, moved there
        (A, A, B, PUSH),
        (A, A, None, PUSH),
        (None, None, B, PUSH),
        (A, None, B, PUSH),  # deleted there, moved here
        (A, B, C, APART),
        (None, B, C, APART),
    ],
)
def test_what_a_tag_needs(base: str | None, theirs: str | None, ours: str | None, expected: Verdict) -> None:
    assert judge(TAG, base, theirs, ours, FORKED) == expected
    # Where one side alone moved, a branch needs the same; only of two that moved does their history matter.
    assert judge(SIDE, base, theirs, ours, FORKED) == expected


@pytest.mark.parametrize(
    ("how", "side", "main"),
    [
        (AHEAD, PUSH, PUSH),
        (BEHIND, FOLLOW, FOLLOW),
        (FORKED, APART, MERGE),
        (UNRELATED, APART, APART),
    ],
)
def test_what_a_branch_needs_that_moved_on_both_sides(how: Lineage, side: Verdict, main: Verdict) -> None:
    assert judge(SIDE, A, B, C, how) == side
    assert judge(MAIN, A, B, C, how) == main


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "how", "expected"),
    [
        (A, B, A, FORKED, FOLLOW),  # rewritten there
        (A, A, B, AHEAD, PUSH),
        (A, A, B, FORKED, MERGE),  # what is here was put back from a backup, say: nothing is rewritten there
        (A, A, B, BEHIND, FOLLOW),
        (A, A, None, FORKED, FOLLOW),  # lost here
        (A, B, None, FORKED, FOLLOW),
        (None, None, B, FORKED, PUSH),
        (None, B, C, BEHIND, FOLLOW),
    ],
)
def test_the_default_branch_is_neither_deleted_nor_rewritten_there(
    base: str | None, theirs: str | None, ours: str | None, how: Lineage, expected: Verdict
) -> None:
    assert judge(MAIN, base, theirs, ours, how) == expected


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "how", "says"),
    [
        ({MAIN: A}, {}, {MAIN: A}, FORKED, "is empty now"),
        ({MAIN: A, SIDE: A}, {SIDE: A}, {MAIN: A, SIDE: A}, FORKED, "has no main any more"),
        ({}, {SIDE: B}, {MAIN: A}, FORKED, "has no main, which is what is live here"),
        ({}, {SIDE: B}, {}, FORKED, "set its default branch"),
        ({}, {MAIN: B, SIDE: B}, {MAIN: A, TAG: A}, UNRELATED, "no common history"),
    ],
)
def test_nothing_moves_for_what_looks_like_a_lost_or_another_repository(
    base: dict[str, str], theirs: dict[str, str], ours: dict[str, str], how: Lineage, says: str
) -> None:
    decision = decide(Sides(base=base, theirs=theirs, ours=ours, default_ref=MAIN), lambda *_: how)
    assert decision.halt is not None
    assert says in decision.halt
    assert decision.by_verdict == {}


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "verdict"),
    [
        ({}, {}, {MAIN: A, TAG: A}, PUSH),  # a new, empty upstream
        ({}, {MAIN: A, TAG: A}, {}, FOLLOW),  # a new data folder
        ({MAIN: A, TAG: A}, {MAIN: A, TAG: A}, {MAIN: A, TAG: A}, AGREED),
    ],
)
def test_a_first_meeting_with_an_empty_side_fills_it(
    base: dict[str, str], theirs: dict[str, str], ours: dict[str, str], verdict: Verdict
) -> None:
    decision = decide(Sides(base=base, theirs=theirs, ours=ours, default_ref=MAIN), lambda *_: UNRELATED)
    assert decision.halt is None
    assert {found: [three.ref for three in threes] for found, threes in decision.by_verdict.items()} == {
        verdict: [MAIN, TAG]
    }
