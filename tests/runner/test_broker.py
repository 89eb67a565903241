"""What we rely on in Dramatiq's private parts, on a real broker: a new release that moves them fails here."""

import queue
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from runner.broker import MAX_BELLS, QUEUE, BellBroker, BellWorker, make_actor

IDLE_POLL = 4_000  # milliseconds: whoever waits for it instead of the bell fails the test


@pytest.fixture
def broker(redis_url: str) -> Iterator[BellBroker]:
    broker = BellBroker(redis_url)
    yield broker
    broker.close()


def start(broker: BellBroker, execute: Callable[[list[str]], None]) -> BellWorker:
    make_actor(broker, execute)
    worker = BellWorker(broker, threads=2)
    worker.start()
    return worker


def test_a_waiting_consumer_is_woken_at_once(broker: BellBroker) -> None:
    consumer = broker.consume(QUEUE, prefetch=1, timeout=IDLE_POLL)
    woken: queue.Queue[float] = queue.Queue()

    def wait() -> None:
        while next(consumer) is None:
            pass
        woken.put(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    rung = time.monotonic()
    broker.ring([["a"]])
    assert woken.get(timeout=5) - rung < 2
    thread.join()


def test_each_group_reaches_the_actor_as_one_message(broker: BellBroker) -> None:
    got: queue.Queue[list[str]] = queue.Queue()
    worker = start(broker, got.put)
    broker.ring([["a", "b"], ["c"]])
    assert sorted([got.get(timeout=5), got.get(timeout=5)]) == [["a", "b"], ["c"]]
    worker.stop()


def test_what_was_done_is_acknowledged_when_the_worker_stops(broker: BellBroker) -> None:
    got: queue.Queue[list[str]] = queue.Queue()
    worker = start(broker, got.put)
    broker.ring([[str(i)] for i in range(50)])
    for _ in range(50):
        got.get(timeout=5)
    worker.stop()
    assert broker.do_qsize(QUEUE) == 0


def test_what_a_dead_worker_had_fetched_is_put_back_by_its_replacement(
    broker: BellBroker, redis_url: str
) -> None:
    broker.ring([["a"], ["b"], ["c"]])
    dead = BellBroker(redis_url, name="dead")
    fetched = dead.consume(QUEUE, prefetch=2, timeout=100)
    assert next(fetched) is not None
    broker.adopt("dead")
    got: queue.Queue[list[str]] = queue.Queue()
    worker = start(broker, got.put)
    assert sorted(got.get(timeout=5)[0] for _ in range(3)) == ["a", "b", "c"]
    worker.stop()
    dead.close()


def test_bells_nobody_hears_do_not_pile_up(broker: BellBroker) -> None:
    for _ in range(10):
        broker.ring([[str(i)] for i in range(50)])
    assert broker.client.llen(broker.bell) == MAX_BELLS


def test_a_loss_of_memory_is_noticed_once(broker: BellBroker) -> None:
    assert not broker.remembers()
    assert broker.remembers()
    broker.client.flushall()
    assert not broker.remembers()
    assert broker.remembers()


def test_the_broker_learns_its_script_again_after_a_restart(broker: BellBroker) -> None:
    broker.ring([["a"]])
    broker.client.script_flush()
    broker.ring([["b"]])
    assert broker.do_qsize(QUEUE) == 2


def test_a_broker_that_is_away_is_an_error_of_redis() -> None:
    away = BellBroker("redis://127.0.0.1:1")
    with pytest.raises(redis.RedisError):
        away.ring([["a"]])
    away.close()


def test_a_backlog_is_drained_as_fast_as_it_is_worked_off(broker: BellBroker) -> None:
    """Also when there are far more messages than bells, and more than a consumer may hold at once."""
    count = 10 * MAX_BELLS
    broker.ring([[str(i)] for i in range(count)])
    broker.client.delete(broker.bell)
    got: queue.Queue[list[str]] = queue.Queue()
    worker = start(broker, got.put)
    deadline = time.monotonic() + 5
    while got.qsize() < count and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.stop()
    assert got.qsize() == count


def test_an_idle_worker_stops_at_once(broker: BellBroker) -> None:
    worker = start(broker, lambda ids: None)
    time.sleep(0.1)  # until all of it waits
    asked = time.monotonic()
    worker.stop()
    assert time.monotonic() - asked < 0.5


def test_a_worker_that_leaves_finishes_what_it_is_at_and_takes_nothing_new(
    broker: BellBroker, redis_url: str
) -> None:
    begun, gate, done = threading.Event(), threading.Event(), threading.Event()

    def execute(ids: list[str]) -> None:
        begun.set()
        assert gate.wait(10)
        done.set()

    worker = start(broker, execute)
    broker.ring([["a"]])
    assert begun.wait(5)
    leaving = threading.Thread(target=worker.stop)
    leaving.start()
    assert broker.leaving.wait(5)
    other = BellBroker(redis_url)
    other.ring([["b"]])
    time.sleep(0.1)  # in which one that listens would take it
    got: queue.Queue[list[str]] = queue.Queue()
    replacement = start(other, got.put)
    assert got.get(timeout=5) == ["b"]
    assert not done.is_set()
    gate.set()
    leaving.join(5)
    assert done.is_set()
    replacement.stop()
    assert other.do_qsize(QUEUE) == 0
    other.close()
