"""Which commands of Redis may be repeated, and which a push refuses."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.documents import parse_file
from schemas.redis_commands import may_repeat, refusal


@pytest.mark.parametrize(
    ("command", "repeated"),
    [
        (["GET", "a"], True), (["hgetall", "a"], True), (["SET", "a", "GET"], True),
        (["SET", "a", 1, "EX", 5], True),
        (["SET", "a", 1, "NX"], False), (["SET", "a", 1, "get"], False), (["INCR", "a"], False),
        (["LPOP", "a"], False), (["EVAL", "x", 0], False), (["XADD", "s", "*", "a", 1], False), ([], False),
        (["DEL", "a"], False), (["BLPOP", "a", 1], False), ([1], False),
    ],
)  # fmt: skip
def test_what_is_done_twice_is_the_same(command: list[Any], repeated: bool) -> None:
    assert may_repeat(command) is repeated


@pytest.mark.parametrize(
    "command",
    [["BLPOP", "a", "b", 1], ["BLMPOP", 0.5, 1, "l", "LEFT"], ["XREAD", "BLOCK", 10, "STREAMS", "s", "$"],
     ["XREAD", "STREAMS", "BLOCK", "0"], ["GET", "KEYS"], ["SET", "a", "MONITOR"], ["BLPOP", "a", "x"]],
)  # fmt: skip
def test_what_ends_by_itself_is_sent(command: list[Any]) -> None:
    assert refusal(command) is None


def problems(command: str) -> list[tuple[str, int, str]]:
    text = (
        "apiVersion: weft/v1\nkind: Pattern\nmetadata: {name: p}\nspec:\n  nodes:\n"
        f"    - {{id: a, uses: redis, with: {{connection: cache, command: {command}}}}}\n"
    )
    found = parse_file("patterns/p.yaml", text.encode()).problems
    return [(one.code, one.line, one.hint) for one in found]


def test_a_push_says_what_would_be_refused() -> None:
    [(code, line, hint)] = problems("[KEYS, '*']")
    assert (code, line) == ("invalid-value", 6)
    assert "SCAN" in hint
    assert problems("[GET, '${{ trigger.body.key }}']") == []
    assert problems("'${{ trigger.body.command }}'") == []
    assert [code for code, _, _ in problems("[]")] != []
    assert [code for code, _, _ in problems("[GET, [a]]")] != []
