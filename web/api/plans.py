"""What a commit would make of what is live."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from reconciler.git.errors import GitError, UnknownRevisionError, UnmergeableError
from reconciler.proposal import UnreadableCommitError
from reconciler.reconciler import RepositoryLostError
from reconciler.session import LostVersionError
from reconciler.snapshot import TooManyDocumentsError
from reconciler.steps import Plan, problem_json
from schemas.pattern import JSON
from web.api.query import Parser, revision
from web.api.resource import Call
from web.problems import Kind, Refusal, not_found

log = logging.getLogger(__name__)

PLAN_QUERY: Mapping[str, Parser] = {"base": revision, "head": revision}


class Planner(Protocol):
    """The reconciler, as far as plans need it."""

    def plan(self, organisation: str, base: str | None, head: str | None) -> Plan: ...


class Plans:
    def __init__(self, reconciler: Planner) -> None:
        self._reconciler = reconciler

    def plan(self, call: Call) -> JSON:
        organisation = call.identity.organisation
        try:
            plan = self._reconciler.plan(organisation, call.query["base"], call.query["head"])
        except UnknownRevisionError as error:
            raise not_found(f"{error} Push it first.") from None
        except UnmergeableError as error:
            files = [{"path": path, "message": "both sides changed it"} for path in error.files]
            raise Refusal(Kind.UNMERGEABLE, str(error), problems=files) from None
        except UnreadableCommitError as error:
            raise Refusal(
                Kind.UNREADABLE, str(error), problems=[*map(problem_json, error.problems)]
            ) from None
        except TooManyDocumentsError as error:
            raise Refusal(Kind.INVALID, error.reason.message) from None
        except (RepositoryLostError, LostVersionError) as error:
            raise Refusal(Kind.UNAVAILABLE, str(error)) from None
        except GitError as error:
            log.warning("no_plan", extra={"organisation": organisation, "error": str(error)})
            raise not_found(f"{organisation} has no repository that can be read: push one first.") from None
        return plan.as_json()
