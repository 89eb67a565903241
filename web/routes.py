"""Which webhook URL belongs to which deployment, in memory and refreshed the moment something is deployed."""

from __future__ import annotations

import threading
import time

from runner.program import LIGHT
from schemas.pattern import Pattern
from store.database import Database
from store.deployments import Route, webhook_routes

LOOK_AGAIN = 0.2
"""Seconds for which the table is trusted about tokens that are not known here, or not active."""


class Routes:
    """Readers take the table as it is; `refresh` puts a new one in its place."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mutex = threading.Lock()
        self._patterns: dict[str, Pattern] = {}
        self._table: dict[str, Route] = {}
        self._looked = 0.0

    def get(self, token: str) -> Route | None:
        return self._table.get(token)

    def refresh(self) -> None:
        with self._mutex, self._database.connection() as connection:
            self._looked = time.monotonic()
            found = webhook_routes(connection, None, self._patterns)
            self._table = {route.token: route for route in found}

    def outdate(self) -> None:
        """Something is live now that was not when we looked: whoever was just told so may call at once."""
        self._looked = 0.0

    def may_be_old(self) -> bool:
        """Whether a token that is not known, or not active, is worth a look into the database: a notification
        may be on its way. Rarely, so that guessing tokens costs us nothing.
        """
        return time.monotonic() - self._looked > LOOK_AGAIN


def is_light(route: Route) -> bool:
    return route.uses <= LIGHT
