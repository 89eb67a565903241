"""A worker that is asked to stop while it decides: whoever goes on decides again."""

from __future__ import annotations

from typing import Any

from simulation import Fate, World

from runner.nodes.base import NodeContext
from schemas.pattern import JSON, BlockKey, Node, OnError, Pattern
from store.runs import RunStatus
from store.spans import SpanStatus


def test_a_container_s_time_out_is_none_of_a_worker_that_leaves() -> None:
    nap = Node(id="nap", uses="delay", with_={"for": "1h"})
    slow: dict[str, Any] = {"id": "slow", "uses": "branch", "with_": {"if": "${{ true }}"}, "timeout": 5.0}
    nodes = (
        Node(**slow, blocks={("then",): (nap,)}, on_error=OnError.CONTINUE),
        Node(id="after", uses="http", with_={}),
    )
    ends: list[Any] = []
    for look in range(1, 40):
        world = World(Pattern(name="p", nodes=nodes, timeout=1e9), Fate(leaves_at_look=frozenset({look})))
        world.run()
        ends.append((look, world.ends[0].status))
    assert {status for _, status in ends} == {RunStatus.COMPLETED}, ends


class Broken(World):
    def work(self, context: NodeContext, inputs: JSON) -> JSON:
        raise ZeroDivisionError


def test_a_run_that_weft_itself_fails_at_leaves_no_called_run_behind() -> None:
    called = (Node(id="called", uses="call", with_={"pattern": "callee"}),)
    work = (Node(id="nap", uses="delay", with_={"for": "1m"}), Node(id="work", uses="http", with_={}))
    branches: dict[BlockKey, tuple[Node, ...]] = {("branches", "a"): called, ("branches", "b"): work}
    both = Node(id="both", uses="parallel", with_={}, blocks=branches)
    fate = Fate(called_runs=(("completed", 3600.0),))
    world = Broken(Pattern(name="p", nodes=(both,), timeout=1e9), fate)
    world.run()
    assert "internal_error" in (world.ends[0].error or "")
    assert [one.dropped for one in world.called_runs.values()] == [True]


def test_a_finally_whose_time_is_over_wakes_nobody_while_one_in_it_goes_on() -> None:
    tidy = (Node(id="tidy", uses="delay", with_={"for": "30s"}),)
    nap = (Node(id="nap", uses="delay", with_={"for": "10d"}),)
    inner = Node(id="inner", uses="try", with_={}, blocks={("do",): nap, ("finally",): tidy})
    begin = (Node(id="begin", uses="set", with_={}),)
    outer = Node(id="outer", uses="try", with_={}, blocks={("do",): begin, ("finally",): (inner,)})
    world = World(Pattern(name="p", nodes=(outer,), timeout=3600.0), Fate())
    world.run(lives=6)
    assert world.ends[0].status == RunStatus.TIMEOUT
    assert world.durable["outer/inner/tidy"].status is SpanStatus.COMPLETED


def test_a_run_cancelled_while_no_worker_had_it_runs_the_finally_of_each_item_that_had_begun() -> None:
    nap = (Node(id="nap", uses="delay", with_={"for": "1m"}),)
    tidy = (Node(id="tidy", uses="http", with_={}),)
    guard = (Node(id="guard", uses="try", with_={}, blocks={("do",): nap, ("finally",): tidy}),)
    items = {"items": [1, 2, 3], "maxParallel": 2}
    world = World(
        Pattern(
            name="p",
            nodes=(Node(id="each", uses="for-each", with_=items, blocks={("do",): guard}),),
            timeout=1e9,
        ),
        Fate(cancelled=frozenset({1}), dies_in=frozenset({2})),
    )
    world.run()
    assert world.ends[0].status == RunStatus.CANCELLED
    tidied = {path for path, span in world.durable.items() if path.endswith("tidy") and span.output}
    assert tidied == {"each[0]/guard/tidy", "each[1]/guard/tidy"}
    assert not any(path.startswith("each[2]") for path in world.durable)
