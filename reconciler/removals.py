"""The guard against mass removal: pure. A wrong merge or an emptied folder must not stop everything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from reconciler.resolve import Reason
from reconciler.steps import Action, Step
from schemas.problems import Problem

MASS_REMOVAL: Final = "mass-removal"
TRAILER: Final = "Weft-Allow-Removal: yes"

FREE: Final = 2  # deployments that may go without asking, of however few
MOST: Final = 10  # deployments that may go, of however many
PART: Final = 4  # of fewer, one in so many
NAMED: Final = 5

_TRAILER = re.compile(r"weft-allow-removal:[ \t]*yes[ \t]*", re.IGNORECASE)
_HINT = (
    f"Bring the files back, or end the last commit's message with the line `{TRAILER}` (git commit --amend)."
)


def allows_removal(message: str) -> bool:
    """Whether the trailer stands in the last paragraph of a commit's message, on a line of its own."""
    paragraphs = re.split(r"\n[ \t]*\n", message.replace("\r\n", "\n").strip())
    return any(_TRAILER.fullmatch(line) for line in paragraphs[-1].split("\n"))


def too_many_removals(steps: Sequence[Step], staying: int, *, nothing_left: bool) -> Reason | None:
    """Why a commit that removes so much is not believed. `nothing_left`: it holds no documents at all.

    `staying`: deployments besides those of `steps`, which nothing happens to.

    More than MOST, or more than one in PART of what is deployed, but never FREE or fewer, unless nothing is left.
    """
    removed = [step.name for step in steps if step.action == Action.UNDEPLOY]
    if not removed or (len(removed) <= FREE and not nothing_left):
        return None
    total = staying + sum(_is_deployed(step) for step in steps)
    if not nothing_left and len(removed) <= MOST and len(removed) * PART <= total:
        return None
    more = f" and {len(removed) - NAMED} more" if len(removed) > NAMED else ""
    names = f"{', '.join(removed[:NAMED])}{more}"
    emptied = " It holds no documents at all." if nothing_left else ""
    message = f"This commit would undeploy {len(removed)} of {total} deployments: {names}.{emptied}"
    return Reason(code=MASS_REMOVAL, message=f"{message} {_HINT}")


def removal_problems(steps: Iterable[Step], was: Callable[[str], Reason | None]) -> list[Problem]:
    """What speaks against a push whose removals are held back. Those that were before it are not its doing.

    `was` gives why a deployment is stalled already.
    """
    for step in steps:
        if not is_held(step.reason) or is_held(was(step.name)):
            continue
        assert step.reason is not None
        message = step.reason.message.removesuffix(f" {_HINT}")
        return [Problem(path="deployments", line=1, column=1, code=MASS_REMOVAL, message=message, hint=_HINT)]
    return []


def is_held(reason: Reason | None) -> bool:
    return reason is not None and reason.code == MASS_REMOVAL


def _is_deployed(step: Step) -> bool:
    return step.before is not None and step.before.state not in ("undeployed", "archived")
