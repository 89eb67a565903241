"""Each node that steers a run: what it needs, gives, and how it fails. On a real worker, database and broker."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from running import Running

from runner import endings
from runner.state import RunState
from store import wakeups
from store.runs import RunStatus


def set_(id_: str, **values: Any) -> dict[str, Any]:
    return {"id": id_, "uses": "set", "with": values}


def fail(id_: str, message: str = "no", **keys: Any) -> dict[str, Any]:
    return {"id": id_, "uses": "fail", "with": {"message": message, **keys}}


def flow(id_: str, uses: str, **keys: Any) -> dict[str, Any]:
    return {"id": id_, "uses": uses, **keys}


ITEM = [set_("one", got="${{ item }}")]


@pytest.mark.parametrize(
    ("node", "output"),
    [
        (flow("f", "branch", **{"if": "${{ true }}", "then": [set_("a", x=1)]}), {"x": 1}),
        (flow("f", "branch", **{"if": "${{ false }}", "then": [set_("a", x=1)]}), None),
        (flow("f", "switch", value="${{ 2 }}", cases={"2": [set_("a", x=2)]}), {"x": 2}),
        (flow("f", "switch", value="${{ 3 }}", cases={"2": [set_("a", x=2)]}, default=[set_("b", x=0)]), {"x": 0}),
        (flow("f", "switch", value="${{ 3 }}", cases={"2": [set_("a", x=2)]}), None),
        (
            flow("f", "parallel", branches={"l": [set_("a", x=1)], "r": [set_("b", x=2), set_("c", x=3)]}),
            {"l": {"x": 1}, "r": {"x": 3}},
        ),
        (flow("f", "for-each", items=[3, 1, 2], do=ITEM), [{"got": 3}, {"got": 1}, {"got": 2}]),
        (flow("f", "for-each", items="${{ [] }}", do=ITEM), []),
        (
            flow("f", "for-each", **{"items": ["a", "b"], "as": "name", "maxParallel": 2},
                 do=[set_("one", t="${{ index }}${{ name }}")]),
            [{"t": "0a"}, {"t": "1b"}],
        ),
        (
            flow("f", "for-each", items=[1, 2], onItemError="continue",
                 do=[flow("odd", "branch", **{"if": "${{ item == 1 }}", "then": [fail("no")],
                                              "else": [set_("y", ok=True)]})]),
            [{"error": {"type": "failed", "message": "no", "node": "f[0]/odd/no",
                        "hint": "Read its message.", "retryable": False}},
             {"ok": True}],
        ),
        (flow("f", "repeat", until="${{ index == 2 }}", do=[set_("r", i="${{ index }}")]), {"i": 2}),
        (flow("f", "repeat", **{"while": "${{ index < 3 }}"}, do=[set_("r", i="${{ index }}")]), {"i": 2}),
        (flow("f", "repeat", **{"while": "${{ false }}"}, do=[set_("r", i=1)]), None),
        (
            flow("f", "repeat", until="${{ previous.n >= 8 }}",
                 do=[set_("r", n="${{ previous == null ? 1 : previous.n * 2 }}")]),
            {"n": 8},
        ),
        (flow("f", "try", do=[set_("a", x=1)], catch=[set_("c", x=2)]), {"x": 1}),
        (
            flow("f", "try", do=[fail("a", "boom", type="mine")],
                 catch=[set_("c", t="${{ error.type }}", m="${{ error.message }}", n="${{ error.node }}")]),
            {"t": "mine", "m": "boom", "n": "f/a"},
        ),
        (
            flow("f", "try", do=[set_("a", x=1)], **{"finally": [set_("z", e="${{ error == null }}")]}),
            {"x": 1},
        ),
    ],
)  # fmt: skip
def test_what_a_container_gives(service: Running, node: dict[str, Any], output: Any) -> None:
    service.deploy("flow", [node])
    run = service.run("flow")
    assert (run["status"], run["output"]) == ("completed", output), run["error"]


@pytest.mark.parametrize(
    ("node", "type_", "where"),
    [
        (
            flow("f", "branch", **{"if": "${{ trigger.body }}", "then": [set_("a", x=1)]}),
            "not_a_boolean",
            "f",
        ),
        (flow("f", "for-each", items="${{ trigger.body }}", do=ITEM), "not_a_list", "f"),
        (flow("f", "for-each", items=[1, 2], do=[fail("no")]), "failed", "f[0]/no"),
        (flow("f", "repeat", until="${{ false }}", limit=3, do=[set_("r", x=1)]), "repeat_limit", "f"),
        (flow("f", "repeat", until="${{ previous }}", do=[set_("r", x=1)]), "not_a_boolean", "f"),
        (flow("f", "parallel", branches={"a": [set_("x", x=1)], "b": [fail("no")]}), "failed", "f/no"),
        (flow("f", "try", do=[fail("a")], catch=[fail("b", type="second")]), "second", "f/b"),
        (flow("f", "try", do=[fail("a")], **{"finally": [set_("z", x=1)]}), "failed", "f/a"),
        (flow("f", "try", do=[set_("a", x=1)], **{"finally": [fail("z", type="last")]}), "last", "f/z"),
        (
            flow("f", "switch", value="${{ trigger.body.missing }}", cases={"a": [set_("a", x=1)]}),
            "expression",
            "f",
        ),
    ],
)
def test_how_a_container_fails(service: Running, node: dict[str, Any], type_: str, where: str) -> None:
    service.deploy("flow", [node])
    run = service.run("flow", "text")
    assert (run["status"], run["error"]["type"], run["error"]["node"]) == ("failed", type_, where)


def test_a_stop_deep_inside_ends_the_run_and_finally_still_runs(service: Running) -> None:
    inner = flow("f", "try", do=[{"id": "s", "uses": "stop", "with": {"output": "enough"}}],
                 **{"finally": [set_("z", x=1)]})  # fmt: skip
    service.deploy("flow", [flow("each", "for-each", items=[1, 2], do=[inner]), set_("never", x=1)])
    run = service.run("flow")
    spans = service.spans(run["id"])
    assert (run["status"], run["output"]) == ("completed", "enough")
    assert spans["each[0]/f/z"]["status"] == "completed"
    assert "never" not in spans
    assert "each[1]/f" not in spans


def nap(id_: str, seconds: str) -> dict[str, Any]:
    return {"id": id_, "uses": "delay", "with": {"for": seconds}}


def test_a_branch_that_fails_cancels_the_others(service: Running) -> None:
    branches = {"slow": [nap("wait", "1h"), set_("after", x=1)], "bad": [fail("no")]}
    service.deploy("flow", [flow("f", "parallel", branches=branches)], timeout="2h")
    run = service.run("flow")
    spans = service.spans(run["id"])
    assert run["error"]["node"] == "f/no"
    assert (spans["f/wait"]["status"], "f/after" in spans) == ("cancelled", False)


def test_a_branch_that_fails_is_waited_for_where_the_pattern_says_so(service: Running) -> None:
    branches = {"slow": [nap("wait", "100ms"), set_("after", x=1)], "bad": [fail("no")]}
    service.deploy("flow", [flow("f", "parallel", branches=branches, whenOneFails="wait")])
    run = service.run("flow")
    assert run["error"]["node"] == "f/no"
    assert service.spans(run["id"])["f/after"]["status"] == "completed"


def test_a_container_s_time_out_ends_what_is_inside_and_can_be_caught(service: Running) -> None:
    slow = flow("slow", "branch", **{"if": "${{ true }}", "then": [nap("n", "1h")], "timeout": "200ms"})
    guard = flow("guard", "try", do=[slow], catch=[set_("c", t="${{ error.type }}", n="${{ error.node }}")])
    service.deploy("flow", [guard], timeout="2h")
    run = service.run("flow")
    assert run["output"] == {"t": "timeout", "n": "guard/slow"}
    assert service.spans(run["id"])["guard/slow/n"]["status"] == "cancelled"


def test_the_run_s_time_out_runs_finally_and_not_catch(service: Running) -> None:
    guard = flow("guard", "try", do=[nap("n", "1h")], catch=[set_("c", x=1)],
                 **{"finally": [nap("tidy", "300ms"), set_("z", x=1)]})  # fmt: skip
    service.deploy("flow", [guard, set_("never", x=1)], timeout="300ms")
    run = service.run("flow")
    spans = service.spans(run["id"])
    assert (run["status"], run["error"]["type"]) == ("timeout", "timeout")
    assert spans["guard/z"]["status"] == "completed"
    assert not {"guard/c", "never"} & set(spans)


@pytest.mark.parametrize("last", [{"id": "z", "uses": "stop"}, fail("z")], ids=["stop", "fail"])
def test_nothing_in_a_finally_changes_how_a_run_ends_that_had_to_end(
    service: Running, last: dict[str, Any]
) -> None:
    guard = flow("guard", "try", do=[nap("n", "1h")], **{"finally": [last]})
    service.deploy("flow", [guard], timeout="300ms")
    run = service.run("flow")
    assert (run["status"], run["error"]["type"]) == ("timeout", "timeout")
    assert "guard/z" in service.spans(run["id"])


def test_a_stop_in_the_finally_of_a_cancelled_branch_hides_no_error(service: Running) -> None:
    guard = flow("guard", "try", do=[nap("n", "1h")], **{"finally": [{"id": "z", "uses": "stop"}]})
    service.deploy(
        "flow", [flow("f", "parallel", branches={"slow": [guard], "bad": [fail("no")]})], timeout="2h"
    )
    run = service.run("flow")
    assert (run["status"], run["error"] and run["error"]["node"]) == ("failed", "f/no")


def test_a_stop_in_a_finally_ends_a_run_that_nothing_else_ended(service: Running) -> None:
    last = {"id": "z", "uses": "stop", "with": {"output": "enough"}}
    service.deploy("flow", [flow("guard", "try", do=[fail("a")], **{"finally": [last]}), set_("never", x=1)])
    run = service.run("flow")
    assert (run["status"], run["output"]) == ("completed", "enough")


def test_a_container_is_tried_again_as_a_whole(service: Running) -> None:
    nodes = [
        flow("f", "branch", retry={"attempts": 3, "delay": "10ms", "jitter": False}, **{
            "if": "${{ true }}",
            "then": [set_("a", x=1), fail("no", retry=True)],
        }),
    ]  # fmt: skip
    service.deploy("flow", nodes)
    run = service.run("flow")
    spans = service.spans(run["id"])
    assert run["status"] == "failed"
    assert {"f/a", "f~2/a", "f~3/a", "f~3/no"} <= set(spans)
    assert spans["f"]["attempt"] == 3


def test_retry_says_when(service: Running) -> None:
    retry = {"attempts": 3, "delay": "1ms", "jitter": False, "when": "${{ error.message == 'again' }}"}
    nodes = [fail("a", "${{ trigger.body }}", retry=True) | {"retry": retry}]
    service.deploy("flow", nodes)
    assert service.spans(service.run("flow", "again")["id"])["a"]["attempt"] == 3
    assert service.spans(service.run("flow", "not again")["id"])["a"]["attempt"] == 1


def test_a_family_of_errors_can_be_retried(service: Running) -> None:
    retry = {"attempts": 2, "delay": "1ms", "on": ["order"]}
    service.deploy("flow", [fail("a", type="order.late", retry=True) | {"retry": retry}])
    assert service.spans(service.run("flow")["id"])["a"]["attempt"] == 2


def wait(id_: str = "w", **keys: Any) -> dict[str, Any]:
    return {"id": id_, "uses": "wait", "with": {"event": "paid", **keys}}


def test_wait_takes_the_event_that_matches_and_gives_its_body(service: Running) -> None:
    service.deploy("flow", [wait(match="${{ event.body.order == trigger.body.order }}")])
    run = service.start("flow", {"order": 7})
    service.wait(run, until=("waiting",))
    service.post(run, "paid", {"order": 6})
    service.post(run, "paid", {"nothing": "here"})
    service.post(run, "other", {"order": 7})
    time.sleep(0.2)
    assert service.read(run)["status"] == "waiting"
    service.post(run, "paid", {"order": 7, "by": "card"})
    assert service.wait(run)["output"] == {"order": 7, "by": "card"}


def test_an_event_that_comes_early_is_kept_and_taken_once(service: Running) -> None:
    service.deploy("flow", [nap("n", "300ms"), wait("first"), wait("second", timeout="300ms")])
    run = service.start("flow")
    service.post(run, "paid", {"n": 1})
    found = service.wait(run)
    assert found["error"]["node"] == "second"
    assert service.spans(run)["first"]["output"] == {"n": 1}


def approve(**keys: Any) -> dict[str, Any]:
    return {"id": "ok", "uses": "approve", "with": {"message": "Ship it?", **keys}}


def answer(approved: bool, **keys: Any) -> dict[str, Any]:
    return {"node": "ok", "approved": approved, **keys}


def test_an_approval_gives_who_and_what_they_filled_in(service: Running) -> None:
    service.deploy("flow", [approve(count=2)])
    run = service.start("flow")
    service.wait(run, until=("waiting",))
    assert service.spans(run)["ok"]["output"]["message"] == "Ship it?"
    for person in ("ada", "ada", "bob"):
        service.post(run, "weft.approval", answer(True, form={"by": person}), person)
    assert service.wait(run)["output"] == {"approved": True, "by": ["ada", "bob"], "form": {"by": "bob"}}


def test_one_refusal_is_enough(service: Running) -> None:
    service.deploy("flow", [approve(count=3)])
    run = service.start("flow")
    service.wait(run, until=("waiting",))
    service.post(run, "weft.approval", answer(False), "ada")
    assert service.wait(run)["output"] == {"approved": False, "by": ["ada"], "form": None}


@pytest.mark.parametrize(
    ("then", "output"), [("approve", {"approved": True, "by": [], "form": None}),
                         ("reject", {"approved": False, "by": [], "form": None})]
)  # fmt: skip
def test_an_approval_that_nobody_gives_ends_as_the_pattern_says(
    service: Running, then: str, output: Any
) -> None:
    service.deploy("flow", [approve(timeout="100ms", onTimeout=then)])
    assert service.run("flow")["output"] == output


def test_an_approval_that_nobody_gives_is_an_error_otherwise(service: Running) -> None:
    service.deploy("flow", [approve(timeout="100ms")])
    assert service.run("flow")["error"]["type"] == "timeout"


def test_a_call_has_a_time_limit_and_its_run_is_cancelled_then(service: Running) -> None:
    callee = service.deploy("slow", [nap("n", "1h")], on={"call": {}}, timeout="2h")
    call = {"id": "c", "uses": "call", "with": {"pattern": "slow"}, "timeout": "300ms"}
    service.deploy("flow", [call], calls={"slow": callee})
    run = service.run("flow")
    assert (run["error"]["type"], run["error"]["node"]) == ("timeout", "c")
    with service.database.connection() as c:
        [child] = c.execute("SELECT id::text FROM runs WHERE parent_id = %s", [run["id"]]).fetchall()
    assert service.wait(child[0])["status"] == "cancelled"
    assert str(service.spans(run["id"])["c"]["child_run_id"]) == child[0], "it leads to what took so long"


def test_a_called_run_gives_nothing_that_its_schema_forbids(service: Running) -> None:
    callee = service.deploy("callee", [set_("a", n="text")], outputSchema={"required": ["id"]})
    call = {"id": "c", "uses": "call", "with": {"pattern": "callee"}}
    service.deploy("flow", [call], calls={"callee": callee})
    run = service.run("flow")
    assert (run["error"]["type"], run["error"]["node"]) == ("invalid_output", "c")
    assert "outputSchema" in run["error"]["message"]


def test_a_call_whose_input_does_not_fit_fails_as_that_and_not_as_the_run_it_called(service: Running) -> None:
    callee = service.deploy("strict", [set_("a", x=1)], on={"call": {}}, input={"required": ["id"]})
    call = {"id": "c", "uses": "call", "with": {"pattern": "strict", "input": {}}}
    middle = service.deploy("middle", [call], on={"call": {}}, calls={"strict": callee})
    service.deploy(
        "flow", [{"id": "m", "uses": "call", "with": {"pattern": "middle"}}], calls={"middle": middle}
    )
    run = service.run("middle")
    assert (run["error"]["type"], run["error"]["node"]) == ("invalid_input", "c")
    assert "id" in run["error"]["message"]
    assert service.run("flow")["error"]["type"] == "call_failed", "it was not its own call that was wrong"


def test_who_called_a_run_that_was_cancelled_hears_that(service: Running) -> None:
    callee = service.deploy("slow", [nap("n", "1h")], on={"call": {}}, timeout="2h")
    call = {"id": "c", "uses": "call", "with": {"pattern": "slow"}}
    service.deploy("flow", [call], calls={"slow": callee})
    run = service.start("flow")
    service.wait(run, until=("waiting",))
    with service.database.connection() as c:
        [(child,)] = c.execute("SELECT id::text FROM runs WHERE parent_id = %s", [run]).fetchall()
    service.wait(child, until=("waiting",))
    with service.database.connection() as c:
        ready = wakeups.cancel(c, child)
    service.ring(ready or ())
    error = service.wait(run)["error"]
    assert error["message"] == "The called run was cancelled, by somebody or by its deployment's limit."
    assert child in error["hint"]


def test_items_go_on_beside_a_called_run(service: Running) -> None:
    callee = service.deploy("callee", [nap("n", "200ms"), set_("out", got="${{ input }}")])
    call = {"id": "c", "uses": "call", "with": {"pattern": "callee", "input": "${{ item }}"}}
    loop = flow("each", "for-each", items="${{ range(20) }}", maxParallel=10, do=[call])
    service.deploy("flow", [loop], calls={"callee": callee})
    began = time.monotonic()
    assert service.run("flow")["output"] == [{"got": at} for at in range(20)]
    assert time.monotonic() - began < 5  # one after another, it would take longer than the naps


def script(id_: str, seconds: float) -> dict[str, Any]:
    code = f"import time\ndef main(i):\n    time.sleep({seconds})\n    return time.time()"
    return {"id": id_, "uses": "script", "with": {"code": code}}


def test_a_timer_is_kept_while_something_else_of_the_run_is_at_work(service: Running) -> None:
    branches = {"a": [script("long", 1.5)], "b": [nap("n", "100ms"), script("short", 0)]}
    service.deploy("flow", [flow("f", "parallel", branches=branches)])
    output = service.run("flow")["output"]
    assert output["b"] < output["a"] - 0.5


def test_a_called_run_is_heard_of_while_something_else_of_the_run_is_at_work(service: Running) -> None:
    callee = service.deploy("callee", [set_("a", x=1)], on={"call": {}})
    call = {"id": "c", "uses": "call", "with": {"pattern": "callee"}}
    branches = {"a": [script("long", 1.5)], "b": [call, script("short", 0)]}
    service.deploy("flow", [flow("f", "parallel", branches=branches)], calls={"callee": callee})
    output = service.run("flow")["output"]
    assert output["b"] < output["a"] - 0.5


def test_cancelling_ends_what_is_at_work_and_runs_finally(service: Running) -> None:
    guard = flow(
        "guard",
        "try",
        do=[script("long", 30)],
        **{"finally": [script("tidy", 0), nap("n", "50ms"), set_("z", x=1)]},
    )
    service.deploy("flow", [guard, set_("never", x=1)])
    run = service.start("flow")
    service.wait(run, until=("running",))
    time.sleep(0.3)
    with service.database.transaction() as c:
        wakeups.cancel(c, run)
    found = service.wait(run, seconds=5)
    spans = service.spans(run)
    assert (found["status"], spans["guard/long"]["status"], spans["guard/z"]["status"]) == (
        "cancelled",
        "cancelled",
        "completed",
    )
    assert "never" not in spans


def test_the_error_of_a_secret_node_quotes_nothing(service: Running) -> None:
    code = "def main(i):\n    raise ValueError('s3cr3t')"
    loop = flow(
        "each", "for-each", items=[1], secret=True, do=[{"id": "s", "uses": "script", "with": {"code": code}}]
    )
    guard = flow(
        "guard", "try", do=[loop], catch=[set_("c", t="${{ error.type }}", m="${{ error.message }}")]
    )
    service.deploy("flow", [guard])
    run = service.run("flow")
    assert run["output"]["t"] == "script_error"
    assert "s3cr3t" not in str(run["output"])
    assert "s3cr3t" not in str([span["error"] for span in service.spans(run["id"]).values()])


def test_a_run_whose_end_the_database_refuses_fails_once_and_takes_no_other_along(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.deploy("flow", [set_("a", x="${{ trigger.body }}")])
    ended = endings.ended

    def unwritable(run: RunState, status: RunStatus, **keys: Any) -> Any:
        step = ended(run, status, **keys)
        return replace(step, output="no JSON") if run.claimed.trigger["body"] == "bad" else step

    monkeypatch.setattr(endings, "ended", unwritable)
    bad, good = service.start("flow", "bad"), service.start("flow", "good")
    assert service.wait(good)["output"] == {"x": "good"}
    found = service.wait(bad, seconds=5)
    assert (found["status"], found["error"]["type"]) == ("failed", "internal_error")
