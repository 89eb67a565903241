"""Patterns that are legal and odd: what stands beside, inside and behind what. On a real worker."""

from __future__ import annotations

import time
from typing import Any

from running import Running

Node = dict[str, Any]


def set_(id_: str, **values: Any) -> Node:
    return {"id": id_, "uses": "set", "with": values}


def test_a_delay_is_not_over_because_an_event_came(service: Running) -> None:
    branches = {
        "slow": [{"id": "nap", "uses": "delay", "with": {"for": "2s"}}],
        "asked": [{"id": "w", "uses": "wait", "with": {"event": "paid"}}],
    }
    service.deploy("beside", [{"id": "both", "uses": "parallel", "branches": branches}])
    began = time.time()
    run = service.start("beside")
    service.wait(run, until=("waiting",))
    service.post(run, "paid", 1)
    assert service.wait(run)["output"] == {"slow": None, "asked": 1}
    assert time.time() - began >= 2


def test_the_outputs_so_far_can_be_read_as_one_value(service: Running) -> None:
    service.deploy("whole", [set_("a", x=1), set_("b", all="${{ nodes }}", count="${{ size(nodes) }}")])
    run = service.run("whole")
    assert run["output"] == {"all": {"a": {"x": 1}}, "count": 1}, run["error"]


def test_what_was_in_a_container_is_not_among_the_outputs_outside(service: Running) -> None:
    side = {"id": "side", "uses": "branch", "if": "${{ true }}", "then": [set_("inside", x=1)]}
    service.deploy("inside", [side, set_("b", names="${{ nodes.map(one, one) }}")])
    run = service.run("inside")
    assert run["output"] == {"names": ["side"]}, run["error"]


def approve(**keys: Any) -> Node:
    return {
        "id": "ok",
        "uses": "approve",
        "with": {"message": "?", "timeout": "1h", "onTimeout": "approve"},
    } | keys


def test_the_node_s_own_time_limit_approves_nothing(service: Running) -> None:
    service.deploy("late", [approve(timeout="200ms")], timeout="2h")
    run = service.run("late")
    assert (run["status"], run["error"] and run["error"]["type"]) == ("failed", "timeout")


def test_what_an_expression_gives_an_approval_or_a_wait_is_checked(service: Running) -> None:
    for node in (
        {"id": "n", "uses": "approve", "with": {"message": "?", "approvers": "${{ 'ada' }}"}},
        {"id": "n", "uses": "approve", "with": {"message": "?", "notRequester": "${{ 'no' }}"}},
        {"id": "n", "uses": "approve", "with": {"message": "?", "timeout": "${{ 5 }}"}},
        {"id": "n", "uses": "wait", "with": {"event": "${{ 5 }}"}},
        {"id": "n", "uses": "wait", "with": {"event": "paid", "timeout": "${{ {} }}"}},
        {"id": "n", "uses": "delay", "with": {"for": "${{ [] }}"}},
        {"id": "n", "uses": "delay", "with": {"until": "${{ '2026-12-01' }}"}},
    ):
        service.deploy("checked", [node], timeout="4s")
        run = service.run("checked")
        assert run["status"] == "failed", (node, run["status"], run["error"])
        assert run["error"]["node"] == "n", (node, run["error"])


def test_two_waits_for_one_event_get_one_each(service: Running) -> None:
    waits = {name: [{"id": name, "uses": "wait", "with": {"event": "paid"}}] for name in ("a", "b")}
    service.deploy("two", [{"id": "both", "uses": "parallel", "branches": waits}])
    run = service.start("two")
    service.wait(run, until=("waiting",))
    service.post(run, "paid", 1)
    time.sleep(0.2)
    assert service.read(run)["status"] == "waiting"
    service.post(run, "paid", 2)
    assert service.wait(run)["output"] == {"a": 1, "b": 2}


def test_an_approval_in_a_loop_is_asked_for_each_item(service: Running) -> None:
    loop = {
        "id": "each", "uses": "for-each", "items": [1, 2, 3], "maxParallel": 2,
        "do": [{"id": "ok", "uses": "approve", "with": {"message": "${{ item }}?"}}],
    }  # fmt: skip
    service.deploy("asks", [loop])
    run = service.start("asks")
    service.wait(run, until=("waiting",))
    for at in (1, 0, 2):
        for _ in range(300):
            if f"each[{at}]/ok" in service.spans(run):
                break
            time.sleep(0.01)
        service.post(run, "weft.approval", {"node": f"each[{at}]/ok", "approved": at != 1}, f"u{at}")
    output = service.wait(run)["output"]
    assert [(one["approved"], one["by"]) for one in output] == [
        (True, ["u0"]),
        (False, ["u1"]),
        (True, ["u2"]),
    ]
