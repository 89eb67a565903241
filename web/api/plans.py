"""What a commit would make of what is live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from reconciler.repository import UnknownRevisionError
from reconciler.steps import Plan
from schemas.pattern import JSON
from web.api.query import Parser, revision
from web.api.resource import Call
from web.problems import not_found

PLAN_QUERY: Mapping[str, Parser] = {"base": revision, "head": revision}


class Planner(Protocol):
    """The reconciler, as far as the API needs it."""

    def plan(self, organisation: str, base: str | None, head: str | None) -> Plan: ...


class Plans:
    def __init__(self, reconciler: Planner) -> None:
        self._reconciler = reconciler

    def plan(self, call: Call) -> JSON:
        try:
            plan = self._reconciler.plan(call.identity.organisation, call.query["base"], call.query["head"])
        except UnknownRevisionError as error:
            raise not_found(f"{error} Push it first.") from None
        return plan.as_json()
