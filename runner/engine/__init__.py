"""What a run does next: a function of its program, its journal, the time, and whether it is to end.

The journal maps a node's path to what is known of it; a path that is missing has not begun. The path of a node in
round 3 of a loop is `loop[3]/node`, that of one in a container's second attempt `container~2/node`.

A list of nodes at run time is a `Frame`. Frames, and what has come of the loops so far, can be derived from the
journal at any time: they are kept because a loop of 10,000 items must not be looked through at each of its steps.

A list comes to its end well, with an error, because a `stop` ended the whole run, or because it was told to end
early (*halting*: the run is cancelled or out of time, a container's `timeout` is over, a node beside it failed).
What is halted begins nothing more but the `finally` of every `try` that it had entered.
"""

from runner.engine.decision import Close, End, Halted, Next, Stopped
from runner.engine.flow import Flow
from runner.engine.frames import Frame, Place
from runner.engine.journal import FOREVER, Entry, Journal, output_of

__all__ = [
    "FOREVER",
    "Close",
    "End",
    "Entry",
    "Flow",
    "Frame",
    "Halted",
    "Journal",
    "Next",
    "Place",
    "Stopped",
    "output_of",
]
