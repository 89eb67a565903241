"""`ANY /hooks/{token}[/…]` becomes a run. A raw ASGI function: this is the hot path.

The trigger that a run sees: `kind`, `method`, `path` (behind the token), `query` and `headers` (texts, or lists
of them where a name came twice; header names in lower case; credentials are left out), `body` (parsed JSON, a
form's fields, or text; bytes that are no UTF-8 as base64 with `encoding: base64`), `address`, `time`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from schemas.pattern import JSON
from schemas.webhook import Respond
from store.admission import Answer, Verdict
from store.answers import State
from store.database import StoreUnavailable
from store.deployments import Route
from store.ids import new_id
from store.runs import NewRun
from web.clients import Clients
from web.hooks import replies
from web.hooks.bodies import Reader, understood, unpacked
from web.hooks.call import Call, Receive, Scope, trigger_of
from web.hooks.callers import Callers
from web.hooks.limiting import Limiting
from web.hooks.outcomes import Outcomes
from web.hooks.refusal import Reason, Refusal, busy
from web.hooks.refused import RefusedCalls
from web.hooks.replies import Reply
from web.hooks.routes import Door, Routes
from web.hooks.signers import Signers
from web.intake import Intake, Overloaded

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PREFIX: Final = "/hooks/"
PINGS: Final = frozenset({b"ping", b"ping="})

LOOK_PATIENCE: Final = 2.0
"""Seconds in which the database has to say whether a URL has become known meanwhile."""

UNREAD: Final = frozenset({Reason.TOO_LARGE, Reason.CUT})
"""Reasons to refuse a call that are reasons not to read its body."""

NOT_KEPT: Final = frozenset({Reason.BUSY, Reason.LOST})
"""What was refused for these was not heard, or was accepted before."""

_UNKNOWN: Final = "This URL belongs to no live deployment with a webhook."
_REPEATED: Final = "An earlier call with the same key has started a run: its answer was given."


class Hooks:
    """The ASGI application for everything below `/hooks/`."""

    def __init__(
        self,
        routes: Routes,
        intake: Intake,
        callers: Callers,
        *,
        outcomes: Outcomes,
        refused: RefusedCalls,
        clients: Clients,
        signers: Signers,
        limiting: Limiting,
        public_url: str,
    ) -> None:
        self._routes = routes
        self._intake = intake
        self._callers = callers
        self._outcomes = outcomes
        self._refused = refused
        self._clients = clients
        self._signers = signers
        self._limiting = limiting
        self._reader = Reader()
        self._runs = f"{public_url}/api/v1/runs/"
        self._look: asyncio.Future[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token, slash, rest = scope["path"][len(PREFIX) :].partition("/")
        call = Call(scope, receive, slash + rest)
        try:
            reply = await self._reply(call, token)
        except Refusal as refusal:
            reply = await self._refuse(call, refusal)
        finally:
            self._let_go(call)
        if reply is not None:
            await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
            await send({"type": "http.response.body", "body": reply.body})

    async def _reply(self, call: Call, token: str) -> Reply | None:
        """None: the caller has hung up."""
        door = await self._door(token)
        call.enter(door)
        route, gate = door
        call.address = self._clients.address(call.scope)
        if gate.is_restricted:
            gate.check_address(route.name, call.address)
        if call.scope["method"] == "GET" and call.scope["query_string"] in PINGS:
            return _ping(route)
        _check_open(route, call.method, gate.webhook.methods)
        verify, rate = gate.webhook.verify, gate.webhook.rate_limit
        if rate is not None and verify is None:
            await self._limiting.check(rate, route.deployment_id, route.name)
        call.raw = await self._reader.read(call.receive, call.header("content-length"), gate.webhook.max_body)
        if verify is not None:
            challenge = await self._signers.check(call, verify, route)
            if challenge is not None:
                self._refused.keep(call.refused(Reason.CHALLENGE, "The sender asked whose this URL is."))
                return replies.text(challenge)
            if rate is not None:
                # Whoever is not who they should be uses up nobody's share.
                await self._limiting.check(rate, route.deployment_id, route.name)
        if gate.webhook.respond is not Respond.IMMEDIATE:
            return await self._wait(call, door)
        run = _run(call, door)
        verdict = await self._accept(run, door)
        if verdict.first is not None:
            self._refused.keep(call.refused(Reason.REPEATED, _REPEATED, verdict.first))
            return replies.again(replies.accepted(verdict.first, "pending", self._runs + verdict.first))
        return replies.accepted(run.id, verdict.answer, self._runs + run.id)

    async def _wait(self, call: Call, door: Door) -> Reply | None:
        run = _run(call, door)
        own = run.id
        with self._callers.expecting(own) as outcome:
            verdict = await self._accept(run, door)
            first = verdict.first
            if first is not None:
                self._refused.keep(call.refused(Reason.REPEATED, _REPEATED, first))
            # There may be thousands who wait: none of them keeps its body in memory for that.
            del run
            self._let_go(call)
            if first is None:
                return await self._outcome(call, own, outcome, door)
        with self._callers.expecting(first) as outcome:
            await self._callers.look([first])
            reply = await self._outcome(call, first, outcome, door)
        return None if reply is None else replies.again(reply)

    async def _outcome(
        self, call: Call, run: str, outcome: asyncio.Future[State | None], door: Door
    ) -> Reply | None:
        """What the run says in time, or else where to read it."""
        gone = asyncio.ensure_future(_hung_up(call.receive))
        try:
            within = door.gate.webhook.respond_within
            either: set[asyncio.Future[Any]] = {outcome, gone}
            await asyncio.wait(either, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        state = outcome.result() if outcome.done() else None
        if state is not None:
            return await self._outcomes.reply(state, door)
        return None if gone.done() else replies.accepted(run, "running", self._runs + run)

    async def _accept(self, run: NewRun, door: Door) -> Verdict:
        """Raises Refusal for what was not accepted."""
        try:
            verdict = await self._intake.accept(run, light=door.gate.light)
        except Overloaded:
            raise busy("More calls arrive than can be written down. Nothing of this one was kept.") from None
        except StoreUnavailable:
            raise busy("The database does not answer. Whether this call was kept is not known.") from None
        if verdict.accepted or verdict.answer is Answer.REPEATED:
            return verdict
        _check_admitted(verdict, door.route.name)
        # What we knew was older than what the database knows.
        await self._refresh()
        known = self._routes.get(door.route.token)
        if known is None:
            raise Refusal(Reason.UNKNOWN, _UNKNOWN)
        _check_open(known.route, None, ())
        raise busy("The deployment is changing right now.")

    async def _refuse(self, call: Call, refusal: Refusal) -> Reply | None:
        """What was refused is kept as well, with its body, so that it can be sent again."""
        if call.door is None or refusal.reason in NOT_KEPT:
            return replies.refused(refusal)
        if call.raw is None and refusal.reason not in UNREAD:
            declared, limit = call.header("content-length"), call.door.gate.webhook.max_body
            with contextlib.suppress(Refusal):
                call.raw = await self._reader.read(call.receive, declared, limit)
        self._refused.keep(call.refused(refusal.reason, refusal.detail))
        return replies.refused(refusal)

    def _let_go(self, call: Call) -> None:
        """Its body was written down, or is not to be."""
        if call.raw is not None:
            self._reader.let_go(call.raw)
            call.raw = None

    async def _door(self, token: str) -> Door:
        door = self._routes.get(token)
        if (door is None or door.route.state != "active") and self._routes.may_be_old():
            await self._refresh()
            door = self._routes.get(token)
        if door is None:
            raise Refusal(Reason.UNKNOWN, _UNKNOWN)
        return door

    async def _refresh(self) -> None:
        """Whoever asks shares the look that is under way: a database that is away blocks one thread, not all."""
        if self._look is None or self._look.done():
            self._look = asyncio.ensure_future(asyncio.to_thread(self._routes.refresh))
            self._look.add_done_callback(lambda look: look.cancelled() or look.exception())
        try:
            await asyncio.wait_for(asyncio.shield(self._look), LOOK_PATIENCE)
        except (TimeoutError, StoreUnavailable):
            raise busy("The database does not answer. Nothing of this call was kept.") from None


def _run(call: Call, door: Door) -> NewRun:
    """Raises Refusal for a body that is not what it should be."""
    route, gate = door
    assert call.raw is not None, "it was read"
    plain, encoding = call.raw, call.header("content-encoding")
    if encoding:
        plain = unpacked(plain, encoding, gate.webhook.max_body)
    body = understood(call.header("content-type"), plain)
    if gate.has_shape:
        gate.check_body(route.name, call.method, body)
    request = call.request(body)
    more: dict[str, JSON] = {"address": call.address}
    if call.verified is not None:
        more["verified"] = call.verified
        if call.unverified is not None:
            more["unverified"] = call.unverified
    return NewRun(
        id=new_id(),
        deployment_id=route.deployment_id,
        kind="webhook",
        trigger=trigger_of(request, body, **more),
        once=gate.once(request, plain) if gate.dedupes else None,
    )


def _ping(route: Route) -> Reply:
    """Who would answer; nothing is started."""
    version = {"id": route.version_id, "number": route.number}
    return replies.said({"deployment": route.name, "state": route.state, "version": version})


def _check_open(route: Route, method: str | None, methods: Collection[str]) -> None:
    if route.state == "paused":
        detail = f"{route.name} is paused: its webhook accepts nothing until it is resumed."
        raise Refusal(Reason.PAUSED, detail, headers={"retry-after": "60"})
    if route.state == "archived":
        raise Refusal(Reason.ARCHIVED, f"{route.name} is archived, for good.")
    if method is not None and method not in methods:
        allowed = ", ".join(methods)
        raise Refusal(Reason.METHOD, f"{route.name} accepts {allowed}.", headers={"allow": allowed})


def _check_admitted(verdict: Verdict, name: str) -> None:
    if verdict.answer is Answer.FULL:
        detail = (
            f"As many runs of {name} are at work as its `concurrency` allows. Nothing of this call was kept."
        )
        raise Refusal(Reason.FULL, detail)
    if verdict.answer is Answer.OTHER_BODY:
        detail = f"A call with this key and another body has started the run {verdict.first}."
        raise Refusal(Reason.OTHER_BODY, detail)
    if verdict.answer is Answer.CIRCUIT_OPEN:
        after = str(max(1, math.ceil(verdict.retry_after or 1)))
        detail = f"Too many runs of {name} failed: its circuit is open. Nothing was started."
        raise Refusal(Reason.CIRCUIT_OPEN, detail, headers={"retry-after": after})


async def _hung_up(receive: Receive) -> None:
    """Returns when the caller has."""
    while (await receive())["type"] != "http.disconnect":
        pass
