"""Doing something in the name of whoever asks: as a commit or a moved tag, or refused with the reason."""

from __future__ import annotations

from dataclasses import replace

from reconciler.actions.authoring import Request
from reconciler.actions.requests import Action, Done
from reconciler.reconciler import Reconciler
from reconciler.steps import Plan
from schemas.pattern import JSON
from web.api.refusals import doing
from web.api.resource import Call


class Acting:
    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    def do(self, call: Call, action: Action, name: str, message: str) -> Done:
        """Raises Refusal."""
        request = Request(name=name, action=action, actor=call.identity.actor, message=message)
        with doing():
            return self._reconciler.act(call.identity.organisation, request)


def done_json(done: Done) -> dict[str, JSON]:
    return {"commit": done.commit, "ref": done.ref, "plan": done.plan and plan_json(done.plan)}


def plan_json(plan: Plan) -> dict[str, JSON]:
    """What stays as it is may be thousands of deployments: they are counted only."""
    visible = replace(plan, looked_at=plan.visible, settled=())
    return {**visible.as_json(), "summary": plan.summary}
