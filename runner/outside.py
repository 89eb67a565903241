"""What a run has to know of the world outside it: which deployments are closed, and what was posted to it."""

from __future__ import annotations

from typing import Protocol

from runner.contexts import RunContext
from store import execution, run_events
from store.database import Database
from store.run_events import RunEvent


class Outside(Protocol):
    def closed(self, context: RunContext, pattern: str) -> str | None:
        """Why `pattern` cannot be called from there, None if it can."""
        ...

    def posted(self, run: str) -> list[RunEvent]:
        """The events of a run that no node has taken, in the order in which they came."""
        ...


class Stored:
    """As the database has it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def closed(self, context: RunContext, pattern: str) -> str | None:
        with self._database.connection() as connection:
            return execution.closed_callee(connection, context.organisation, pattern, context.environment)

    def posted(self, run: str) -> list[RunEvent]:
        with self._database.connection() as connection:
            return run_events.unconsumed(connection, run)
