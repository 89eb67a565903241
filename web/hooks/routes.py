"""Which webhook URL belongs to which deployment, in memory and refreshed the moment something is deployed."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from schemas.pattern import Pattern
from store.database import Database
from store.deployments import Route, changed_routes, webhook_routes
from store.notifications import Changed
from web.hooks.gate import Gate

LOOK_AGAIN = 0.2
"""Seconds for which the table is trusted about tokens that are not known here, or not active."""


class Door(NamedTuple):
    """A webhook: whose it is, and what it lets in."""

    route: Route
    gate: Gate


class Routes:
    """Readers take the table as it is; `refresh` puts a new one in its place."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mutex = threading.Lock()
        self._patterns: dict[str, Pattern] = {}
        self._gates: dict[str, Gate] = {}  # by version id
        self._table: dict[str, Door] = {}
        self._looked = 0.0

    def get(self, token: str) -> Door | None:
        return self._table.get(token)

    def refresh(self) -> None:
        with self._mutex, self._database.connection() as connection:
            self._looked = time.monotonic()
            routes = webhook_routes(connection, self._patterns)
            self._gates = {
                version: gate for version, gate in self._gates.items() if version in self._patterns
            }
            self._table = {token: self._door(route) for token, route in routes.items()}

    def update(self, changed: Changed) -> None:
        """What a push has changed, be it among thousands."""
        if changed.names is None:
            self.refresh()
        elif changed.names:
            self._replace(changed.organisation, changed.names)

    def _replace(self, organisation: str, names: Sequence[str]) -> None:
        with self._mutex, self._database.connection() as connection:
            found = changed_routes(connection, organisation, names, self._patterns)
            table = {token: door for token, door in self._table.items() if token not in found}
            self._table = table | {
                token: self._door(route) for token, route in found.items() if route is not None
            }

    def _door(self, route: Route) -> Door:
        gate = self._gates.get(route.version_id)
        if gate is None:
            assert route.pattern.webhook is not None, "routes lead to webhooks"
            gate = self._gates[route.version_id] = Gate(route.pattern, route.pattern.webhook)
        return Door(route, gate)

    def outdate(self) -> None:
        """Something is live now that was not when we looked: whoever was just told so may call at once."""
        self._looked = 0.0

    def may_be_old(self) -> bool:
        """Whether a token that is not known, or not active, is worth a look into the database: a notification
        may be on its way. Rarely, so that guessing tokens costs us nothing.
        """
        return time.monotonic() - self._looked > LOOK_AGAIN
