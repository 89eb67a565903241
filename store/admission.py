"""Whether a run may begin now: the limits of deployments, and their circuits.

Whoever admits holds the lock of the deployment whose limit it is; what is not limited takes none, and is accepted
by `runs.accept` alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from schemas.deployment import WhenFull
from store import circuits, run_keys, runs
from store.concurrency import Slot, asked_of, cancel_surplus, lock, taken
from store.database import Connection
from store.run_keys import Held, Keyed
from store.runs import NewRun


class Answer(StrEnum):
    PENDING = "pending"  # accepted: ring
    QUEUED = "queued"  # accepted: it begins when a run of its key has ended
    FULL = "full"  # refused: the limit is reached
    CIRCUIT_OPEN = "circuit_open"  # refused: too many runs ended badly
    CLOSED = "closed"  # refused: the deployment is not active
    REPEATED = "repeated"  # another run has its key: that one answers
    OTHER_BODY = "other_body"  # refused: another run has its key, and came with another body


class Verdict(NamedTuple):
    """`ring`: other runs that are to be announced because of it. `retry_after`: seconds. `first`: the run that has
    the key.
    """

    answer: Answer
    ring: tuple[str, ...] = ()
    retry_after: float | None = None
    first: str | None = None

    @property
    def accepted(self) -> bool:
        return self is _ACCEPTED or self.answer in (Answer.PENDING, Answer.QUEUED)


_ACCEPTED: Final = Verdict(Answer.PENDING)


class Refused(Exception):
    """A run may not begin. Whatever was written of it is to be rolled back."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.answer)
        self.verdict = verdict


def admit(connection: Connection, new: Sequence[NewRun]) -> dict[str, Verdict]:
    """Make runs durable, each bound to the version that is live now. By id."""
    keyed = [Keyed(run.id, run.deployment_id, run.once) for run in new if run.once is not None]
    if not keyed:
        return _admit(connection, new)
    with connection.transaction():
        repeated = dict(_repeated(keyed, run_keys.claim(connection, keyed)))
        verdicts = _admit(connection, [run for run in new if run.id not in repeated])
        refused = [run for run, verdict in verdicts.items() if not verdict.accepted]
        if refused:
            run_keys.release(connection, refused)
    # What came together with one that is refused is refused with it.
    return verdicts | {
        run: verdicts[found.first] if found.first in refused else found for run, found in repeated.items()
    }


def _repeated(keyed: Sequence[Keyed], holders: Mapping[str, Held]) -> Iterator[tuple[str, Verdict]]:
    for one in keyed:
        first = holders[one.run]
        if first.run != one.run:
            same = hmac.compare_digest(first.body, one.once.body)
            yield one.run, Verdict(Answer.REPEATED if same else Answer.OTHER_BODY, first=first.run)


def _admit(connection: Connection, new: Sequence[NewRun]) -> dict[str, Verdict]:
    accepted = runs.accept(connection, new)
    verdicts = dict.fromkeys(accepted, _ACCEPTED)
    for run in new:
        if run.id not in accepted:
            verdicts[run.id] = _admit_one(connection, run)
    return verdicts


def _admit_one(connection: Connection, run: NewRun) -> Verdict:
    with connection.transaction():
        if not runs.accept_gated(connection, run):
            return Verdict(Answer.CLOSED)
        try:
            slot = place(connection, run.id)
        except Refused as refused:
            # Not rolled back: psycopg would drop the prepared statements of the hot path with that.
            runs.withdraw(connection, run.id)
            return refused.verdict
    return verdict_of(connection, run.id, slot)


def verdict_of(connection: Connection, run: str, slot: Slot | None) -> Verdict:
    """Of a run that was placed in `slot`. With `cancel-oldest`, others are asked to end now."""
    if slot is None:
        return Verdict(Answer.PENDING)
    ring = tuple(cancel_surplus(connection, slot))
    row = connection.execute("SELECT queued_at IS NULL FROM runs WHERE id = %s", [run]).fetchone()
    return Verdict(Answer.PENDING if row is None or row[0] else Answer.QUEUED, ring)


def place(connection: Connection, run: str) -> Slot | None:
    """Have a run that was just written as pending obey what its deployment says: it may be queued now.

    Within the transaction that wrote it. Gives its slot, None where there is no limit. Raises Refused.
    """
    asked = asked_of(connection, run)
    if asked.circuit_open:
        _pass_circuit(connection, asked.deployment_id, run)
    if asked.slot is None or asked.concurrency is None:
        return None
    lock(connection, asked.slot.deployment_id)
    full = taken(connection, asked.slot) >= asked.concurrency.limit
    if full and asked.concurrency.when_full is WhenFull.REJECT:
        raise Refused(Verdict(Answer.FULL))
    connection.execute(
        """UPDATE runs SET limited_by = %s, limit_key = %s,
               status = CASE WHEN %s THEN 'queued' ELSE status END,
               queued_at = CASE WHEN %s THEN clock_timestamp() END WHERE id = %s""",
        [asked.slot.deployment_id, asked.slot.key, full, full, run],
    )
    return asked.slot


def _pass_circuit(connection: Connection, deployment_id: int, run: str) -> None:
    wait = circuits.let_in(connection, deployment_id, run)
    if wait is not None:
        raise Refused(Verdict(Answer.CIRCUIT_OPEN, retry_after=wait))
