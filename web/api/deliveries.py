"""Calls of webhooks: those that started runs, and those that were refused; sending one again."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import orjson

from schemas.pattern import JSON
from schemas.webhook_rules import LARGEST_BODY
from store import admission, deliveries
from store.admission import Answer as Verdicts
from store.database import Connection, Database
from store.deliveries import Delivery
from store.deployments import get_deployment
from store.ids import new_id
from store.run_reads import is_run_id
from store.runs import NewRun
from web.api.deployments import find_deployment, no_deployment
from web.api.encoding import rfc3339
from web.api.query import DEFAULT_LIMIT, Parser, flag, limit, run_id
from web.api.resource import Call
from web.api.runs import Runs
from web.api.starting import Ring, changing, check_admitted, check_open
from web.contents import Contents
from web.hooks.bodies import Body, understood, unpacked
from web.hooks.call import trigger_of
from web.hooks.fields import fields, first, gathered
from web.hooks.gate import Gate
from web.hooks.refusal import Refusal as HookRefusal
from web.problems import Kind, Refusal, not_found

_PARTS = ("method", "path", "query", "headers", "body", "encoding", "address")

LIST_QUERY: Mapping[str, Parser] = {"accepted": flag, "cursor": run_id, "limit": limit}


class Deliveries:
    def __init__(self, database: Database, contents: Contents, runs: Runs, ring: Ring) -> None:
        self._database = database
        self._contents = contents
        self._runs = runs
        self._ring = ring

    def list(self, call: Call) -> JSON:
        """Of one deployment, the newest first."""
        most = call.query["limit"] or DEFAULT_LIMIT
        with self._database.connection() as connection:
            deployment = find_deployment(connection, call)
            found = deliveries.list_deliveries(
                connection,
                deployment.id,
                accepted=call.query["accepted"],
                before=call.query["cursor"],
                limit=most + 1,
            )
        more = len(found) > most
        return {"items": [_brief(one) for one in found[:most]], "next": found[most - 1].id if more else None}

    def one(self, call: Call) -> JSON:
        with self._database.connection() as connection:
            found = _find(connection, call)
        return {**_brief(found), "request": _request(found)}

    def replay(self, call: Call) -> JSON:
        """A run on what is live now, whatever became of the call then: somebody vouches for it."""
        organisation = call.identity.organisation
        with self._database.transaction() as connection:
            found = _find(connection, call)
            run = self._run(connection, call, found)
            verdict = admission.admit(connection, [run])[run.id]
            check_admitted(verdict, found.deployment)
            if not verdict.accepted:
                raise changing()
            answer = self._runs.brief(connection, organisation, run.id)
        self._ring([*([run.id] if verdict.answer is Verdicts.PENDING else []), *verdict.ring])
        return answer

    def _run(self, connection: Connection, call: Call, found: Delivery) -> NewRun:
        deployment = get_deployment(connection, call.identity.organisation, found.deployment)
        if deployment is None:
            raise no_deployment(found.deployment)
        check_open(deployment)
        assert deployment.version is not None, "what is active has a version"
        pattern = self._contents.get(connection, deployment.version.version_id).pattern
        if pattern.webhook is None:
            raise Refusal(Kind.NOT_HERE, f"What is live of {found.deployment} has no webhook any more.")
        gate = Gate(pattern, pattern.webhook)
        try:
            trigger = _again(found, gate)
        except HookRefusal as refusal:
            raise Refusal(Kind.INVALID_INPUT, refusal.detail, problems=refusal.problems) from None
        return NewRun(
            id=new_id(),
            deployment_id=deployment.id,
            kind="webhook",
            trigger=trigger,
            actor=call.identity.user,
        )


def _find(connection: Connection, call: Call) -> Delivery:
    text = call.path["id"].lower()
    found = None
    if is_run_id(text):
        found = deliveries.find(connection, call.identity.organisation, text)
    if found is None:
        raise not_found(f"There is no delivery {text!r:.80}. `weft hooks NAME` lists them.")
    return found


def _again(found: Delivery, gate: Gate) -> str:
    """The trigger of one more run. Raises the web hook's Refusal for a body that the live version does not take."""
    if found.trigger is not None:
        trigger = orjson.loads(found.trigger)
        gate.check_body(found.deployment, trigger["method"], Body(trigger["body"], None))
        return orjson.dumps({**trigger, "replayed": found.id}).decode()
    if found.body is None:
        raise Refusal(Kind.CONFLICT, "The body of this call was not kept: it was too large, or cut off.")
    request, body = _understood(found, gate.webhook.max_body)
    gate.check_body(found.deployment, request["method"], body)
    return trigger_of(request, body, address=found.address, replayed=found.id)


def _understood(found: Delivery, limit: int) -> tuple[dict[str, JSON], Body]:
    """What a call that was refused would have given to a run."""
    written = found.request
    named = gathered((name, value) for name, value in written["headers"])
    plain = unpacked(bytes(found.body or b""), first(named.get("content-encoding")), limit)
    body = understood(first(named.get("content-type")), plain)
    query = fields(written["query"].encode("latin-1"))
    request = {"method": written["method"], "path": written["path"], "query": query, "headers": named}
    return request, body


def _brief(found: Delivery) -> dict[str, JSON]:
    trigger = None if found.trigger is None else orjson.loads(found.trigger)
    came = found.request or trigger or {}
    accepted = found.request is None
    return {
        "id": found.id,
        "deployment": found.deployment,
        "at": rfc3339(found.at),
        "accepted": accepted,
        "status": found.status,
        "reason": found.reason,
        "detail": found.detail,
        "method": came.get("method"),
        "path": came.get("path"),
        "address": came.get("address") if accepted else found.address,
        **{key: came[key] for key in ("verified", "unverified") if key in came},
        "run": None if found.run is None else {"id": found.run, "status": found.run_status},
        "more": found.more,
    }


def _request(found: Delivery) -> dict[str, JSON]:
    """As nodes see it; a body that nobody understood as text, or as Base64."""
    if found.trigger is not None:
        trigger = orjson.loads(found.trigger)
        return {key: trigger.get(key) for key in _PARTS if key in trigger}
    try:
        request, body = _understood(found, LARGEST_BODY)
    except HookRefusal:
        content = bytes(found.body or b"")
        written = {**found.request, "headers": gathered((n, v) for n, v in found.request["headers"])}
        return {**written, "body": base64.b64encode(content).decode(), "encoding": "base64"}
    return {**request, "body": body.value, **({"encoding": body.encoding} if body.encoding else {})}
