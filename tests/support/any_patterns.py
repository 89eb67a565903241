"""Any pattern nested to depth 5, any fate that can befall it, and what holds whatever did."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st
from simulation import Fate, World

from runner.engine import End
from runner.program import written_path
from schemas.pattern import BlockKey, Node, OnError, Pattern, RetryPolicy
from store.runs import RunStatus
from store.spans import Span, SpanStatus

LEAVES = (*["http"] * 5, *["call"] * 2, "set", "fail", "stop", "delay", "wait")
CONTAINERS = ("branch", "switch", "parallel", "for-each", "repeat", "try", "try")
DEEPEST = 5


@st.composite
def patterns(draw: st.DrawFn) -> Pattern:
    names = (f"n{number}" for number in itertools.count())
    nodes = draw(lists(names, 1))
    retry = RetryPolicy(attempts=draw(st.sampled_from([1, 2])), delay=5.0)
    return Pattern(name="p", nodes=nodes, timeout=draw(st.sampled_from([100.0, 1e9])), retry=retry)


@st.composite
def lists(draw: st.DrawFn, names: Any, depth: int, first: str | None = None) -> tuple[Node, ...]:
    count = draw(st.sampled_from([2, 3] if depth == 1 else [1, 1, 2, 2, 3]))
    made: list[Node] = []
    for at in range(count):
        needs = None
        if first is None and draw(st.integers(0, 4)) == 0:
            needs = tuple(sorted(draw(st.sets(st.sampled_from([one.id for one in made]))) if made else ()))
        made.append(draw(nodes(names, depth, needs, first if at == 0 else None)))
    return tuple(made)


@st.composite
def nodes(draw: st.DrawFn, names: Any, depth: int, needs: Any, must_be: str | None) -> Node:
    kinds = LEAVES + CONTAINERS * (3, 2, 1, 1, 0)[depth - 1]
    uses = must_be or draw(st.sampled_from(kinds))
    name = next(names)
    common: dict[str, Any] = {
        "id": f"last{name}" if must_be else name,
        "uses": uses,
        "needs": needs,
        "when": draw(st.sampled_from([None] * 4 + ["${{ true }}", "${{ false }}"])) if not must_be else None,
        "on_error": draw(st.sampled_from([OnError.FAIL, OnError.FAIL, OnError.CONTINUE])),
        "timeout": draw(st.sampled_from([None, None, 60.0])) if not must_be else None,
        "retry": draw(st.sampled_from([None, None, RetryPolicy(attempts=2, delay=1.0, jitter=False)])),
    }
    inner = lists(names, depth + 1)
    blocks: dict[BlockKey, tuple[Node, ...]]
    match uses:
        case "branch":
            blocks = {("then",): draw(inner), ("else",): draw(inner)}
            return Node(
                with_={"if": draw(st.sampled_from(["${{ true }}", "${{ false }}"]))}, blocks=blocks, **common
            )
        case "switch":
            blocks = {("cases", "a"): draw(inner), ("default",): draw(inner)}
            return Node(with_={"value": draw(st.sampled_from(["a", "b"]))}, blocks=blocks, **common)
        case "parallel":
            fails = draw(st.sampled_from(["cancel", "wait"]))
            blocks = {("branches", "x"): draw(inner), ("branches", "y"): draw(inner)}
            return Node(with_={"whenOneFails": fails}, blocks=blocks, **common)
        case "for-each":
            with_ = {
                "items": list(range(draw(st.integers(0, 4)))),
                "maxParallel": draw(st.integers(1, 3)),
                "onItemError": draw(st.sampled_from(["fail", "continue"])),
            }
            return Node(with_=with_, blocks={("do",): draw(inner)}, **common)
        case "repeat":
            with_ = {"until": f"${{{{ index >= {draw(st.integers(0, 2))} }}}}", "every": "1s"}
            return Node(with_=with_, blocks={("do",): draw(inner)}, **common)
        case "try":
            blocks = {("do",): draw(inner)}
            if draw(st.booleans()):
                blocks["catch",] = draw(inner)
            # Begins with work, so that whether it began can be seen.
            blocks["finally",] = draw(lists(names, depth + 1, "http"))
            return Node(with_={}, blocks=blocks, **common)
        case "delay":
            return Node(with_={"for": draw(st.sampled_from(["0s", "5s", "90s"]))}, **common)
        case "call":
            return Node(with_={"pattern": "callee"}, **common)
        case "wait":
            patience = draw(st.sampled_from([{}, {"timeout": "30s"}]))
            return Node(with_={"event": "paid", **patience}, **common)
    return Node(with_={"x": 1} if uses == "set" else {}, **common)


CALLS = st.integers(1, 6) | st.integers(1, 25)
LOOKS = st.integers(1, 40) | st.integers(1, 300)
SOME = st.frozensets(CALLS, max_size=4)
FATES = st.builds(
    Fate,
    fails=SOME,
    slow=st.frozensets(CALLS, max_size=2),
    cancelled=st.frozensets(CALLS, max_size=1),
    dies_in=SOME,
    dies_before_write=SOME,
    dies_after_write=SOME,
    posts=SOME,
    leaves=st.frozensets(CALLS, max_size=2),
    leaves_at_look=st.frozensets(LOOKS, max_size=2),
    cancelled_at_look=st.frozensets(LOOKS, max_size=1),
    called_runs=st.lists(
        st.tuples(st.sampled_from(["completed", "failed", "cancelled"]), st.sampled_from([0.0, 40.0, 200.0])),
        min_size=1,
        max_size=3,
    ).map(tuple),
)


def still_open(world: World) -> list[str]:
    """What no end was written of."""
    return [
        path
        for journal in (*world.before, world.durable)
        for path, span in journal.items()
        if span.status in (SpanStatus.RUNNING, SpanStatus.WAITING)
    ]


def every_finally_ran(world: World, journal: dict[str, Span]) -> None:
    """Of every `try` that had been entered."""
    program = world.replayed().context.program
    for path, span in journal.items():
        step = program.by_path[written_path(path)]
        if step.node.uses != "try" or span.status is SpanStatus.SKIPPED:
            continue
        first = step.blocks["finally",].steps[0].node.id
        for attempt in range(1, span.attempt + 1):
            inside = path if attempt == 1 else f"{path}~{attempt}"
            began = f"{inside}/" if any(one.startswith(f"{inside}/") for one in journal) else None
            if began is None:
                continue  # entered in a journal that did not become durable, or about to be
            ran = journal.get(f"{inside}/{first}")
            assert ran is not None, (path, attempt, sorted(journal))
            assert ran.status is not SpanStatus.CANCELLED, (path, attempt)


def the_journal_says_the_same(world: World, status: RunStatus) -> None:
    """Whoever reads the journal finds the end that was found."""
    assert world.end is not None
    end, ending = world.end
    found = world.replayed().flow.next(world.now, halting=ending is not None)
    assert type(found.end) is type(end)
    assert found.end == end
    assert isinstance(end, End)
    assert status in (
        RunStatus.COMPLETED,
        RunStatus.FAILED,
        RunStatus.TIMEOUT,
        RunStatus.CANCELLED,
        RunStatus.DEAD_LETTER,
    )
