"""Runs that start because another one ended badly: `on: {error: {from: […]}}`."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from store import circuits, concurrency, passed_over
from store.concurrency import Slot
from store.database import Connection
from store.error_chains import (
    MOST_A_MINUTE,
    Ended,
    Listener,
    PassedOver,
    hears,
    refusal,
    trigger_of,
)
from store.ids import first_id, new_id

_SKEW = 300.0
"""Seconds by which the clock of whoever made an id may differ from the database's."""

_Answers = list[tuple[str, Ended]]
"""New run → what it answers."""
_Passed = list[tuple[PassedOver, Ended]]


def start(connection: Connection, runs: Sequence[str]) -> tuple[list[str], list[Slot]]:
    """Start what listens to the bad ends of these runs, in the transaction that ended them.

    Gives the runs to ring for, and the slots to settle once it is committed.
    """
    heard = _heard(connection, runs)
    # All circuits before all ledgers, each in one order: who waits for whom never goes in a circle.
    decided = [(listener, *_let_in(connection, listener, ended)) for listener, ended in heard]
    ring: list[str] = []
    slots: list[Slot] = []
    for listener, answers, passed in decided:
        for run, ended in _within_rate(connection, listener, answers, passed):
            limited = _insert(connection, run, listener, ended)
            if limited is None:
                ring.append(run)
            else:
                slots += concurrency.limit_called(connection, [(run, limited)])
    return ring, slots


def _let_in(connection: Connection, listener: Listener, ended: Sequence[Ended]) -> tuple[_Answers, _Passed]:
    """What its chain and the listener's circuit say."""
    answers: _Answers = []
    passed: _Passed = []
    for one in ended:
        reason, run = refusal(listener, one), new_id()
        if reason is None and listener.circuit_open:
            shut = circuits.let_in(connection, listener.deployment_id, run) is not None
            reason = PassedOver.CIRCUIT_OPEN if shut else None
        if reason is None:
            answers.append((run, one))
        else:
            passed.append((reason, one))
    return answers, passed


def _within_rate(connection: Connection, listener: Listener, answers: _Answers, passed: _Passed) -> _Answers:
    """Those that may start now; of all others it is noted why they do not."""
    ledger = passed_over.hold(connection, listener.deployment_id)
    room = MOST_A_MINUTE - _started(connection, listener) if answers else 0
    surplus = [(PassedOver.TOO_MANY, ended) for _, ended in answers[max(room, 0) :]]
    passed_over.note(connection, ledger, [*passed, *surplus])
    return answers[: max(room, 0)]


def _started(connection: Connection, listener: Listener) -> int:
    """Error runs of the last minute, or as many as may start."""
    row = connection.execute(
        """SELECT count(*) FROM (
               SELECT FROM runs
               WHERE deployment_id = %s AND id > %s AND trigger_kind = 'error'
                   AND created_at > clock_timestamp() - interval '1 minute'
               LIMIT %s) AS recent""",
        [listener.deployment_id, first_id(time.time() - 60 - _SKEW), MOST_A_MINUTE],
    ).fetchone()
    assert row is not None
    return int(row[0])


def _heard(connection: Connection, runs: Sequence[str]) -> list[tuple[Listener, Sequence[Ended]]]:
    """By listener, in the order of their ids; what each hears, in the order of the runs."""
    rows = connection.execute(
        """SELECT d.id, d.pattern, d.error_from, d.circuit_open,
               r.id::text, o.name, r.pattern, f.number, r.attempt, r.input, r.error, b.trigger, b.pattern,
               extract(epoch FROM clock_timestamp())::float8
           FROM runs r
           JOIN deployments o ON o.id = r.deployment_id
           JOIN deployments d ON d.organisation = o.organisation AND d.environment = o.environment
               AND d.error_from IS NOT NULL AND d.state = 'active'
           JOIN runs b ON b.id = coalesce(r.root_id, r.id)
           LEFT JOIN freezes f ON f.organisation = o.organisation AND f.version_id = r.version_id
           WHERE r.id = ANY(%s::uuid[]) ORDER BY d.id, r.id""",
        [list(runs)],
    ).fetchall()
    names = (
        "id", "deployment", "pattern", "version", "attempt", "input", "error", "cause", "began", "now",
    )  # fmt: skip
    listeners: dict[int, Listener] = {}
    heard: Mapping[int, list[Ended]] = defaultdict(list)
    for id_, pattern, globs, circuit_open, *told in rows:
        listener = Listener(deployment_id=id_, pattern=pattern, globs=globs, circuit_open=circuit_open)
        ended = Ended(**dict(zip(names, told, strict=True)))
        if hears(listener, ended):
            listeners[id_] = listener
            heard[id_].append(ended)
    return [(listeners[id_], ended) for id_, ended in heard.items()]


def _insert(connection: Connection, run: str, listener: Listener, ended: Ended) -> int | None:
    """Gives the deployment whose limit it has to obey: then it is queued, until that is settled."""
    row = connection.execute(
        """INSERT INTO runs (id, deployment_id, revision, version_id, pattern, status, trigger_kind, trigger,
               due_at, created_at, limited_by, queued_at)
           SELECT %s, id, revision, version_id, pattern,
               CASE WHEN concurrency IS NULL THEN 'pending' ELSE 'queued' END, 'error', %s::json,
               now(), clock_timestamp(), CASE WHEN concurrency IS NOT NULL THEN id END,
               CASE WHEN concurrency IS NOT NULL THEN clock_timestamp() END
           FROM deployments WHERE id = %s RETURNING limited_by""",
        [run, json.dumps(trigger_of(ended)), listener.deployment_id],
    ).fetchone()
    assert row is not None, "deployments are never deleted"
    return None if row[0] is None else int(row[0])
