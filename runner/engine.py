"""What a run does next: a function of its program, its journal, the time, and whether it is to end.

The journal maps a node's path to what is known of it; a path that is missing has not begun. The path of a node in
round 3 of a loop is `loop[3]/node`, that of one in a container's second attempt `container~2/node`.

A list of nodes at run time is a `Frame`. Frames, and what has come of the loops so far, can be derived from the
journal at any time: they are kept because a loop of 10,000 items must not be looked through at each of its steps.

A list comes to its end well, with an error, because a `stop` ended the whole run, or because it was told to end
early (*halting*: the run is cancelled or out of time, a container's `timeout` is over, a node beside it failed).
What is halted begins nothing more but the `finally` of every `try` that it had entered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from runner.layers import Layer
from runner.program import Block, Program, Step
from schemas.outline import ITEM
from schemas.pattern import JSON, BlockKey, OnError
from store.spans import SpanStatus

CLEANUP: Final = 300.0
"""Seconds that a `finally` has at least, whatever time-out is over around it."""

FOREVER: Final = float("inf")


@dataclass(slots=True)
class Entry:
    """What the journal knows of one node.

    RUNNING of a container has a `state`: what it decided when it was entered. RUNNING of any other node is being
    worked on in this process. WAITING has a timer (`wake`), a called run (`child`, and `child_status` once that
    has ended, with its output and error) or awaits what people post to the run (`poked`: there is something new);
    with an `error`, the timer is that of another attempt. `started`: seconds since the epoch.
    """

    status: SpanStatus
    attempt: int = 1
    output: JSON = None
    error: JSON = None
    wake: float | None = None
    child: str | None = None
    child_status: str | None = None
    state: dict[str, JSON] | None = None
    started: float | None = None
    poked: bool = False


Journal = MutableMapping[str, Entry]


class Frame:
    """A list of nodes under way.

    `scope` is what its expressions can name; `deadline` the time (seconds since the epoch) at which its nodes have
    to give up. In a `sheltered` one they go on when the run is cancelled.
    """

    __slots__ = ("at", "block", "deadline", "last", "outputs", "prefix", "scope", "sheltered")

    def __init__(
        self, block: Block, prefix: str, scope: dict[str, Any], deadline: float, *, sheltered: bool
    ) -> None:
        self.block = block
        self.prefix = prefix
        self.scope = scope
        self.outputs: MutableMapping[str, JSON] = scope["nodes"]
        self.deadline = deadline
        self.sheltered = sheltered
        self.at = 0
        self.last: JSON = None

    def settle(self, step: Step, entry: Entry) -> None:
        self.last = self.outputs[step.node.id] = output_of(entry)


@dataclass(frozen=True, slots=True)
class Place:
    """A node where it stands at run time."""

    step: Step
    frame: Frame
    path: str


@dataclass(frozen=True, slots=True)
class End:
    """A list's, or the run's, end. `error` None is success."""

    output: JSON = None
    error: JSON = None

    @property
    def well(self) -> bool:
        return self.error is None


class Stopped(End):
    """A `stop` node ended all the containers around it, and the run with them."""

    @property
    def well(self) -> bool:
        return False


class Halted(End):
    """It was told to end early, and did."""

    @property
    def well(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Close:
    """A container whose inside has come to its end. `late`: by the container's own `timeout`."""

    place: Place
    end: End
    late: bool = False


@dataclass(slots=True)
class Next:
    """`end`, or else what can be done now; with neither, the run waits (until `wake`, if that is a time).

    `halt` are nodes that wait for something nobody wants any more, `pull` the paths of nodes at work that shall
    give up; `working` counts the nodes that are being worked on in this process, `waiting` those that wait.
    """

    ready: list[Place] = field(default_factory=list)
    closes: list[Close] = field(default_factory=list)
    halt: list[Place] = field(default_factory=list)
    pull: list[str] = field(default_factory=list)
    wake: float | None = None
    working: int = 0
    waiting: int = 0
    end: End | None = None

    def take(self, other: Next) -> None:
        self.ready += other.ready
        self.closes += other.closes
        self.halt += other.halt
        self.pull += other.pull
        self.working += other.working
        self.waiting += other.waiting
        self.wake_at(other.wake)

    def wake_at(self, time: float | None) -> None:
        if time is not None and time != FOREVER:
            self.wake = time if self.wake is None else min(time, self.wake)


_HALTED: Final = Halted()
_SETTLED: Final = End()
"""That the order may go on behind a step; its identity is what counts."""


@dataclass(slots=True)
class _Lists:
    """The lists of a container that run side by side: those under way, and the ends of the others."""

    frames: dict[Any, Frame] = field(default_factory=dict)
    over: dict[Any, Frame] = field(default_factory=dict)
    ends: dict[Any, End] = field(default_factory=dict)
    bad: bool = False


@dataclass(slots=True)
class _Items(_Lists):
    """The same for the items of a `for-each`: `following` is the first that has not begun."""

    items: list[JSON] = field(default_factory=list)
    results: list[JSON] = field(default_factory=list)
    following: int = 0
    done: int = 0


class Flow:
    """One run's way through its program. `scope` is what all its expressions can name, `deadline` the run's.

    A `finally` may look at the journal for when it began; else nothing is read but what the walk comes by. What is
    folded into the result of a loop's item is taken out of `journal`.
    """

    def __init__(self, program: Program, journal: Journal, scope: Mapping[str, Any], deadline: float) -> None:
        self._journal = journal
        own = {**scope, "nodes": Layer()}
        self.root = Frame(program.root, "", own, deadline, sheltered=False)
        self._inside: dict[str, Any] = {}
        self._now = 0.0

    def next(self, now: float, *, halting: bool = False) -> Next:
        """Decide. `now` is in the seconds that the journal's timers are in. What halts once goes on halting."""
        self._now = now
        found = Next()
        end = self._walk(self.root, found, halting)
        return found if end is None else Next(end=end)

    def _walk(self, frame: Frame, found: Next, halting: bool) -> End | None:
        """What a list needs, or its end: then nothing of it is under way any more."""
        return (self._in_order if frame.block.in_order else self._graph)(frame, found, halting)

    def _in_order(self, frame: Frame, found: Next, halting: bool) -> End | None:
        """Most lists: nothing behind the first node that is not settled matters yet."""
        steps, journal = frame.block.steps, self._journal
        while frame.at < len(steps):
            step = steps[frame.at]
            path = frame.prefix + step.node.id
            entry = journal.get(path)
            if entry is None:
                if halting:
                    return _HALTED
                found.ready.append(Place(step, frame, path))
                return None
            if not _settled(step, entry):
                return self._begun(Place(step, frame, path), entry, found, halting)
            self._settle(frame, step, path, entry)
            frame.at += 1
        return End(output=frame.last)

    def _graph(self, frame: Frame, found: Next, halting: bool) -> End | None:
        inside = Next()
        outcomes = self._outcomes(frame, inside, halting)
        ending = any(isinstance(one, End) and one is not _SETTLED for one in outcomes)
        if ending and not halting:
            # One has failed: the others are halted, and the list ends when they have.
            inside = Next()
            outcomes = self._outcomes(frame, inside, True)
        steps = frame.block.steps
        if not ending and not halting:
            for step, outcome in zip(steps, outcomes, strict=True):
                if outcome is _NOT_BEGUN and all(outcomes[at] is _SETTLED for at in step.after):
                    inside.ready.append(Place(step, frame, frame.prefix + step.node.id))
        found.take(inside)
        if all(one is _SETTLED for one in outcomes):
            return End(output=frame.outputs[steps[-1].node.id])
        if None in outcomes or not (ending or halting):
            return None
        return _worst(one for one in outcomes if isinstance(one, End) and one is not _SETTLED)

    def _outcomes(self, frame: Frame, found: Next, halting: bool) -> list[Any]:
        outcomes: list[Any] = []
        for step in frame.block.steps:
            path = frame.prefix + step.node.id
            entry = self._journal.get(path)
            if entry is None:
                outcomes.append(_NOT_BEGUN)
                continue
            if _settled(step, entry):
                self._settle(frame, step, path, entry)
                outcomes.append(_SETTLED)
            else:
                outcomes.append(self._begun(Place(step, frame, path), entry, found, halting))
        return outcomes

    def _settle(self, frame: Frame, step: Step, path: str, entry: Entry) -> None:
        frame.settle(step, entry)
        if step.blocks:
            self._inside.pop(_attempt_path(path, entry), None)

    def _begun(self, place: Place, entry: Entry, found: Next, halting: bool) -> End | None:
        """Note what a node that is not settled still needs. Gives the end that it forces on its list."""
        match entry.status:
            case SpanStatus.COMPLETED:
                return Stopped(output=entry.output)
            case SpanStatus.FAILED:
                return End(error=entry.error)
            case SpanStatus.CANCELLED:
                return _HALTED
        if entry.state is not None:
            return self._container(place, entry, found, halting)
        self._leaf(place, entry, found, halting)
        return None

    def _leaf(self, place: Place, entry: Entry, found: Next, halting: bool) -> None:
        if entry.status is SpanStatus.RUNNING:
            found.working += 1
            if halting:
                found.pull.append(place.path)
        elif halting:
            found.halt.append(place)
        elif entry.child_status is not None or entry.poked or (entry.wake or FOREVER) <= self._now:
            found.ready.append(place)
        else:
            found.waiting += 1
            found.wake_at(entry.wake)

    def _container(self, place: Place, entry: Entry, found: Next, halting: bool) -> End | None:
        limit = (entry.started or 0.0) + (place.step.node.timeout or FOREVER)
        late = not halting and self._now >= limit
        end = _INSIDE[place.step.node.uses](self, place, entry, found, halting or late)
        if end is None:
            if not (late or halting):
                found.wake_at(limit)
            return None
        if isinstance(end, Stopped) or (isinstance(end, Halted) and not late):
            return end
        found.closes.append(Close(place, end, late=isinstance(end, Halted)))
        return None

    def _one_of(self, place: Place, entry: Entry, found: Next, halting: bool) -> End | None:
        """`branch` and `switch`."""
        taken = tuple(entry.state["taken"]) if entry.state and entry.state["taken"] else None
        if taken is None or taken not in place.step.blocks:
            return End()
        return self._walk(self._frame(place, entry, taken), found, halting)

    def _side_by_side(self, place: Place, entry: Entry, found: Next, halting: bool) -> End | None:
        """`parallel`."""
        names = list(place.step.blocks)
        lists = self._inside.get(_attempt_path(place.path, entry))
        if lists is None:
            lists = _Lists(frames={key: self._new_frame(place, entry, key) for key in names})
            self._inside[_attempt_path(place.path, entry)] = lists
        cancels = place.step.node.with_.get("whenOneFails", "cancel") == "cancel"
        self._walk_all(lists, found, halting, cancels=cancels)
        if lists.frames:
            return None
        if all(end.well for end in lists.ends.values()):
            return End(output={key[-1]: lists.ends[key].output for key in names})
        return _worst(lists.ends[key] for key in names if not lists.ends[key].well)

    def _walk_all(self, lists: _Lists, found: Next, halting: bool, *, cancels: bool) -> None:
        """Walk the lists that are under way; when one ends badly, and that cancels the others, halt these."""
        inside = Next()
        was_bad = lists.bad
        self._walk_open(lists, inside, halting or was_bad, cancels=cancels)
        if lists.bad and not (was_bad or halting):
            inside = Next()
            self._walk_open(lists, inside, True, cancels=cancels)
        found.take(inside)

    def _walk_open(self, lists: _Lists, found: Next, halting: bool, *, cancels: bool) -> None:
        for key, frame in list(lists.frames.items()):
            end = self._walk(frame, found, halting)
            if end is not None:
                lists.over[key] = lists.frames.pop(key)
                lists.ends[key] = end
                lists.bad |= not end.well and (cancels or type(end) is not End)

    def _for_each(self, place: Place, entry: Entry, found: Next, halting: bool) -> End | None:
        key = _attempt_path(place.path, entry)
        loop = self._inside.get(key)
        if loop is None:
            items = entry.state["items"] if entry.state else []
            loop = self._inside[key] = _Items(items=items, results=[None] * len(items))
        written = place.step.node.with_
        limit, goes_on = written.get("maxParallel", 1), written.get("onItemError") == "continue"
        while True:
            self._begin_items(place, entry, loop, limit, halting or loop.bad)
            inside = Next()
            self._walk_all(loop, inside, halting, cancels=not goes_on)
            self._fold(loop, place, entry)
            full = len(loop.frames) >= limit and not (halting or loop.bad)
            if full or loop.following == len(loop.items):
                break
        found.take(inside)
        if loop.frames:
            return None
        if loop.done == len(loop.items):
            return End(output=loop.results)
        return _worst(loop.ends[at] for at in sorted(loop.ends))

    def _begin_items(self, place: Place, entry: Entry, loop: _Items, limit: int, halting: bool) -> None:
        """Open the next items. Of a loop that is halted only those that had begun: they may have to be ended."""
        while loop.following < len(loop.items) and (halting or len(loop.frames) < limit):
            at = loop.following
            frame = self._item_frame(place, entry, at, loop.items[at])
            if not halting or self._has_begun(frame):
                loop.frames[at] = frame
            loop.following += 1

    def _item_frame(self, place: Place, entry: Entry, at: int, item: JSON) -> Frame:
        outer = place.frame
        name = place.step.node.with_.get("as", ITEM)
        scope = {**outer.scope, "nodes": Layer(outer.outputs), "index": at, name: item}
        return self._new_frame(place, entry, ("do",), scope, f"[{at}]")

    def _has_begun(self, frame: Frame) -> bool:
        return any(frame.prefix + step.node.id in self._journal for step in frame.block.steps)

    def _fold(self, loop: _Items, place: Place, entry: Entry) -> None:
        """Take the ends of items into the results: what led to them is not needed any more."""
        goes_on = place.step.node.with_.get("onItemError") == "continue"
        for at, end in list(loop.ends.items()):
            if end.well:
                loop.results[at] = end.output
            elif goes_on and type(end) is End:
                loop.results[at] = {"error": end.error}
            else:
                continue
            loop.done += 1
            del loop.ends[at]
            self._drop(loop.over.pop(at))

    def _repeat(self, place: Place, entry: Entry, found: Next, halting: bool) -> End | None:
        """One round. Whether another follows is for whoever closes it to say."""
        if entry.wake is not None and entry.wake > self._now:
            found.wake_at(entry.wake)
            return _HALTED if halting else None
        state = entry.state or {}
        number = state["round"]
        rounds = self._inside.setdefault(_attempt_path(place.path, entry), {})
        if number not in rounds:
            for over in rounds.values():
                self._drop(over)
            rounds.clear()
            names = {"index": number, "previous": state["previous"]}
            scope = {**place.frame.scope, "nodes": Layer(place.frame.outputs), **names}
            rounds[number] = self._new_frame(place, entry, ("do",), scope, f"[{number}]")
        return self._walk(rounds[number], found, halting)

    def _drop(self, frame: Frame) -> None:
        for step in frame.block.steps:
            self._journal.pop(frame.prefix + step.node.id, None)

    def _try(self, place: Place, entry: Entry, found: Next, halting: bool) -> End | None:
        blocks = place.step.blocks
        end = self._walk(self._frame(place, entry, ("do",)), found, halting)
        if end is not None and type(end) is End and end.error is not None and ("catch",) in blocks:
            catch = self._frame(place, entry, ("catch",), {**place.frame.scope, "error": end.error})
            if not halting or self._has_begun(catch):
                end = self._walk(catch, found, halting)
        if end is None or ("finally",) not in blocks:
            return end
        last = self._finally(place, entry, end)
        closing = self._walk(last, found, halting and self._now >= last.deadline)
        if closing is None:
            if halting:
                found.wake_at(last.deadline)
            return None
        overruled = type(closing) is Stopped or (type(end) is End and not closing.well)
        return closing if overruled else end

    def _finally(self, place: Place, entry: Entry, end: End) -> Frame:
        frames = self._inside.get(_attempt_path(place.path, entry), {})
        if ("finally",) in frames:
            known: Frame = frames["finally",]
            return known
        frame = self._frame(place, entry, ("finally",), {**place.frame.scope, "error": end.error})
        entries = (self._journal.get(frame.prefix + step.node.id) for step in frame.block.steps)
        began = min((one.started for one in entries if one and one.started), default=self._now)
        frame.sheltered = True
        frame.deadline = max(frame.deadline, began + CLEANUP)
        return frame

    def _frame(
        self, place: Place, entry: Entry, block: BlockKey, scope: dict[str, Any] | None = None
    ) -> Frame:
        """The frame of a list that runs once in an attempt of its container."""
        frames: dict[BlockKey, Frame] = self._inside.setdefault(_attempt_path(place.path, entry), {})
        if block not in frames:
            frames[block] = self._new_frame(place, entry, block, scope)
        return frames[block]

    def _new_frame(
        self,
        place: Place,
        entry: Entry,
        block: BlockKey,
        scope: dict[str, Any] | None = None,
        index: str = "",
    ) -> Frame:
        outer = place.frame
        limit = (entry.started or 0.0) + (place.step.node.timeout or FOREVER)
        return Frame(
            place.step.blocks[block],
            f"{_attempt_path(place.path, entry)}{index}/",
            outer.scope if scope is None else scope,
            min(outer.deadline, limit),
            sheltered=outer.sheltered,
        )


_NOT_BEGUN: Final = object()

_INSIDE: Final = {
    "branch": Flow._one_of,
    "switch": Flow._one_of,
    "parallel": Flow._side_by_side,
    "for-each": Flow._for_each,
    "repeat": Flow._repeat,
    "try": Flow._try,
}


def _attempt_path(path: str, entry: Entry) -> str:
    """The second attempt of a container runs its nodes anew: their paths tell it from the first."""
    return path if entry.attempt == 1 else f"{path}~{entry.attempt}"


def _settled(step: Step, entry: Entry) -> bool:
    """Whether the order may go on behind it."""
    match entry.status:
        case SpanStatus.COMPLETED:
            return step.node.uses != "stop"
        case SpanStatus.SKIPPED:
            return True
        case SpanStatus.FAILED:
            return step.node.on_error is OnError.CONTINUE
    return False


def _worst(ends: Iterable[End]) -> End:
    """A `stop` counts more than an error, the first error more than those after it and than being halted."""
    listed = list(ends)
    for kind in (Stopped, End):
        for end in listed:
            if type(end) is kind:
                return end
    return _HALTED


def output_of(entry: Entry | None) -> JSON:
    """What `nodes.<id>` is once the node is settled: a failure that was let pass is `{"error": …}`."""
    if entry is None:
        return None
    return {"error": entry.error} if entry.status is SpanStatus.FAILED else entry.output
