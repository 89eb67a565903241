"""What the pusher's terminal shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.gate import problem_lines
from reconciler.git.refs import RefUpdate
from reconciler.landing import Landing
from reconciler.plan_text import connection_lines, table
from reconciler.protection import Refused
from reconciler.steps import Action, Plan, Step
from schemas.pattern import JSON
from schemas.problems import Problem


@dataclass(frozen=True, kw_only=True)
class PushOutcome:
    """`lines` go to the pusher's terminal. `refused`: ref → short reason; empty when all was accepted.

    `plan` is what an accepted one has made of what is live, `reviews` are of its other branches; `problems` are
    those that a refused one was refused for.
    """

    lines: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    plan: Plan | None = None
    problems: tuple[Problem, ...] = ()
    reviews: tuple[Review, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Review:
    """About a branch that is not live: what speaks against it, and what it would change were it merged.

    `plan` is None where it cannot be merged.
    """

    lines: tuple[str, ...]
    plan: Plan | None = None
    problems: tuple[Problem, ...] = ()


def refusal(
    updates: Sequence[RefUpdate], reasons: Mapping[str, str], problems: Sequence[Problem] = ()
) -> PushOutcome:
    """A push is one whole: when one ref cannot move, none does."""
    first = next(iter(reasons))
    others = f"not moved, because {first} was refused"
    refused = {update.ref: reasons.get(update.ref, others) for update in updates}
    lines = problem_lines(problems) or [f"{ref}: {reason}" for ref, reason in reasons.items()]
    return PushOutcome(lines=tuple(lines), refused=refused, problems=tuple(problems))


def forbidden(updates: Sequence[RefUpdate], refused: Refused, faults: Mapping[str, str]) -> PushOutcome:
    """Of a push that moves what its pusher may not; `faults` are the reasons why other refs cannot move, either."""
    others = {ref: reason for ref, reason in faults.items() if ref not in refused.reasons}
    outcome = refusal(updates, {**refused.reasons, **others})
    lines = (*(f"{ref}: {reason}" for ref, reason in others.items()), *refused.lines)
    return PushOutcome(lines=lines, refused=outcome.refused)


def review_lines(branch: str, default_branch: str, problems: Sequence[Problem], plan: Plan) -> list[str]:
    """About a branch that is not live: what would be wrong with its merge, or what that would change."""
    verb = f"merge of this into {default_branch}"
    warnings = problem_lines(problems)
    if warnings:
        return [f"{branch}: a {verb} would be refused, {warnings[0]}", *warnings[1:]]
    return f"{branch}: a {verb}: {plan.as_text()}".split("\n")


def live_lines(landing: Landing, milliseconds: float, hooks: Mapping[str, str]) -> list[str]:
    """One line for each deployment that something happened to, and for each new version that none has.

    `hooks`: deployment → webhook URL, for those that have one.
    """
    visible = [step for step in landing.plan.looked_at if step.writes]
    rows = [_row(step, f"live in {milliseconds:.0f} ms", hooks) for step in visible]
    deployed = {step.after.pattern for step in visible if step.after}
    newest = {first.version.pattern: first for first in landing.firsts}
    alone = sorted(newest.keys() - deployed)
    rows += [(name, f"v{newest[name].number}", "frozen, not deployed") for name in alone]
    return [*(table(rows) if rows else []), *connection_lines(_connections(landing))]


def _connections(landing: Landing) -> JSON:
    return {"connections": [change.as_json() for change in landing.plan.connections]}


def old_problem_lines(problems: Sequence[Problem]) -> list[str]:
    """Of those that came in behind the gate and are there still; a push that adds none is not refused for them."""
    return ["not mended yet:", *problem_lines(problems)] if problems else []


def _row(step: Step, live: str, hooks: Mapping[str, str]) -> tuple[str, str, str]:
    state = step.after.state if step.after else ""
    match step.action:
        case Action.STALLED:
            words = f"stalled: {step.reason.message if step.reason else ''}"
        case Action.UNCHANGED:
            words = "no longer stalled"
        case Action.UNDEPLOY:
            return step.name, str(step.version_from or ""), "undeployed"
        case _ if state != "active":
            words = state
        case Action.CREATE if step.name in hooks:
            words = f"{live}  {hooks[step.name]}"
        case _:
            words = live
    return step.name, step.versions, words
