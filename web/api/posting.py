"""What is posted to a run: events for its `wait` nodes, answers for its `approve` nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from schemas.json_schemas import violations
from schemas.pattern import JSON
from store import approvals, run_events
from store.approvals import Asked
from store.database import Connection, Database
from store.run_events import APPROVAL
from web.api.query import wrong
from web.api.resource import Call
from web.api.runs import check_may_touch, find_run
from web.api.starting import Ring
from web.auth import Identity, Role
from web.problems import Kind, Refusal

BODY: Final = ("event", "body", "approved", "node", "form")

LONGEST_NAME: Final = 200


class Posting:
    def __init__(self, database: Database, ring: Ring) -> None:
        self._database = database
        self._ring = ring

    def post(self, call: Call) -> JSON:
        """202 once it is durable. An event is kept until a node takes it; an answer needs a node that asks."""
        if ("event" in call.body) == ("approved" in call.body):
            message = 'send either "event" (and "body"), or "approved" (and "node", "form")'
            raise wrong("keys of the body", [{"path": "", "message": message}])
        with self._database.connection() as connection:
            run = find_run(connection, call)
            if "event" in call.body:
                check_may_touch(call, run)
                name, body = _event(call)
            else:
                name, body = APPROVAL, _answer(connection, call, run.id)
            ring = run_events.post(connection, run.id, name, body, call.identity.user)
        if ring is None:
            raise Refusal(Kind.RUN_ENDED, "This run has ended: nothing of it waits any more.")
        self._ring(ring)
        return {"run": run.id, "event": name, "body": body, "actor": call.identity.user}


def _event(call: Call) -> tuple[str, JSON]:
    name = call.body["event"]
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or "\0" in name:
        message = f"write a name of at most {LONGEST_NAME} characters, without null characters"
        raise wrong("keys of the body", [{"path": "event", "message": message}])
    if name.startswith("weft."):
        message = "names that begin with `weft.` are Weft's own: write another one"
        raise wrong("keys of the body", [{"path": "event", "message": message}])
    return name, call.body.get("body")


def _answer(connection: Connection, call: Call, run: str) -> JSON:
    approved = call.body["approved"]
    if not isinstance(approved, bool):
        raise wrong("keys of the body", [{"path": "approved", "message": "write true or false"}])
    asked = _chosen(approvals.asked(connection, run), call.body.get("node"))
    groups = approvals.groups(connection, call.identity.organisation)
    _may_answer(asked, call.identity, groups, approvals.requester(connection, run))
    form = call.body.get("form")
    if approved and asked.asks.get("form") is not None:
        reasons = violations(asked.asks["form"], form)
        if reasons and form is None:
            reasons = ("the node asks for a form, and there is none", *violations(asked.asks["form"], {}))
        if reasons:
            raise wrong("values", [{"path": "form", "message": reason} for reason in reasons])
    return {"node": asked.path, "approved": approved, "form": form}


def _chosen(asked: Sequence[Asked], wanted: JSON) -> Asked:
    """The node that the answer is for: the one of that path or id, or the only one."""
    fits = [one for one in asked if wanted is None or wanted in (one.path, one.path.rsplit("/", 1)[-1])]
    if len(fits) == 1:
        return fits[0]
    if not asked:
        raise Refusal(Kind.CONFLICT, "Nothing of this run waits for an approval.")
    names = ", ".join(one.path for one in asked)
    detail = f'Several nodes wait for an approval: name one of them as "node": {names}.'
    if not fits:
        detail = f"{wanted!r:.80} does not wait for an approval; these do: {names}."
    raise Refusal(Kind.CONFLICT, detail)


def _may_answer(
    asked: Asked, who: Identity, groups: Mapping[str, Sequence[str]], requester: str | None
) -> None:
    approvers = asked.asks["approvers"] or []
    if asked.asks["notRequester"] and who.user == requester:
        detail = "You started this run: somebody else has to answer (the pattern says `notRequester`)."
        raise Refusal(Kind.FORBIDDEN, detail)
    if not approvers:
        if who.role in (Role.OPERATOR, Role.ADMIN):
            return
        raise Refusal(Kind.FORBIDDEN, "Where the pattern names no `approvers`, operators and admins answer.")
    if any(who.user in groups.get(name, (name,)) for name in approvers):
        return
    raise Refusal(Kind.FORBIDDEN, f"This is for {', '.join(map(str, approvers))} to answer.")
