"""The engine decides from values alone: programs and journals in, next steps out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.engine import FOREVER, Entry, Flow, Next
from runner.program import Program, compile_pattern
from schemas.pattern import Node, OnError, Pattern
from store.spans import SpanStatus


def node(id_: str, uses: str = "set", **fields: Any) -> Node:
    return Node(id=id_, uses=uses, with_={}, **fields)


def program(*nodes: Node) -> Program:
    return compile_pattern(Pattern(name="p", nodes=nodes))


def done(output: Any = None) -> Entry:
    return Entry(SpanStatus.COMPLETED, output=output)


def failed(message: str = "boom") -> Entry:
    return Entry(SpanStatus.FAILED, error={"type": "t", "message": message})


def next_steps(program: Program, journal: dict[str, Entry], now: float, **keys: Any) -> Next:
    """As somebody decides who has seen nothing of the run before."""
    return Flow(program, dict(journal), {}, FOREVER).next(now, **keys)


def ready(found: Next) -> list[str]:
    return [place.path for place in found.ready]


def test_a_list_runs_in_its_order() -> None:
    p = program(node("a"), node("b"), node("c"))
    assert ready(next_steps(p, {}, 0)) == ["a"]
    assert ready(next_steps(p, {"a": done()}, 0)) == ["b"]
    end = next_steps(p, {"a": done(), "b": done(), "c": done(7)}, 0).end
    assert end is not None
    assert (end.output, end.error) == (7, None)


def test_what_needs_nothing_runs_at_once_and_joins_wait_for_all() -> None:
    p = program(node("a"), node("b", needs=()), node("c", needs=("a", "b")))
    assert ready(next_steps(p, {}, 0)) == ["a", "b"]
    assert ready(next_steps(p, {"b": done()}, 0)) == ["a"]
    assert ready(next_steps(p, {"a": done(), "b": done()}, 0)) == ["c"]


def test_needs_may_point_down_the_list() -> None:
    p = program(node("last", needs=("first",)), node("first", needs=()))
    assert ready(next_steps(p, {}, 0)) == ["first"]
    assert ready(next_steps(p, {"first": done()}, 0)) == ["last"]


def test_a_skipped_node_lets_the_order_go_on() -> None:
    p = program(node("a"), node("b"))
    assert ready(next_steps(p, {"a": Entry(SpanStatus.SKIPPED)}, 0)) == ["b"]


def test_a_failure_ends_the_run_and_starts_nothing_more() -> None:
    p = program(node("a"), node("b", needs=()))
    found = next_steps(p, {"a": failed()}, 0)
    assert found.end is not None
    assert found.end.error["message"] == "boom"
    assert not found.ready


def test_a_failure_that_may_pass_becomes_an_output() -> None:
    p = program(node("a", on_error=OnError.CONTINUE), node("b"))
    assert ready(next_steps(p, {"a": failed()}, 0)) == ["b"]
    only = next_steps(program(node("a", on_error=OnError.CONTINUE)), {"a": failed()}, 0).end
    assert only is not None
    assert only.output["error"]["message"] == "boom"


def test_the_end_waits_for_nodes_at_work() -> None:
    p = program(node("a"), node("b", needs=()))
    found = next_steps(p, {"a": failed(), "b": Entry(SpanStatus.RUNNING)}, 0)
    assert (found.end, found.working, found.ready, found.pull) == (None, 1, [], ["b"])


def branch(**fields: Any) -> Node:
    blocks = {("then",): (node("x"), node("y")), ("else",): (node("z"),)}
    return Node(id="choose", uses="branch", with_={"if": "${{ true }}"}, blocks=blocks, **fields)


def test_a_branch_runs_the_side_taken_and_closes_with_its_last_output() -> None:
    p = program(branch(), node("after"))
    taken = {"choose": Entry(SpanStatus.RUNNING, state={"taken": ["then"]})}
    assert ready(next_steps(p, taken, 0)) == ["choose/x"]
    inside = taken | {"choose/x": done(1), "choose/y": done(2)}
    [close] = next_steps(p, inside, 0).closes
    assert (close.place.path, close.end.output, close.end.error) == ("choose", 2, None)
    assert ready(next_steps(p, inside | {"choose": done(2)}, 0)) == ["after"]


def test_a_side_that_is_not_there_closes_with_nothing() -> None:
    p = program(Node(id="choose", uses="branch", with_={"if": ""}, blocks={("then",): (node("x"),)}))
    [close] = next_steps(p, {"choose": Entry(SpanStatus.RUNNING, state={"taken": ["else"]})}, 0).closes
    assert (close.end.output, close.end.error) == (None, None)


def test_a_failure_inside_closes_the_container_with_the_error() -> None:
    p = program(branch(on_error=OnError.CONTINUE), node("after"))
    journal = {"choose": Entry(SpanStatus.RUNNING, state={"taken": ["else"]}), "choose/z": failed()}
    [close] = next_steps(p, journal, 0).closes
    assert close.end.error["message"] == "boom"


def test_a_container_that_failed_closes_when_its_nodes_at_work_are_done() -> None:
    blocks = {("then",): (node("x"), node("y", needs=()))}
    p = program(Node(id="choose", uses="branch", with_={"if": ""}, blocks=blocks))
    journal = {
        "choose": Entry(SpanStatus.RUNNING, state={"taken": ["then"]}),
        "choose/x": failed(),
        "choose/y": Entry(SpanStatus.RUNNING),
    }
    found = next_steps(p, journal, 0)
    assert (found.closes, found.working, found.end) == ([], 1, None)
    assert next_steps(p, journal | {"choose/y": done()}, 0).closes


def test_a_stop_inside_a_branch_ends_the_whole_run() -> None:
    p = program(
        Node(id="choose", uses="branch", with_={"if": ""}, blocks={("then",): (node("s", "stop"),)}),
        node("after"),
    )
    journal = {"choose": Entry(SpanStatus.RUNNING, state={"taken": ["then"]}), "choose/s": done("early")}
    end = next_steps(p, journal, 0).end
    assert end is not None
    assert end.output == "early"


def test_a_timer_is_waited_for_and_then_due() -> None:
    p = program(node("nap", "delay"))
    journal = {"nap": Entry(SpanStatus.WAITING, wake=100.0)}
    assert next_steps(p, journal, 99.0).wake == 100.0
    assert ready(next_steps(p, journal, 100.0)) == ["nap"]


def test_a_called_run_is_waited_for_without_a_timer() -> None:
    p = program(node("c", "call"))
    found = next_steps(p, {"c": Entry(SpanStatus.WAITING, child="r")}, 0)
    assert (found.ready, found.wake, found.end) == ([], None, None)
    assert ready(next_steps(p, {"c": Entry(SpanStatus.WAITING, child="r", child_status="failed")}, 0)) == [
        "c"
    ]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Node, ...]:
    """Lists of nodes with needs among those before them, in a shuffled order of the list."""
    count = draw(st.integers(1, 12))
    needs = [draw(st.none() | st.sets(st.integers(0, i - 1)) if i else st.none()) for i in range(count)]
    explicit = [tuple(f"n{at}" for at in sorted(need or ())) for need in needs]
    return tuple(draw(st.permutations([node(f"n{i}", needs=explicit[i]) for i in range(count)])))


@given(graphs(), st.randoms(use_true_random=False))
def test_every_graph_ends_with_each_node_once_and_never_before_its_needs(
    nodes: tuple[Node, ...], dice: Any
) -> None:
    p = program(*nodes)
    journal: dict[str, Entry] = {}
    while (found := next_steps(p, journal, 0)).end is None:
        assert found.ready
        place = dice.choice(found.ready)
        assert place.path not in journal
        assert all(need in journal for need in place.step.node.needs or ())
        journal[place.path] = done()
    assert set(journal) == {n.id for n in nodes}


@pytest.mark.parametrize("size", [400])
def test_a_long_list_is_decided_quickly(size: int) -> None:
    p = program(*(node(f"n{i}") for i in range(size)))
    journal = {f"n{i}": done() for i in range(size - 1)}
    assert ready(next_steps(p, journal, 0)) == [f"n{size - 1}"]
