"""The journal: what a worker writes of the runs it has in hand, many runs in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from store import aftermath, answers, concurrency, run_events, secret_uses, spans
from store.arrays import plain, texts
from store.concurrency import Slot
from store.database import RUN_ANSWERED, TIMER_SET, Connection
from store.leases import LEASE
from store.runs import ENDED, ENDED_BADLY, RING_AGAIN, RunStatus
from store.secret_uses import SecretUse
from store.spans import Span
from store.statements import Row, Statement
from store.wakeups import cancel, wake


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildRun:
    """A run that a `call` node of `parent_path` starts. It shares its parent's deployment and revision or draft."""

    id: str
    version_id: str
    pattern: str
    trigger: str
    input: str
    parent_path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What a worker writes of a run: new journal entries, and where the run goes from here.

    `status` RUNNING keeps the lease; every other gives it up. `due` is the time of the next timer of a
    WAITING run (seconds since the epoch), None for a run that only a called run or a person can wake.
    `orphans` are called runs that nobody waits for any more: they are cancelled with this step.
    `answer` is what a `respond` node says, `awaited` that a webhook's caller waits for the run's end.
    `consumed` are the ids of events that were posted to the run, with the paths of the nodes that took them, `uses`
    the secrets that nodes were given.
    `attempt` is the run's from here on, `span_attempt` the one that the entries belong to.
    """

    run_id: str
    lease: int
    status: RunStatus
    attempt: int
    span_attempt: int
    parent_id: str | None = None
    output: str | None = None
    error: str | None = None
    due: float | None = None
    spans: Sequence[Span] = ()
    children: Sequence[ChildRun] = ()
    orphans: Sequence[str] = ()
    consumed: Sequence[tuple[int, str]] = ()
    answer: str | None = None
    awaited: bool = False
    uses: Sequence[SecretUse] = ()

    @property
    def ends(self) -> bool:
        return self.status in ENDED


class Outcome(NamedTuple):
    """`kept` False: the lease was lost, nothing was written. `ring`: runs that this step made ready.

    `slots` are free now, or asked for by called runs: `concurrency.settle` them.
    """

    kept: bool
    ring: tuple[str, ...]
    slots: tuple[Slot, ...] = ()


_INSERT = """recorded AS (
    INSERT INTO spans (run_id, run_attempt, path, status, attempt, started_at, ended_at, output, error, log,
                       wake_at, child_run_id)
"""

_OR_UPDATE = """
    ON CONFLICT (run_id, run_attempt, path) DO UPDATE SET
        status = excluded.status, attempt = excluded.attempt, started_at = excluded.started_at,
        ended_at = excluded.ended_at, output = excluded.output, error = excluded.error, log = excluded.log,
        wake_at = excluded.wake_at, child_run_id = excluded.child_run_id, seq = excluded.seq
)
"""

_GIVE = "SELECT id, status FROM held"

# The first twelve parameters, of both statements with arrays: what `spans.columns` gives.
_RECORDED = (
    _INSERT,
    """
    SELECT p.run_id, p.run_attempt, p.path, p.status, p.attempt, to_timestamp(p.started),
           to_timestamp(p.ended), p.output::json, p.error::json, p.log::json, to_timestamp(p.wake), p.child
    FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::smallint[], $6::float8[],
                $7::float8[], $8::text[], $9::text[], $10::text[], $11::float8[], $12::uuid[])
        AS p(run_id, run_attempt, path, status, attempt, started, ended, output, error, log, wake, child)
    JOIN held ON held.id = p.run_id
    """,
    _OR_UPDATE,
)

# `= ANY` finds the runs by key whatever the planner believes of the table; the join with what is to be
# written is then one of two short lists.
_MOVE = """
WITH step AS (
    SELECT *
    FROM unnest($13::uuid[], $14::int[], $15::text[], $16::smallint[], $17::text[], $18::text[], $19::float8[])
        AS s(id, lease, status, attempt, output, error, due)
), held AS (
    UPDATE runs r SET
        status = CASE WHEN s.status = 'waiting' AND r.woken THEN 'pending' ELSE s.status END,
        lease = CASE WHEN s.status = 'running' THEN r.lease ELSE r.lease + 1 END,
        worker = CASE WHEN s.status = 'running' THEN r.worker END,
        attempt = s.attempt, output = s.output::json, error = s.error::json,
        due_at = now()
                 + CASE s.status WHEN 'running' THEN $20::float8 ELSE $21::float8 END * interval '1 second',
        wake_at = CASE WHEN s.status = 'waiting' AND NOT r.woken
                       THEN coalesce(to_timestamp(s.due), 'infinity') END,
        ended_at = CASE WHEN s.status NOT IN ('running', 'waiting', 'pending') THEN clock_timestamp() END
    FROM step s WHERE r.id = ANY($13::uuid[]) AND r.id = s.id AND r.lease = s.lease
    RETURNING r.id, r.status, r.limited_by, r.limit_key
), """

RECORD = Statement("record", _MOVE, *_RECORDED, "SELECT id, status, limited_by, limit_key FROM held")

# The same where somebody waits for a run: with what they are told, in one statement and so one round trip.
RECORD_TOLD = Statement(
    "record_told",
    _MOVE,
    *_RECORDED,
    """, told AS (
    SELECT pg_notify($23, t.payload)
    FROM unnest($13::uuid[], $22::text[]) AS t(id, payload) JOIN held ON held.id = t.id
    WHERE t.payload IS NOT NULL
)
SELECT id, status, limited_by, limit_key FROM held WHERE (SELECT count(*) FROM told) >= 0""",
)

# Entries of runs that go on: the row stays as it is, and its lock holds off whoever would free it meanwhile.
RECORD_SPANS = Statement(
    "record_spans",
    """
WITH held AS (
    SELECT r.id, r.status FROM runs r JOIN unnest($13::uuid[], $14::int[]) AS s(id, lease)
        ON r.id = s.id AND r.lease = s.lease
    WHERE r.id = ANY($13::uuid[]) FOR SHARE OF r
), """,
    *_RECORDED,
    _GIVE,
)

# The same for a single entry, the usual case where each node is made durable before the next: the arrays would take
# a quarter of the time.
RECORD_SPAN = Statement(
    "record_span",
    """
WITH held AS (
    SELECT id, status FROM runs WHERE id = $1::uuid AND lease = $13::int FOR SHARE
), """,
    _INSERT,
    """
    SELECT id, $2::smallint, $3::text, $4::text, $5::smallint, to_timestamp($6::float8), to_timestamp($7::float8),
           $8::json, $9::json, $10::json, to_timestamp($11::float8), $12::uuid
    FROM held
    """,
    _OR_UPDATE,
    _GIVE,
)

# A called run obeys the limit of its own pattern's deployment in the environment, where there is one: it is
# written as queued, without its key, which `admission` computes. Of a draft it obeys none.
_START_CHILDREN = b"""
INSERT INTO runs (id, deployment_id, draft_id, revision, version_id, pattern, status, trigger_kind, trigger, input,
                  parent_id, parent_path, root_id, depth, due_at, created_at, limited_by, queued_at)
SELECT c.id, r.deployment_id, r.draft_id, r.revision, c.version_id, c.pattern,
       CASE WHEN l.id IS NULL THEN 'pending' ELSE 'queued' END, 'call', c.trigger::json,
       c.input::json, r.id, c.parent_path, coalesce(r.root_id, r.id), r.depth + 1,
       now() + %s * interval '1 second', now(), l.id, CASE WHEN l.id IS NOT NULL THEN clock_timestamp() END
FROM unnest(%b::uuid[], %b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[])
       AS c(id, parent_id, version_id, pattern, trigger, input, parent_path)
JOIN runs r ON r.id = c.parent_id
LEFT JOIN deployments p ON p.id = r.deployment_id
LEFT JOIN LATERAL (
    SELECT d.id FROM deployments d
    WHERE d.organisation = p.organisation AND d.environment = p.environment AND d.pattern = c.pattern
      AND d.concurrency IS NOT NULL AND d.state = 'active'
    ORDER BY d.name LIMIT 1) l ON true
ON CONFLICT (id) DO NOTHING  -- a write whose answer was lost is repeated
RETURNING id::text, limited_by
"""


# What a replay keeps of another run ended before it was created, and is not done again in any of its attempts.
_KEEP = b"""
INSERT INTO spans (run_id, run_attempt, path, status, attempt, started_at, ended_at, output, error, log,
                   child_run_id)
SELECT s.run_id, r.attempt, path, s.status, s.attempt, s.started_at, s.ended_at, s.output, s.error, log,
       child_run_id
FROM runs r JOIN unnest(%b::uuid[], %b::smallint[]) AS t(id, attempt) ON t.id = r.id
JOIN spans s ON s.run_id = r.id AND s.run_attempt = t.attempt
WHERE r.id = ANY(%b::uuid[]) AND r.replay_of IS NOT NULL AND s.ended_at < r.created_at
ON CONFLICT DO NOTHING
"""


def record(connection: Connection, steps: Sequence[Step]) -> list[Outcome]:
    """Write the journal entries and moves of several runs at once.

    A run that ends wakes the run that called it, in the same transaction: neither can be lost alone.
    """
    if not any(_is_linked(step) for step in steps):
        moved = _move(connection, steps)
        return [_outcome(step, moved, set(), {}) for step in steps]
    with connection.transaction():
        return _record_linked(connection, steps)


def _is_linked(step: Step) -> bool:
    """Whether the step touches more than its own run: then it takes a transaction of several statements."""
    return (
        bool(step.children or step.orphans or step.consumed or step.uses)
        or step.answer is not None
        or step.status is RunStatus.WAITING
        or step.status in ENDED_BADLY
        or (step.parent_id is not None and step.ends)
    )


def _record_linked(connection: Connection, steps: Sequence[Step]) -> list[Outcome]:
    moved = _move(connection, steps)
    kept = [step for step in steps if step.run_id in moved]
    bad = [step.run_id for step in kept if step.status in ENDED_BADLY]
    after = aftermath.ended_badly(connection, bad)
    _keep_replayed(connection, [step for step in kept if step.attempt != step.span_attempt])
    asked = _start_children(connection, kept)
    taken = [one for step in kept for one in step.consumed]
    if taken:
        run_events.consume(connection, taken)
    answers.tell(connection, [step for step in kept if step.answer is not None])
    used = [(step.run_id, use) for step in kept for use in step.uses]
    if used:
        secret_uses.record(connection, used)
    parents = sorted({step.parent_id for step in kept if step.parent_id and step.ends})
    awake = set(wake(connection, parents)) if parents else set()
    orphaned = {step.run_id: _cancel_orphans(connection, step) for step in kept}
    if any(step.due is not None for step in kept):
        connection.execute("SELECT pg_notify(%s, '')", [TIMER_SET])
    outcomes = [_outcome(step, moved, awake, orphaned) for step in steps]
    if asked or after.ring or after.slots:
        first = outcomes[0]
        slots = (*first.slots, *asked, *after.slots)
        outcomes[0] = first._replace(ring=(*first.ring, *after.ring), slots=slots)
    return outcomes


def _keep_replayed(connection: Connection, again: Sequence[Step]) -> None:
    """Of runs that are tried once more: take what they had kept into the next attempt."""
    if again:
        ids = [step.run_id for step in again]
        connection.execute(_KEEP, [ids, [step.span_attempt for step in again], ids])


def _cancel_orphans(connection: Connection, step: Step) -> list[str]:
    return [run for orphan in step.orphans for run in cancel(connection, orphan) or ()]


def _outcome(step: Step, moved: dict[str, Moved], awake: set[str], orphaned: dict[str, list[str]]) -> Outcome:
    if step.run_id not in moved:
        return Outcome(False, ())
    status, slot = moved[step.run_id]
    ring = [child.id for child in step.children] + orphaned.get(step.run_id, [])
    if status == RunStatus.PENDING:
        ring.append(step.run_id)
    if step.ends and step.parent_id in awake:
        ring.append(step.parent_id)
    return Outcome(True, tuple(ring), () if slot is None or not step.ends else (slot,))


class Moved(NamedTuple):
    """The status that a run has now, and the slot that it holds or held."""

    status: str
    slot: Slot | None


def _move(connection: Connection, steps: Sequence[Step]) -> dict[str, Moved]:
    """By run id, for the steps whose lease held."""
    if len(steps) == 1 and steps[0].status is RunStatus.RUNNING and len(steps[0].spans) == 1:
        [step] = steps
        values = (step.run_id, step.span_attempt, *step.spans[0], step.lease)
        given = [None if value is None else str(value) for value in values]
        return _statuses(RECORD_SPAN.rows(connection, given))
    ids, held = plain([step.run_id for step in steps]), plain([step.lease for step in steps])
    rows = spans.columns([(step.run_id, step.span_attempt, span) for step in steps for span in step.spans])
    if all(step.status is RunStatus.RUNNING for step in steps):
        return _statuses(RECORD_SPANS.rows(connection, [*rows, ids, held]))
    moves = [
        plain([step.status for step in steps]),
        plain([step.attempt for step in steps]),
        texts([step.output for step in steps]),
        texts([step.error for step in steps]),
        plain([step.due for step in steps]),
    ]
    given = [*rows, ids, held, *moves, str(LEASE), str(RING_AGAIN)]
    if any(step.awaited for step in steps):
        # What a `respond` node said with the end is told by `answers.tell`, if it is the first.
        ends = [step.awaited and step.answer is None for step in steps]
        told = texts([answers.payload(step) if end else None for step, end in zip(steps, ends, strict=True)])
        return _statuses(RECORD_TOLD.rows(connection, [*given, told, RUN_ANSWERED]))
    return _statuses(RECORD.rows(connection, given))


def _statuses(rows: Iterable[Row]) -> dict[str, Moved]:
    return {
        run.decode(): Moved(status.decode(), _slot(*slot)) for run, status, *slot in rows if run and status
    }


def _slot(limited_by: bytes | None = None, key: bytes | None = None) -> Slot | None:
    return None if limited_by is None else Slot(int(limited_by), (key or b"").decode())


def _start_children(connection: Connection, steps: Sequence[Step]) -> list[Slot]:
    """Gives the slots that they ask for."""
    children = [(step.run_id, child) for step in steps for child in step.children]
    if not children:
        return []
    columns = [
        [child.id for _, child in children],
        [parent for parent, _ in children],
        [child.version_id for _, child in children],
        [child.pattern for _, child in children],
        [child.trigger for _, child in children],
        [child.input for _, child in children],
        [child.parent_path for _, child in children],
    ]
    rows = connection.execute(_START_CHILDREN, [RING_AGAIN, *columns]).fetchall()
    limited = [(run, deployment) for run, deployment in rows if deployment is not None]
    return concurrency.limit_called(connection, limited) if limited else []
