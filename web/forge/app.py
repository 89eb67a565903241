"""`POST /forge/{github,gitlab,gitea}`: what happened at the forge that keeps the upstream."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.forges.address import ForgeKind, NoForgeError, repository_name, same_repository
from schemas.pattern import JSON
from store.database import Database, StoreUnavailable
from store.forge import Place, add_event
from store.upstream import ask_for_sync
from web.body import read_body
from web.forge.payloads import Event, Happened, PayloadError, read_event
from web.forge.signatures import is_signed
from web.problems import Kind, Refusal
from web.verification.call import SignedCall

log = logging.getLogger(__name__)

MAX_BODY = 5 * 1024 * 1024
"""Bytes. GitHub sends up to 25 MiB; what is larger than this is a push of thousands of files, and the next look
at the upstream finds it."""

TOO_LARGE = (
    f"An event may have {MAX_BODY:,} bytes. What it was about is found at the next look at the upstream."
)

UNSIGNED = {
    ForgeKind.GITHUB: "X-Hub-Signature-256 is missing or wrong: give GitHub's webhook the secret WEFT_FORGE_SECRET",
    ForgeKind.GITLAB: (
        "X-Gitlab-Token (for a signing token webhook-signature) is missing or wrong:"
        " give GitLab's webhook the secret WEFT_FORGE_SECRET"
    ),
    ForgeKind.GITEA: "X-Gitea-Signature is missing or wrong: give the webhook the secret WEFT_FORGE_SECRET",
}


@dataclass(frozen=True, kw_only=True)
class ForgeGate:
    """`upstream` is its URL, without what opens it; None: nothing is mirrored. `api` is WEFT_FORGE_API, if set."""

    organisation: str
    upstream: str | None
    api: str | None = None
    secrets: tuple[str, ...] = field(repr=False, default=())


class ForgeEvents:
    """The routes."""

    def __init__(self, database: Database, gate: ForgeGate) -> None:
        self._database = database
        self._gate = gate

    @property
    def routes(self) -> list[Route]:
        return [Route(f"/forge/{kind}", self._endpoint(kind), methods=["POST"]) for kind in ForgeKind]

    def _endpoint(self, kind: ForgeKind) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            try:
                return await self._answer(kind, request)
            except Refusal as refusal:
                return refusal.response()
            except StoreUnavailable:
                away = "The database does not answer. The event was not kept: send it again."
                return Refusal(Kind.UNAVAILABLE, away, headers={"Retry-After": "5"}).response()
            except ClientDisconnect:
                return Response(status_code=400)

        return endpoint

    async def _answer(self, kind: ForgeKind, request: Request) -> Response:
        repository = self._repository()
        body = await read_body(request, MAX_BODY, TOO_LARGE)
        call = SignedCall(method="POST", urls=(), headers=request.headers.raw, body=body)
        if not is_signed(kind, self._gate.secrets, call, time.time()):
            raise Refusal(Kind.UNSIGNED, f"{UNSIGNED[kind]}.")
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            event = read_event(kind, headers, body)
        except PayloadError as error:
            raise Refusal(Kind.MALFORMED, str(error)) from None
        _check_repository(event, repository)
        return await run_in_threadpool(self._take, kind, event, repository)

    def _repository(self) -> str:
        """Which one it has to be about. Raises Refusal while something is not set."""
        gate = self._gate
        missing = (
            "WEFT_UPSTREAM" if gate.upstream is None else "WEFT_FORGE_SECRET" if not gate.secrets else None
        )
        if missing is not None or gate.upstream is None:
            raise Refusal(
                Kind.NO_FORGE, f"Events of a forge are not taken here: set {missing} (docs/forges.md)."
            )
        try:
            return repository_name(gate.upstream, gate.api)
        except NoForgeError as error:
            raise Refusal(Kind.NO_FORGE, str(error)) from None

    def _take(self, kind: ForgeKind, event: Event, repository: str) -> Response:
        """What is kept is kept when this returns."""
        organisation = self._gate.organisation
        if event.happened is Happened.PUSH:
            with self._database.connection() as connection:
                ask_for_sync(connection, organisation)
            return _said(202, event, "the upstream is looked at now")
        if event.happened is Happened.PULL_REQUEST and event.number is not None:
            with self._database.connection() as connection:
                add_event(connection, Place(organisation, kind, repository), event.number)
            log.info("forge_event", extra={"forge": str(kind), "event": event.name, "number": event.number})
            return _said(202, event, f"the plan of pull request {event.number} is told there")
        if event.happened is Happened.PING:
            return _said(200, event, "the secret and the repository are right")
        return _said(202, event, "nothing: Weft acts on pushes, and on pull requests whose plan may change")


def _check_repository(event: Event, repository: str) -> None:
    """A ping of a whole organisation is about no repository."""
    if event.repository is None and event.happened in (Happened.PING, Happened.OTHER):
        return
    if event.repository is None or not same_repository(event.repository, repository):
        told = (
            "it does not say which" if event.repository is None else f"this is about {event.repository[:200]}"
        )
        raise Refusal(
            Kind.OTHER_REPOSITORY,
            f"This installation mirrors {repository}, and {told}: remove the webhook there.",
        )


def _said(status: int, event: Event, does: str) -> Response:
    answer: dict[str, JSON] = {"event": event.name[:100], "does": does}
    return JSONResponse(answer, status)
