"""`try`: what fails is caught, and whatever happens, `finally` runs."""

from __future__ import annotations

from typing import Final

from runner.engine.decision import End, Halted, Next, Stopped
from runner.engine.frames import Container, Frame
from runner.engine.walker import Walker

CLEANUP: Final = 300.0
"""Seconds that a `finally` has at least, whatever time-out is over around it."""


def guarded(walker: Walker, container: Container, found: Next, halting: bool) -> End | None:
    blocks = container.place.step.blocks
    end = walker.walk(walker.frame(container, ("do",)), found, halting)
    if end is not None and type(end) is End and end.error is not None and ("catch",) in blocks:
        catch = walker.frame(container, ("catch",), error=end.error)
        if not halting or walker.has_begun(catch):
            end = walker.walk(catch, found, halting)
    if end is None or ("finally",) not in blocks:
        return end
    last = _finally(walker, container, end)
    over = walker.now >= last.deadline
    closing = walker.walk(last, found, halting and over)
    if closing is None:
        if halting and not over:  # else a `finally` in it has still some time of its own
            found.wake_at(last.deadline)
        return None
    # What was told to end does so: nothing that its `finally` says makes it end well, or with another error.
    overruled = type(closing) is Stopped or (type(end) is End and not closing.well)
    return closing if overruled and type(end) is not Halted else end


def _finally(walker: Walker, container: Container, end: End) -> Frame:
    """It is not cancelled with the run, and has some time of its own from when it began."""
    frames = walker.inside.get(container.key, {})
    if ("finally",) in frames:
        known: Frame = frames["finally",]
        return known
    frame = walker.frame(container, ("finally",), error=end.error)
    entries = (walker.journal.get(frame.prefix + step.node.id) for step in frame.block.steps)
    began = min((one.started for one in entries if one and one.started), default=walker.now)
    # What a replay keeps of it began in another run.
    began = max(began, container.entry.started or 0.0)
    frame.sheltered = True
    frame.deadline = max(frame.deadline, began + CLEANUP)
    return frame
