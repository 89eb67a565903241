"""Doing something in the name of whoever asks: as a commit or a moved tag, or refused with the reason."""

from __future__ import annotations

from reconciler.actions.authoring import Request
from reconciler.actions.requests import Action, Done
from reconciler.reconciler import Reconciler
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
    return {"commit": done.commit, "ref": done.ref, "plan": done.plan and done.plan.visible_as_json()}
