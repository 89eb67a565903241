"""What the reconciler says no with, as the problem document that answers a request."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.actions.requests import ActionRefusedError, Why
from reconciler.git.errors import GitError
from reconciler.reconciler import RepositoryLostError
from reconciler.session import LostVersionError
from reconciler.snapshot import TooManyDocumentsError
from reconciler.steps import problem_json
from schemas.pattern import JSON
from schemas.problems import Problem
from web.problems import Kind, Refusal, not_found

log = logging.getLogger(__name__)

MOST_PROBLEMS = 100

KINDS = {
    Why.UNKNOWN: Kind.NOT_FOUND,
    Why.CONFLICT: Kind.CONFLICT,
    Why.INVALID: Kind.GATE,
    Why.UNFIT: Kind.UNFIT,
    Why.UNMERGEABLE: Kind.UNMERGEABLE,
    Why.FORBIDDEN: Kind.FORBIDDEN,
}


@contextmanager
def doing() -> Iterator[None]:
    """Round what somebody wants done, or wants to know of what may be done."""
    try:
        yield
    except ActionRefusedError as refused:
        raise _refusal(refused) from None
    except TooManyDocumentsError as error:
        raise Refusal(Kind.GATE, error.reason.message) from None
    except GitError as error:
        raise Refusal(Kind.UNAVAILABLE, str(error)) from None


@contextmanager
def reading(organisation: str) -> Iterator[None]:
    """Round what somebody wants to know of the repository."""
    try:
        yield
    except (RepositoryLostError, LostVersionError) as error:
        raise Refusal(Kind.UNAVAILABLE, str(error)) from None
    except GitError as error:
        log.warning("repository_unreadable", extra={"organisation": organisation, "error": str(error)})
        raise not_found(f"{organisation} has no repository that can be read: push one first.") from None


def problems_json(problems: tuple[Problem, ...]) -> list[JSON]:
    """At most MOST_PROBLEMS of them."""
    return [problem_json(problem) for problem in problems[:MOST_PROBLEMS]]


def _refusal(refused: ActionRefusedError) -> Refusal:
    kind, problems = KINDS[refused.why], problems_json(refused.problems)
    if refused.why is Why.UNFIT:
        problems += [{"path": "parameters", "message": reason} for reason in refused.reasons]
        return Refusal(kind, str(refused), problems=problems)
    extra = {"reasons": list(refused.reasons)} if refused.reasons else None
    return Refusal(kind, str(refused), problems=problems, extra=extra)
