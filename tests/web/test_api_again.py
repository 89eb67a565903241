"""Which nodes count as done when a run is run once more."""

import pytest

from schemas.pattern import Node, OnError
from store.run_reads import Done
from store.spans import SpanStatus
from web.api.again import has_begun, kept_rows, parse_path

OK, FAILED, CANCELLED = SpanStatus.COMPLETED, SpanStatus.FAILED, SpanStatus.CANCELLED


def node(id_: str, uses: str = "set", **fields: object) -> Node:
    return Node(id=id_, uses=uses, **fields)  # type: ignore[arg-type]


BRANCH = node("box", "branch", blocks={("then",): (node("x"), node("y"), node("z")), ("else",): (node("w"),)})
LIST = (node("a"), BRANCH, node("b"), node("beside", needs=()), node("last", needs=("beside", "b")))
EVERY = {"a", "box", "box/x", "box/y", "box/z", "b", "beside", "last"}


def kept(path: str | None, pattern: tuple[Node, ...], *journal: Done) -> dict[str, str]:
    return kept_rows(journal, pattern, None if path is None else parse_path(path))


@pytest.mark.parametrize(
    ("path", "stays"),
    [
        ("a", {"beside"}),
        ("box", {"a", "beside"}),
        ("box/y", {"a", "box/x", "beside"}),
        ("box/x", {"a", "beside"}),
        ("b", {"a", "box", "box/x", "box/y", "box/z", "beside"}),
        ("beside", EVERY - {"beside", "last"}),
        ("last", EVERY - {"last"}),
    ],
)
def test_a_node_is_redone_with_all_that_comes_after_it_and_what_it_is_in_is_entered_again(
    path: str, stays: set[str]
) -> None:
    assert kept(path, LIST, *(Done(one, OK) for one in EVERY)) == {one: one for one in stays}


def test_what_needs_a_node_is_found_wherever_it_stands_in_the_list() -> None:
    pattern = (node("c", needs=("b",)), node("b", needs=("a",)), node("a", needs=()), node("d", needs=()))
    assert set(kept("a", pattern, *(Done(one, OK) for one in "abcd"))) == {"d"}


def test_only_what_the_order_could_go_on_behind_is_kept() -> None:
    pattern = (
        *(node(name) for name in ("done", "skipped", "failed", "cut", "open", "waits")),
        node("passed", on_error=OnError.CONTINUE),
        node("stop", "stop"),
    )
    journal = [
        Done("done", OK),
        Done("skipped", SpanStatus.SKIPPED),
        Done("failed", FAILED),
        Done("passed", FAILED),
        Done("cut", CANCELLED),
        Done("open", SpanStatus.RUNNING),
        Done("waits", SpanStatus.WAITING),
        Done("stop", OK),
        Done("of-another-version", OK),
        Done("another", OK),
    ]
    assert set(kept(None, pattern, *journal)) == {"done", "skipped", "passed"}


EACH = (
    node("list"),
    node("each", "for-each", blocks={("do",): (node("get"), node("send"), node("note"))}),
    node("after"),
)
ITEMS = [f"each[{at}]/{step}" for at in range(3) for step in ("get", "send", "note")]


@pytest.mark.parametrize(
    ("path", "redone"),
    [
        ("each[1]/send", {"each[1]/send", "each[1]/note"}),
        ("each[1]/get", {"each[1]/get", "each[1]/send", "each[1]/note"}),
        ("each[1]", {"each[1]/get", "each[1]/send", "each[1]/note"}),
        ("each/note", {"each[0]/note", "each[1]/note", "each[2]/note"}),
        ("each", set(ITEMS)),
        ("list", {"list", *ITEMS}),
    ],
)
def test_of_a_loop_over_items_the_other_items_stay(path: str, redone: set[str]) -> None:
    journal = [Done(one, OK) for one in ("list", "each", *ITEMS, "after")]
    assert set(kept(path, EACH, *journal)) == {"list", *ITEMS} - redone


def test_a_loop_that_failed_goes_on_with_the_items_that_are_not_done() -> None:
    journal = [
        Done("list", OK), Done("each", FAILED), Done("each[0]/get", OK), Done("each[0]/send", OK),
        Done("each[1]/get", OK), Done("each[1]/send", FAILED), Done("each[2]/get", CANCELLED),
    ]  # fmt: skip
    assert set(kept(None, EACH, *journal)) == {"list", "each[0]/get", "each[0]/send", "each[1]/get"}


def test_of_a_loop_in_rounds_those_after_it_are_redone() -> None:
    pattern = (node("again", "repeat", blocks={("do",): (node("x"), node("y"))}),)
    rows = [f"again[{at}]/{step}" for at in range(3) for step in "xy"]
    journal = [Done("again", OK), *(Done(one, OK) for one in rows)]
    assert set(kept("again[1]/y", pattern, *journal)) == {"again[0]/x", "again[0]/y", "again[1]/x"}


INNER = node("inner", "parallel", blocks={("branches", "p"): (node("p1"),), ("branches", "q"): (node("q1"),)})
GUARD = (
    node(
        "guard",
        "try",
        blocks={("do",): (node("x"), INNER), ("catch",): (node("c"),), ("finally",): (node("f"),)},
    ),
)


def test_of_a_container_the_last_attempt_counts_and_is_found_in_the_first_of_the_new_run() -> None:
    journal = [
        Done("guard", FAILED, 2), Done("guard/x", OK), Done("guard/inner", FAILED),
        Done("guard~2/x", OK), Done("guard~2/inner", FAILED, 3), Done("guard~2/inner/p1", OK),
        Done("guard~2/inner~3/p1", OK), Done("guard~2/inner~3/q1", FAILED),
    ]  # fmt: skip
    assert kept(None, GUARD, *journal) == {
        "guard~2/x": "guard/x", "guard~2/inner~3/p1": "guard/inner/p1",
    }  # fmt: skip


def test_what_is_kept_whole_keeps_the_names_of_its_attempts() -> None:
    journal = [Done("guard", FAILED, 2), Done("guard~2/inner", OK, 2), Done("guard~2/inner~2/p1", OK)]
    assert kept(None, GUARD, *journal) == {
        "guard~2/inner": "guard/inner", "guard~2/inner~2/p1": "guard/inner~2/p1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "stays"),
    [
        ("guard/c", {"guard/x", "guard/inner", "guard/inner/p1", "guard/inner/q1"}),
        ("guard/f", {"guard/x", "guard/inner", "guard/inner/p1", "guard/inner/q1", "guard/c"}),
        ("guard/inner/q1", {"guard/x", "guard/inner/p1"}),
        ("guard/x", set()),
    ],
)
def test_a_catch_is_run_again_for_the_failure_that_it_was_run_for(path: str, stays: set[str]) -> None:
    journal = [
        Done("guard", OK), Done("guard/x", OK), Done("guard/inner", FAILED), Done("guard/inner/p1", OK),
        Done("guard/inner/q1", FAILED), Done("guard/c", OK), Done("guard/f", OK),
    ]  # fmt: skip
    assert set(kept(path, GUARD, *journal)) == stays


def test_what_is_caught_and_what_comes_last_is_for_the_run_that_fails_or_ends_anew() -> None:
    journal = [
        Done("guard", FAILED), Done("guard/x", OK), Done("guard/inner", FAILED), Done("guard/inner/p1", OK),
        Done("guard/inner/q1", FAILED), Done("guard/c", OK), Done("guard/f", OK),
    ]  # fmt: skip
    assert set(kept(None, GUARD, *journal)) == {"guard/x", "guard/inner/p1"}


CLEANED = (
    node("beside", needs=()),
    node(
        "guard",
        "try",
        needs=(),
        blocks={
            ("do",): (node("x"), node("y")),
            ("catch",): (node("c"), node("d")),
            ("finally",): (node("f"), node("g")),
        },
    ),
)


@pytest.mark.parametrize(
    ("path", "y", "d", "stays"),
    [
        (None, OK, None, {"beside", "x", "y", "f"}),
        ("beside", OK, None, {"x", "y", "f"}),
        ("guard/g", OK, None, {"beside", "x", "y", "f"}),
        ("guard/g", FAILED, OK, {"beside", "x", "y", "c", "d", "f"}),
        ("guard/g", FAILED, FAILED, {"beside", "x", "y", "c", "d", "f"}),
        ("guard/d", FAILED, FAILED, {"beside", "x", "y", "c"}),
        # Where something has to run that was cut off, the end has to come again behind it.
        ("guard/g", CANCELLED, None, {"beside", "x"}),
        ("guard/g", FAILED, CANCELLED, {"beside", "x", "y", "c"}),
        (None, FAILED, OK, {"beside", "x"}),
        ("beside", FAILED, OK, {"x"}),
    ],
)
def test_a_finally_is_gone_on_with_only_behind_an_end_that_stays(
    path: str | None, y: SpanStatus, d: SpanStatus | None, stays: set[str]
) -> None:
    journal = [
        Done("beside", OK), Done("guard", FAILED), Done("guard/x", OK), Done("guard/y", y),
        *([] if d is None else [Done("guard/c", OK), Done("guard/d", d)]),
        Done("guard/f", OK), Done("guard/g", FAILED),
    ]  # fmt: skip
    assert {one.removeprefix("guard/") for one in kept(path, CLEANED, *journal)} == stays


@pytest.mark.parametrize(("path", "stays"), [("guard/c", {"guard/x": "guard/x"}), ("guard~2/x", {})])
def test_an_attempt_counts_that_came_to_the_node_to_start_from(path: str, stays: dict[str, str]) -> None:
    pattern = (
        node(
            "guard",
            "try",
            blocks={("do",): (node("x"),), ("catch",): (node("c"),), ("finally",): (node("f"),)},
        ),
    )
    journal = [
        Done("guard", FAILED, 2), Done("guard/x", FAILED), Done("guard/c", FAILED), Done("guard/f", OK),
        Done("guard~2/x", OK), Done("guard~2/f", FAILED),
    ]  # fmt: skip
    assert kept(path, pattern, *journal) == stays
    assert kept(None, pattern, *journal) == {"guard~2/x": "guard/x"}


def test_the_failures_of_other_items_stay_where_items_may_fail() -> None:
    listed = (*EACH[1].blocks["do",],)
    journal = [
        Done("each", OK), Done("each[0]/get", OK), Done("each[0]/send", FAILED), Done("each[1]/get", OK),
        Done("each[1]/send", FAILED), Done("each[2]/get", CANCELLED),
    ]  # fmt: skip
    for with_, others in (
        ({"onItemError": "continue"}, {"each[0]/get", "each[0]/send"}),
        ({}, {"each[0]/get"}),
    ):
        pattern = (node("each", "for-each", with_=with_, blocks={("do",): listed}),)
        unfinished = [Done("each", CANCELLED), *journal[1:]]
        assert set(kept("each[1]/send", pattern, *journal)) == {*others, "each[1]/get"}
        assert set(kept("each[1]", pattern, *journal)) == others
        assert set(kept(None, pattern, *unfinished)) == {"each[0]/get", "each[1]/get"}


def test_of_a_loop_in_rounds_all_is_redone_behind_the_first_where_none_is_named() -> None:
    pattern = (node("again", "repeat", blocks={("do",): (node("x"), node("y"))}),)
    rows = [f"again[{at}]/{step}" for at in range(3) for step in "xy"]
    assert set(kept("again/y", pattern, *(Done(one, OK) for one in ("again", *rows)))) == {"again[0]/x"}


def test_a_stop_that_was_passed_over_stays() -> None:
    pattern = (node("a"), node("enough", "stop"), node("b"))
    journal = [Done("a", OK), Done("enough", SpanStatus.SKIPPED), Done("b", FAILED)]
    assert set(kept(None, pattern, *journal)) == {"a", "enough"}


@pytest.mark.parametrize(
    ("path", "begun"),
    [
        ("each[1]/send", True),
        ("each[1]/note", True),
        ("each[7]/send", False),
        ("each/send", True),
        ("after", True),
    ],
)
def test_an_item_that_never_was_is_told_from_one_that_was(path: str, begun: bool) -> None:
    place = parse_path(path)
    assert place is not None
    assert has_begun(place, [Done("each", FAILED), Done("each[1]/get", OK)]) is begun


@pytest.mark.parametrize("path", ["", "a//b", "each[x]/a", "A", "each[1", "a~/b", "../a"])
def test_what_is_no_path(path: str) -> None:
    assert parse_path(path) is None
