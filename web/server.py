"""The web process: builds the application, and serves it on the socket that the supervisor opened."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from reconciler.git.errors import GitError
from reconciler.reconciler import Reconciler
from reconciler.upstream.remote import Remote
from runner.broker import BellBroker
from runner.rehearsal.troupe import Troupe
from store.database import (
    DEPLOYMENTS_CHANGED,
    RUN_ANSWERED,
    RUN_TOLD,
    SECRETS_CHANGED,
    Database,
    StoreError,
)
from store.notifications import Changed, Listener
from store.s3_blobs import open_blobs
from store.secrets import open_book
from store.settings import FIRST_ORGANISATION, ServiceSettings
from web.api import Api
from web.app import Application, make_app
from web.auth import Authenticator
from web.clients import Clients
from web.connections import Connection
from web.contents import Contents
from web.forge.app import ForgeEvents, ForgeGate
from web.git.app import GitApp
from web.health import Health
from web.hooks.app import Hooks
from web.hooks.callers import Callers
from web.hooks.limiting import Limiting
from web.hooks.outcomes import Outcomes
from web.hooks.refused import RefusedCalls
from web.hooks.routes import Routes
from web.hooks.signers import Signers
from web.intake import Intake
from web.problems import EXCEPTION_HANDLERS

log = logging.getLogger(__name__)

RING_PATIENCE = 0.5
"""Seconds that the broker may keep a durable run's caller waiting."""

GRACE = 5
"""Seconds that requests in flight have to finish when the process is asked to stop."""


class Web:
    """Everything that the web process owns, made after forking and closed in order."""

    def __init__(self, settings: ServiceSettings) -> None:
        git = settings.data / "git"
        self._database = Database(settings.database_url)
        self._broker = BellBroker(settings.redis_url, patience=RING_PATIENCE)
        self._intake = Intake(self._database, self._broker)
        self._routes = Routes(self._database)
        self._secrets = open_book(self._database, settings)
        authenticator = Authenticator(self._database, settings.admin_token)
        reconciler = Reconciler(
            self._database,
            git,
            installation_key=settings.installation_key,
            public_url=settings.public_url,
            announce=self._routes.outdate,
            examine=Troupe(),
            unknown_secrets=self._secrets.unknown,
        )
        self._git = GitApp(git, reconciler, authenticator.by_token)
        blobs = partial(open_blobs, settings.blobs, endpoint=settings.blobs_endpoint)
        contents = Contents()
        self._api = Api(
            database=self._database,
            authenticator=authenticator,
            reconciler=reconciler,
            contents=contents,
            ring=self._ring,
            blobs=blobs,
            book=self._secrets,
            public_url=settings.public_url,
        )
        self._callers = Callers(self._database)
        self._refused = RefusedCalls(self._database)
        self._signers = Signers(self._database, self._secrets, settings.public_url)
        handlers = {
            DEPLOYMENTS_CHANGED: self._changed,
            RUN_TOLD: self._api.feeds.told,
            RUN_ANSWERED: self._callers.told,
            SECRETS_CHANGED: self._secrets.changed,
        }
        self._listener = Listener(self._database, handlers, self._refresh)
        self.app: Application = make_app(
            hooks=self._hooks(
                settings, Outcomes(self._database, contents, blobs, f"{settings.public_url}/api/v1/runs/")
            ),
            git=self._git,
            pages=self._pages(settings),
        )
        self._reconciler = reconciler

    def _hooks(self, settings: ServiceSettings, outcomes: Outcomes) -> Hooks:
        return Hooks(
            self._routes,
            self._intake,
            self._callers,
            outcomes=outcomes,
            refused=self._refused,
            clients=Clients(settings.trusted_proxies),
            signers=self._signers,
            limiting=Limiting(settings.redis_url),
            public_url=settings.public_url,
        )

    def _pages(self, settings: ServiceSettings) -> Starlette:
        health = Health(self._database, settings.redis_url, settings.data / "git")
        forge = ForgeEvents(self._database, forge_gate(settings))
        routes = [*self._api.routes, *forge.routes, *health.routes]
        return Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)

    def start(self) -> None:
        """Catch up with what Git says before the first request is answered."""
        self._reconciler.ensure(FIRST_ORGANISATION)
        for organisation in self._reconciler.organisations():
            try:
                self._reconciler.reconcile(organisation)
            except (GitError, StoreError) as error:
                # The controller tries again, and says so in the deployments' conditions.
                log.warning("reconcile_failed", extra={"organisation": organisation, "error": str(error)})
        self._routes.refresh()
        self._listener.start()
        threading.Thread(target=self._remember, name="remember", daemon=True).start()

    def leave(self) -> None:
        """No more requests come: end the answers that would go on."""
        self._api.leave()
        self._callers.leave()

    def close(self) -> None:
        self._listener.stop()
        self._git.close()
        self._intake.close()
        self._refused.close()
        self._signers.close()
        self._broker.close()
        self._secrets.close()
        self._database.close()

    def _remember(self) -> None:
        for organisation in self._reconciler.organisations():
            with contextlib.suppress(GitError, StoreError):
                self._reconciler.remember(organisation)

    def _refresh(self) -> None:
        self._routes.refresh()
        self._secrets.forget()
        self._signers.forget()

    def _changed(self, payload: str) -> None:
        self._routes.update(Changed.read(payload))
        self._signers.forget()

    def _ring(self, runs: Sequence[str]) -> None:
        self._intake.ring([], runs)


def forge_gate(settings: ServiceSettings) -> ForgeGate:
    upstream = settings.upstream
    return ForgeGate(
        organisation=FIRST_ORGANISATION,
        upstream=None if upstream is None else Remote(upstream.url, token=upstream.token).url,
        api=settings.forge_api,
        secrets=settings.forge_secrets,
    )


class _Server(uvicorn.Server):
    """Says so when it is asked to stop: it waits for answers, and some go on until they are told."""

    def __init__(self, config: uvicorn.Config, leave: Callable[[], None]) -> None:
        super().__init__(config)
        self._leave = leave

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._leave()


def serve(settings: ServiceSettings, *, worker_id: str | None, replaces: tuple[str, ...]) -> None:
    """Serve until SIGTERM; the signature is that of every part."""
    assert settings.listener is not None, "the supervisor opens the socket"
    web = Web(settings)
    web.start()
    config = uvicorn.Config(
        web.app,
        loop="uvloop",
        http=Connection,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
    )
    server = _Server(config, web.leave)
    listener = socket.socket(fileno=settings.listener)
    try:
        server.run(sockets=[listener])
    finally:
        web.close()
