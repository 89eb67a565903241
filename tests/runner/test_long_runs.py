"""What a run costs per node, however many it has. Counted, not timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulation import Fate, World

from runner.engine import Entry, Flow
from runner.engine.journal import Journal
from runner.program import compile_pattern
from schemas.pattern import BlockKey, Node, OnError, Pattern, RetryPolicy
from store.blobs import FolderBlobs
from store.spans import SpanStatus


class Counting(dict[str, Entry]):
    looks = 0

    def get(self, *args: Any) -> Any:
        self.looks += 1
        return super().get(*args)


@pytest.mark.parametrize("needs", ["from the last to the first", "all at once"])
def test_a_graph_looks_at_each_node_a_few_times(needs: str) -> None:
    size = 1000
    last = size - 1
    chained = needs == "from the last to the first"
    nodes = tuple(
        Node(id=f"n{at}", uses="set", with_={}, needs=(f"n{at + 1}",) if at < last and chained else ())
        for at in range(size)
    )
    journal: Journal = Counting()
    flow = Flow(compile_pattern(Pattern(name="p", nodes=nodes)), journal, {}, 1e9)
    steps = 0
    while (found := flow.next(0.0)).end is None:
        steps += 1
        for place in found.ready:
            journal[place.path] = Entry(SpanStatus.COMPLETED)
    assert steps == (size if chained else 1)
    assert isinstance(journal, Counting)
    assert journal.looks < 6 * size


def leaf(id_: str, uses: str = "http") -> tuple[Node, ...]:
    return (Node(id=id_, uses=uses, with_={}),)


def test_what_is_inside_the_containers_of_a_loop_is_forgotten_with_their_item() -> None:
    side = Node(id="side", uses="branch", with_={"if": "${{ true }}"}, blocks={("then",): leaf("a")})
    branches: dict[BlockKey, tuple[Node, ...]] = {("branches", "x"): (side,), ("branches", "y"): leaf("b")}
    both = Node(id="both", uses="parallel", with_={}, blocks=branches)
    again = RetryPolicy(attempts=2, delay=1.0, jitter=False)
    bad = Node(
        id="bad",
        uses="try",
        with_={},
        retry=again,
        on_error=OnError.CONTINUE,
        blocks={("do",): (*leaf("work"), *leaf("boom", "fail")), ("finally",): leaf("tidy")},
    )
    items = {"items": list(range(50)), "maxParallel": 4, "onItemError": "continue"}
    loop = Node(id="loop", uses="for-each", with_=items, blocks={("do",): (both, bad, *leaf("end", "fail"))})
    world = World(Pattern(name="p", nodes=(loop, *leaf("after", "set")), timeout=1e9), Fate())
    world.run()
    assert world.last is not None
    assert set(world.last.journal) == {"loop", "after"}
    assert world.last.flow.inside == {}


def test_what_has_not_begun_when_the_run_is_cancelled_never_does() -> None:
    loop = {"items": list(range(200)), "maxParallel": 200}
    node = Node(id="loop", uses="for-each", with_=loop, blocks={("do",): leaf("a")})
    world = World(Pattern(name="p", nodes=(node,), timeout=1e9), Fate(cancelled=frozenset({1})))
    world.run()
    assert len(world.called) <= 64  # as many as can be at work at once


def test_a_large_output_is_checked_by_whoever_goes_on_with_the_run(tmp_path: Path) -> None:
    large = Node(id="large", uses="set", with_={"text": "a" * 300_000})
    schema = {"type": "object", "required": ["text"]}
    pattern = Pattern(name="p", nodes=(large,), output_schema=schema, timeout=1e9)
    for look in range(1, 9):
        world = World(pattern, Fate(leaves_at_look=frozenset({look})), blobs=FolderBlobs(tmp_path))
        world.run()
        assert (world.ends[0].status, world.ends[0].error) == ("completed", None)
