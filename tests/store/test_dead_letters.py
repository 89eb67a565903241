"""The inbox of dead letters, on a real PostgreSQL."""

import pytest

from store import dead_letters, journal, leases, runs
from store.database import Connection
from store.dead_letters import LetterFilter, LetterState
from store.ids import new_id
from store.journal import Step
from store.leases import MAX_CRASHES
from store.replays import AlreadySettledError, Replay, replay
from store.runs import NewRun, RunStatus


def end(connection: Connection, status: RunStatus, error: str = '{"type": "connection"}') -> str:
    run = NewRun(id=new_id(), deployment_id=1, kind="webhook", trigger="{}")
    assert runs.accept(connection, [run]) == {run.id}
    [claimed] = leases.claim(connection, "w", [run.id])
    step = Step(run_id=run.id, lease=claimed.lease, status=status, attempt=1, span_attempt=1, error=error)
    assert journal.record(connection, [step])[0].kept
    return run.id


def inbox(connection: Connection, **filters: object) -> list[str]:
    found, _ = dead_letters.list_letters(connection, "default", LetterFilter(**filters), None, 50)  # type: ignore[arg-type]
    return [letter.id for letter in found]


@pytest.mark.parametrize("status", [s for s in RunStatus if s in runs.ENDED])
def test_only_what_used_up_its_attempts_is_in_the_inbox(connection: Connection, status: RunStatus) -> None:
    run = end(connection, status)
    assert inbox(connection) == ([run] if status is RunStatus.DEAD_LETTER else [])


def test_an_error_with_a_null_character_ends_its_run_like_any_other(connection: Connection) -> None:
    run = end(connection, RunStatus.DEAD_LETTER, r'{"type": "a\u0000", "message": "\u0000"}')
    assert inbox(connection, error="a\ufffd") == [run]


def test_a_run_that_takes_workers_with_it_is_in_the_inbox_with_that_reason(connection: Connection) -> None:
    run = NewRun(id=new_id(), deployment_id=1, kind="webhook", trigger="{}")
    runs.accept(connection, [run])
    for crash in range(MAX_CRASHES):
        assert inbox(connection) == []
        assert leases.claim(connection, f"w{crash}", [run.id], alone=True)
        leases.free_alone(connection, f"w{crash}")
    assert inbox(connection, error="worker_crashed") == [run.id]


def test_an_end_that_was_not_written_leaves_no_letter(connection: Connection) -> None:
    run = NewRun(id=new_id(), deployment_id=1, kind="webhook", trigger="{}")
    runs.accept(connection, [run])
    [claimed] = leases.claim(connection, "w", [run.id])
    lost = Step(
        run_id=run.id, lease=claimed.lease + 7, status=RunStatus.DEAD_LETTER, attempt=1, span_attempt=1
    )  # fmt: skip
    assert not journal.record(connection, [lost])[0].kept
    assert inbox(connection) == []


def test_what_was_retried_leaves_the_inbox_and_says_what_it_became(connection: Connection) -> None:
    run, other = end(connection, RunStatus.DEAD_LETTER), end(connection, RunStatus.DEAD_LETTER)
    new = new_id()
    assert replay(connection, Replay(id=new, of=run, actor="ada", letter=True))
    assert inbox(connection) == [other]
    letter = dead_letters.get_letter(connection, "default", run)
    assert letter is not None
    assert (letter.state, letter.settled_by, letter.retried_as) == (LetterState.RETRIED, "ada", new)
    with pytest.raises(AlreadySettledError):
        replay(connection, Replay(id=new_id(), of=run, actor="bob", letter=True))
    assert connection.execute("SELECT count(*) FROM runs").fetchone() == (3,)


def test_what_cannot_be_retried_now_stays_in_the_inbox(connection: Connection) -> None:
    run = end(connection, RunStatus.DEAD_LETTER)
    connection.execute("UPDATE deployments SET state = 'paused'")
    assert not replay(connection, Replay(id=new_id(), of=run, actor="ada", letter=True))
    assert inbox(connection) == [run]


def test_many_come_the_oldest_first_with_how_many_are_left(connection: Connection) -> None:
    ids = [end(connection, RunStatus.DEAD_LETTER, f'{{"type": "t{at % 2}"}}') for at in range(6)]
    every = LetterFilter()
    assert dead_letters.matching(connection, "default", every, None, 4) == (ids[:4], 2)
    assert dead_letters.matching(connection, "default", every, ids[3], 4) == (ids[4:], 0)
    assert dead_letters.matching(connection, "default", LetterFilter(error="t1"), None, 9) == (ids[1::2], 0)
    assert dead_letters.matching(connection, "elsewhere", every, None, 4) == ([], 0)
