"""What a pull request is told: pure, from the plan, or from why there is none. No plan is a failure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.forges.forge import Status
from reconciler.gate import problem_lines
from reconciler.proposal import Proposed
from schemas.problems import Problem

LONGEST_REASONS = 20_000  # characters; the plan has up to 60,000, and a comment 65,536


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`status` and `description` for the commit, `text` (Markdown) for the comment."""

    status: Status
    description: str
    text: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.status}\n{self.description}\n{self.text}".encode()).hexdigest()


def verdict_of(found: Proposed, branch: str) -> Verdict:
    """`branch` is the one that it would be merged into."""
    if found.plan is None or found.problems:
        return _refused(found.problems, branch)
    text = found.plan.as_markdown()
    if found.tested is not None:
        text = f"{text.rstrip()}\n\n**Weft tests:** {found.tested}\n"
    return Verdict(status=Status.SUCCESS, description=found.plan.summary, text=text)


def unplanned(why: str) -> Verdict:
    """It cannot be merged, say."""
    return Verdict(
        status=Status.FAILURE,
        description=_line(why),
        text="\n".join(["**Weft plan:** there is none.", "", *_fenced([_line(why)])]) + "\n",
    )


def elsewhere(base: str, branch: str) -> Verdict:
    """It goes to another branch than the one that is live."""
    goes, live = _line(base), "not to {}: merging it changes nothing that is live."
    code = f"`{goes.replace('`', '')}`, {live.format(f'`{branch}`')}"
    return Verdict(
        status=Status.SUCCESS,
        description=f"this goes to {goes}, {live.format(branch)}",
        text=f"**Weft plan:** this goes to {code}\n",
    )


def _refused(found: Sequence[Problem], branch: str) -> Verdict:
    heading, *lines = map(_line, problem_lines(found))
    said = heading.rstrip(":")
    text = [f"**Weft plan:** merging this into `{branch}` would be refused: {said}.", "", *_fenced(lines)]
    return Verdict(status=Status.FAILURE, description=f"{said}: {lines[0]}", text="\n".join(text) + "\n")


def _fenced(lines: Sequence[str]) -> list[str]:
    """By more backticks than any line has in a row, so that nothing in them ends it."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    kept: list[str] = []
    size = 0
    for line in lines:
        size += len(line)
        if size > LONGEST_REASONS:
            kept.append(f"… and {len(lines) - len(kept)} more; `weft validate` shows them all")
            break
        kept.append(line)
    return [f"{fence}text", *kept, fence]


def _line(text: str) -> str:
    """One line without control characters, whatever it quotes."""
    return "".join(char if char.isprintable() else " " for char in text)
