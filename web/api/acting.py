"""Doing something in the name of whoever asks: as a commit or a moved tag, or refused with the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol
from urllib.parse import urlsplit

from reconciler.actions.authoring import Author, Request
from reconciler.actions.requests import Action, ActionRefusedError, Why
from reconciler.reconciler import Done, RepositoryLostError
from reconciler.snapshot import TooManyDocumentsError
from reconciler.steps import Plan, problem_json
from schemas.pattern import JSON
from schemas.problems import Problem
from web.api.resource import Call
from web.problems import Kind, Refusal

MOST_PROBLEMS = 100

KINDS = {
    Why.UNKNOWN: Kind.NOT_FOUND,
    Why.CONFLICT: Kind.CONFLICT,
    Why.INVALID: Kind.GATE,
    Why.UNFIT: Kind.UNFIT,
    Why.FORBIDDEN: Kind.FORBIDDEN,
}


class Actor(Protocol):
    """The reconciler, as far as actions need it."""

    def act(self, organisation: str, request: Request) -> Done: ...


class Acting:
    def __init__(self, reconciler: Actor, public_url: str) -> None:
        self._reconciler = reconciler
        self._host = urlsplit(public_url).hostname or "localhost"

    def do(self, call: Call, action: Action, name: str, message: str) -> Done:
        """Raises Refusal."""
        user, admin = call.identity.user, call.identity.actor.admin
        author = Author(name=user, email=f"{user}@{self._host}", admin=admin)
        request = Request(name=name, action=action, author=author, message=message)
        try:
            return self._reconciler.act(call.identity.organisation, request)
        except ActionRefusedError as refused:
            problems = [
                *problems_json(refused.problems),
                *({"path": "parameters", "message": reason} for reason in refused.reasons),
            ]
            raise Refusal(KINDS[refused.why], str(refused), problems=problems) from None
        except TooManyDocumentsError as error:
            raise Refusal(Kind.GATE, error.reason.message) from None
        except RepositoryLostError as error:
            raise Refusal(Kind.UNAVAILABLE, str(error)) from None


def done_json(done: Done) -> dict[str, JSON]:
    return {"commit": done.commit, "ref": done.ref, "plan": done.plan and _plan_json(done.plan)}


def problems_json(problems: tuple[Problem, ...]) -> list[JSON]:
    return [problem_json(problem) for problem in problems[:MOST_PROBLEMS]]


def _plan_json(plan: Plan) -> JSON:
    """Without what stays as it is: that may be thousands of deployments."""
    return replace(plan, looked_at=plan.visible, settled=()).as_json()
