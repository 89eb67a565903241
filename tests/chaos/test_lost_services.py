"""The broker forgets, the database dies, everything dies: what was acknowledged completes, once."""

from __future__ import annotations

import os
import signal
import time

import pytest
from callers import Callers, World
from eventually import eventually
from installation import Installation

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

NODES = ("n1", "n2", "n3")


@pytest.fixture
def url(weft: Installation, world: World) -> str:
    weft.push(world.live("three", world.nodes(3, before=0.04)))
    return weft.hook("three")


def check_all_completed(weft: Installation, callers: Callers) -> None:
    """Whatever was acknowledged (and what was accepted though its answer was lost) has completed."""
    statuses = weft.await_ends()
    assert callers.runs <= statuses.keys()
    assert set(statuses.values()) == {"completed"}
    spans = weft.rows("SELECT run_id::text, array_agg(path ORDER BY path), count(*) FROM spans GROUP BY 1")
    assert {run: paths for run, paths, _ in spans} == {run: list(NODES) for run in statuses}


def check_done_once(weft: Installation, world: World) -> None:
    """Nobody died with a run in hand, so no node of any run was done twice."""
    done = world.done()
    assert set(done.values()) == {1}, {key: count for key, count in done.items() if count > 1}
    assert len(done) == 3 * len(weft.statuses())


def queued(weft: Installation) -> int:
    with weft.broker() as broker:
        return int(broker.llen("weft:runs"))


def await_queue(weft: Installation, callers: Callers, runs: int) -> None:
    """Until so many were acknowledged and some of them wait for a worker."""
    eventually(lambda: len(callers.runs) >= runs and queued(weft) > 20, seconds=30)


def test_a_flushed_broker_loses_no_run(weft: Installation, world: World, url: str) -> None:
    with Callers(weft, [("three", url)], threads=24, limit=500) as callers:
        for runs in (100, 300):
            await_queue(weft, callers, runs)
            with weft.broker() as broker:
                broker.flushall()
        callers.join()
    assert (callers.statuses, callers.cut_off) == ({202: 500}, 0)
    check_all_completed(weft, callers)
    check_done_once(weft, world)
    assert len(weft.statuses()) == 500


def test_a_killed_broker_loses_no_run(weft: Installation, world: World, url: str) -> None:
    with Callers(weft, [("three", url)], threads=24, limit=500) as callers:
        for runs in (100, 300):
            await_queue(weft, callers, runs)
            [broker] = weft.pids("valkey-server")
            os.kill(broker, signal.SIGKILL)
            eventually(lambda broker=broker: weft.pids("valkey-server") not in ([], [broker]))
        callers.join()
    assert (callers.statuses, callers.cut_off) == ({202: 500}, 0)
    check_all_completed(weft, callers)
    check_done_once(weft, world)
    assert len(weft.statuses()) == 500


def test_a_killed_database_loses_no_run(weft: Installation, world: World, url: str) -> None:
    with Callers(weft, [("three", url)], threads=16, pause=0.02) as callers:
        for _ in range(3):
            before = len(callers.runs)
            eventually(lambda before=before: len(callers.runs) > before + 100, seconds=30)
            [server] = weft.pids("postgres")
            os.kill(server, signal.SIGKILL)
    assert callers.cut_off == 0
    assert callers.statuses.keys() <= {202, 503}
    assert callers.statuses[503] > 0, "no call met the outage"
    eventually(lambda: weft.request("GET", "/readyz")[0] == 200)
    check_all_completed(weft, callers)
    check_done_once(weft, world)
    # Of a call whose answer was lost with the server nobody knows; all others that were refused left nothing.
    assert len(weft.statuses().keys() - callers.runs) <= 3 * 16


def test_a_killed_connection_of_the_database_loses_no_run(weft: Installation, world: World, url: str) -> None:
    with Callers(weft, [("three", url)], threads=8, pause=0.02) as callers, weft.database() as connection:
        for _ in range(10):
            time.sleep(0.2)
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
    assert callers.cut_off == 0
    assert callers.statuses.keys() <= {202, 503}
    check_all_completed(weft, callers)
    check_done_once(weft, world)


def test_everything_killed_at_once_loses_no_run(weft: Installation, world: World, url: str) -> None:
    acknowledged: set[str] = set()
    for _ in range(2):
        with Callers(weft, [("three", url)], threads=16) as callers:
            eventually(lambda callers=callers: len(callers.runs) > 150, seconds=30)
            weft.kill_everything()
            callers.stop()
        acknowledged |= callers.runs
        weft.start()
        assert acknowledged <= weft.statuses().keys()
        assert weft.hook("three") == url
        check_all_completed(weft, callers)
    crashes = dict(weft.rows("SELECT id::text, crashes FROM runs"))
    done = world.done()
    for run in acknowledged:
        repeats = [done[run, node] - 1 for node in NODES]
        assert min(repeats) >= 0
        assert sum(repeats) <= crashes[run], (run, repeats, crashes[run])


def test_asked_to_stop_under_load_it_ends_in_time_and_the_next_start_goes_on(
    weft: Installation, world: World, url: str
) -> None:
    with Callers(weft, [("three", url)], threads=16) as callers:
        eventually(lambda: len(callers.runs) > 200 and queued(weft) > 20, seconds=30)
        began = time.monotonic()
        assert weft.stop() == 0
        took = time.monotonic() - began
        callers.stop()
    assert took < 12, f"it took {took:.1f} s"
    assert callers.statuses.keys() <= {202, 503}
    weft.start()
    check_all_completed(weft, callers)
    check_done_once(weft, world)
    assert weft.rows("SELECT DISTINCT crashes FROM runs") == [(0,)], "leaving is no crash"
    assert weft.statuses().keys() == callers.runs, "what was not acknowledged is not there"


def test_a_killed_web_process_refuses_nobody(weft: Installation, world: World, url: str) -> None:
    with Callers(weft, [("three", url)], threads=8, pause=0.01) as callers:
        for _ in range(4):
            time.sleep(0.5)
            [web] = weft.pids("weft-web")
            os.kill(web, signal.SIGKILL)
            began = time.monotonic()
            assert weft.request("GET", "/healthz")[0] == 200, "a new connection waits for the next process"
            assert time.monotonic() - began < 3
    assert callers.statuses.keys() == {202}
    assert callers.cut_off <= 4 * 8, "only calls under way at the kill may break"
    check_all_completed(weft, callers)
    check_done_once(weft, world)
