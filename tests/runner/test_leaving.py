"""A worker that is asked to stop while it decides: whoever goes on decides again."""

from __future__ import annotations

from typing import Any

from simulation import Fate, World

from schemas.pattern import Node, OnError, Pattern
from store.runs import RunStatus


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
