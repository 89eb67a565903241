"""`for-each` and `repeat`."""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.engine.decision import HALTED, End, Next, worst
from runner.engine.frames import Container, Frame
from runner.engine.sides import Lists
from runner.engine.walker import Walker, new_frame
from runner.layers import loaded
from schemas.outline import ITEM
from schemas.pattern import JSON


@dataclass(slots=True)
class _Items(Lists):
    """The items of a `for-each`: `following` is the first that has not begun, `done` counts those in `results`."""

    items: list[JSON] = field(default_factory=list)
    results: list[JSON] = field(default_factory=list)
    following: int = 0
    done: int = 0


def for_each(walker: Walker, container: Container, found: Next, halting: bool) -> End | None:
    loop = _items(walker, container)
    limit = container.node.with_.get("maxParallel", 1)
    goes_on = container.node.with_.get("onItemError") == "continue"
    while True:
        _begin(walker, container, loop, limit, halting or loop.bad)
        inside = Next()
        loop.walk(walker, inside, halting, cancels=not goes_on)
        _fold(walker, loop, goes_on)
        full = len(loop.frames) >= limit and not (halting or loop.bad)
        if full or loop.following == len(loop.items):
            break
    found.take(inside)
    if loop.frames:
        return None
    if loop.done == len(loop.items):
        return End(output=loop.results)
    return worst(loop.ends[at] for at in sorted(loop.ends))


def _items(walker: Walker, container: Container) -> _Items:
    known: _Items | None = walker.inside.get(container.key)
    if known is not None:
        return known
    items = (container.entry.state or {})["items"]
    made = walker.inside[container.key] = _Items(items=items, results=[None] * len(items))
    return made


def _begin(walker: Walker, container: Container, loop: _Items, limit: int, halting: bool) -> None:
    """Open the next items. Of a loop that is halted only those that had begun: they may have to be ended."""
    while loop.following < len(loop.items) and (halting or len(loop.frames) < limit):
        at = loop.following
        frame = _item_frame(container, at, loop.items[at])
        if not halting or walker.has_begun(frame):
            loop.frames[at] = frame
        loop.following += 1


def _item_frame(container: Container, at: int, item: JSON) -> Frame:
    name = container.node.with_.get("as", ITEM)
    return new_frame(container, ("do",), f"[{at}]", **{"index": at, name: item})


def _fold(walker: Walker, loop: _Items, goes_on: bool) -> None:
    """Take the ends of items into the results."""
    for at, end in list(loop.ends.items()):
        if end.well:
            loop.results[at] = loaded(end.output)
        elif goes_on and type(end) is End:
            loop.results[at] = {"error": end.error}
        else:
            continue
        loop.done += 1
        del loop.ends[at]
        walker.drop(loop.over.pop(at))


def repeat(walker: Walker, container: Container, found: Next, halting: bool) -> End | None:
    """One round. Whether another follows is for whoever closes it to say."""
    entry = container.entry
    state = entry.state or {}
    number = state["round"]
    rounds: dict[int, Frame] = walker.inside.setdefault(container.key, {})
    if number not in rounds:
        for over in rounds.values():
            walker.drop(over)
        rounds.clear()
        names = {"index": number, "previous": state["previous"]}
        rounds[number] = new_frame(container, ("do",), f"[{number}]", **names)
    if entry.wake is not None and entry.wake > walker.now and not walker.has_begun(rounds[number]):
        # One that has begun is a round of the run that this one repeats: its time has come already.
        found.waiting += 1
        found.wake_at(entry.wake)
        return HALTED if halting else None
    return walker.walk(rounds[number], found, halting)
