"""`weft log` shows what happened in a loop item by item, and says what a run waits for."""

from __future__ import annotations

from typing import Any

import pytest

from cli.run_log import end_lines, tree_lines, waits_for


def node(path: str, **fields: Any) -> dict[str, Any]:
    id_ = path.rsplit("/", 1)[-1]
    known = {"id": id_, "name": id_, "uses": "set", "status": "completed", "durationMs": 1.0, "attempt": 1}
    return {"path": path, **known, "log": [], "childRunId": None, "error": None, "output": None, **fields}


def shown(*paths: str) -> list[str]:
    return [line.plain.strip().split("  ")[0] for line in tree_lines([node(path) for path in paths], 100)]


def test_items_that_ran_side_by_side_are_told_apart() -> None:
    began = ("each", "each[0]/a", "each[1]/a", "each[1]/b", "each[0]/b", "last")
    assert shown(*began) == ["each", "[0]", "a", "b", "[1]", "a", "b", "last"]


def test_attempts_and_nested_loops_stand_below_what_they_belong_to() -> None:
    began = ("f", "f/x", "f~2/x", "f~2/loop", "f~2/loop[0]/y", "f~2/loop[1]/y")
    assert shown(*began) == ["f", "x", "~2", "x", "loop", "[0]", "y", "[1]", "y"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"event": "paid"}, "the event paid: weft post RUN paid"),
        ({"message": "Go?", "approvedBy": []}, "an approval: Go? (weft answer RUN yes)"),
        (
            {"message": "Go?", "count": 2, "approvers": ["leads"], "approvedBy": ["ada"]},
            "2 approvals of leads, ada approved: Go? (weft answer RUN yes)",
        ),
    ],
)
def test_what_a_run_waits_for_is_said_with_the_way_to_give_it(asked: dict[str, Any], said: str) -> None:
    assert waits_for(asked) == said
    [_, line] = [line.plain for line in tree_lines([node("w", status="waiting", waitsFor=asked)], 200)]
    assert line.strip() == f"waits for {said}"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, "until 2026-11-21T10:00:00Z"),
        ({"type": "x", "message": "m"}, "tries again at 2026-11-21T10:00:00Z"),
    ],
)
def test_a_timer_is_said_with_its_end(error: Any, said: str) -> None:
    waiting = node("w", status="waiting", wakesAt="2026-11-21T10:00:00Z", error=error)
    [_, line, *_] = [line.plain for line in tree_lines([waiting], 200)]
    assert line.strip() == said


def test_an_output_that_is_kept_apart_is_told_with_its_place() -> None:
    large = {"output": None, "outputSize": 1_178_910, "outputUrl": "/api/v1/runs/7/output"}
    [_, line] = [line.plain for line in tree_lines([node("big", **large)], 200)]
    assert line.strip() == "→ (1,178,910 bytes: GET /api/v1/runs/7/output)"
    [end] = end_lines({"error": None, "endedAt": "now"} | large, 200, said=False)
    assert end.plain.strip() == "= (1,178,910 bytes: GET /api/v1/runs/7/output)"
