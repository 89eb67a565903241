"""No worker waits for another worker: calls can nest as deep and as wide as they may, on two threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from running import Running, sweeper, worker

DEEPEST = 32


@pytest.fixture
def two_threads(running: Running) -> Iterator[Running]:
    with worker(running, threads=2), sweeper(running):
        yield running


def call(pattern: str, input_: Any) -> dict[str, Any]:
    return {"id": "c", "uses": "call", "with": {"pattern": pattern, "input": input_}}


def test_five_hundred_nested_calls_end_on_two_threads(two_threads: Running) -> None:
    service = two_threads
    leaf = service.deploy(
        "leaf", [{"id": "a", "uses": "set", "with": {"n": "${{ input * 2 }}"}}], on={"call": {}}
    )
    child = service.deploy("child", [call("leaf", "${{ input }}")], on={"call": {}}, calls={"leaf": leaf})
    loop = {"id": "each", "uses": "for-each", "items": "${{ range(250) }}", "maxParallel": 250}
    service.deploy("top", [{**loop, "do": [call("child", "${{ item }}")]}], calls={"child": child})
    run = service.start("top")
    assert service.wait(run, seconds=60)["output"] == [{"n": at * 2} for at in range(250)]
    with service.database.connection() as c:
        rows = c.execute("SELECT depth, count(*) FROM runs WHERE root_id = %s GROUP BY 1 ORDER BY 1", [run])
        assert rows.fetchall() == [(1, 250), (2, 250)]


def test_calls_nest_to_their_limit_on_two_threads_and_no_deeper(two_threads: Running) -> None:
    service = two_threads
    below = service.deploy("p0", [{"id": "a", "uses": "set", "with": {"depth": 0}}], on={"call": {}})
    for depth in range(1, DEEPEST + 2):
        name = f"p{depth - 1}"
        below = service.deploy(f"p{depth}", [call(name, None)], on={"call": {}}, calls={name: below})
    assert service.run(f"p{DEEPEST}")["output"] == {"depth": 0}
    too_deep = service.run(f"p{DEEPEST + 1}")
    assert too_deep["status"] == "failed"
    assert "nested deeper than 32" in too_deep["error"]["message"]
