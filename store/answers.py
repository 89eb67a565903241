"""What runs tell those who wait for them at a webhook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import orjson

from store.database import RUN_ANSWERED, Connection
from store.runs import RunStatus

LONGEST = 7_500
"""Bytes of a notification (PostgreSQL takes 8,000); of more it names the run alone."""


class Told(Protocol):
    """A step of the journal, as far as it matters here."""

    @property
    def run_id(self) -> str: ...
    @property
    def status(self) -> RunStatus: ...
    @property
    def output(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...
    @property
    def answer(self) -> str | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """How a run stands for its caller. `output`, `error` and `answer` (what a `respond` node said) are JSON text;
    large ones are references.
    """

    run: str
    status: str
    output: str | None
    error: str | None
    answer: str | None

    @classmethod
    def read(cls, payload: str) -> Self | None:
        """From a notification; None: it was too long for one, the database has it."""
        run, status, *texts = orjson.loads(payload)
        return (
            cls(run=run, status=status, output=texts[0], error=texts[1], answer=texts[2]) if texts else None
        )


def run_of(payload: str) -> str:
    """Which run a notification is about."""
    return str(orjson.loads(payload)[0])


def tell(connection: Connection, steps: Iterable[Told]) -> None:
    """Keep what `respond` nodes said, and tell whoever waits: the first answer of a run is the one that counts. In
    the transaction that writes the steps.
    """
    for step in steps:
        kept = connection.execute(
            "UPDATE runs SET answer = %s::json WHERE id = %s AND answer IS NULL", [step.answer, step.run_id]
        )
        if kept.rowcount:
            connection.execute("SELECT pg_notify(%s, %s)", [RUN_ANSWERED, payload(step)])


def payload(step: Told) -> str:
    """What those are told who wait for the run."""
    whole = orjson.dumps([step.run_id, step.status, step.output, step.error, step.answer])
    short = whole if len(whole) <= LONGEST else orjson.dumps([step.run_id, step.status])
    return short.decode()


def states(connection: Connection, runs: Sequence[str]) -> dict[str, State]:
    """Those of `runs` that have ended, or have answered, by id."""
    rows = connection.execute(
        """SELECT id::text, status, output::text, error::text, answer::text FROM runs
           WHERE id = ANY(%s) AND (ended_at IS NOT NULL OR answer IS NOT NULL)""",
        [list(runs)],
    )
    return {r: State(run=r, status=s, output=o, error=e, answer=a) for r, s, o, e, a in rows}
