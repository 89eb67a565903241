"""What a commit would make of what is live."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.git.errors import UnknownRevisionError, UnmergeableError
from reconciler.proposal import UnreadableCommitError
from reconciler.reconciler import Reconciler
from reconciler.snapshot import TooManyDocumentsError
from reconciler.steps import problem_json
from schemas.pattern import JSON
from web.api.query import Parser, revision
from web.api.refusals import reading
from web.api.resource import Call
from web.problems import Kind, Refusal, not_found

PLAN_QUERY: Mapping[str, Parser] = {"base": revision, "head": revision}


class Plans:
    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    def plan(self, call: Call) -> JSON:
        organisation = call.identity.organisation
        with reading(organisation):
            try:
                return self._reconciler.plan(organisation, call.query["base"], call.query["head"]).as_json()
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
