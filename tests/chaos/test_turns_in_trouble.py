"""`maxConcurrent` while workers are killed and the database goes away: never one too many, and none is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator

import pytest
from counting import Counting, counting
from eventually import eventually
from installation import Installation, live

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

MOST = 3
SECONDS = 0.1
NODES = "- {id: ask, uses: http, with: {connection: slow}, retry: {attempts: 1}}"


@pytest.fixture
def site() -> Iterator[Counting]:
    with counting(SECONDS) as made:
        yield made


@pytest.fixture
def asks(weft: Installation, site: Counting) -> str:
    head = "apiVersion: weft/v1\nkind: {}\nmetadata: {{name: {}}}\nspec: {}\n"
    spec = f"{{type: http, url: '{site.url}', maxConcurrent: {MOST}}}"
    allow = f"{{network: {{allow: ['127.0.0.1:{site.port}']}}}}"
    files = {
        "weft.yaml": head.format("Project", "shop", allow),
        "connections/slow.yaml": head.format("Connection", "slow", spec),
    }
    weft.push({**files, **live("asks", NODES)})
    return weft.hook("asks")


def begin(weft: Installation, url: str, runs: int) -> set[str]:
    answers = [weft.request("POST", url, {}) for _ in range(runs)]
    assert {status for status, _ in answers} == {202}
    return {answer["run"]["id"] for _, answer in answers}


def test_never_more_than_so_many_while_workers_are_killed(
    weft: Installation, site: Counting, asks: str
) -> None:
    runs = begin(weft, asks, 60)
    chance = random.Random(5)
    for _ in range(3):
        time.sleep(chance.uniform(0.2, 0.5))
        eventually(lambda: bool(weft.pids("weft-worker")))
        os.kill(chance.choice(weft.pids("weft-worker")), signal.SIGKILL)
    ended = weft.await_ends(runs)
    assert set(ended.values()) == {"completed"}
    assert site.most == MOST
    assert site.served >= len(runs)
    assert len(site.order) > len(runs), "the kills met nodes at work"
    assert weft.rows("SELECT count(*) FROM turns WHERE taken_at IS NOT NULL") == [(0,)]

    # And no turn is lost: it goes as quickly as before.
    began, more = time.monotonic(), begin(weft, asks, 30)
    weft.await_ends(more)
    took = time.monotonic() - began
    assert took < 2.5 * 30 / MOST * SECONDS + 0.5, f"{took:.2f} s"
    assert site.most == MOST


def test_never_more_than_so_many_while_the_database_is_killed(
    weft: Installation, site: Counting, asks: str
) -> None:
    runs = begin(weft, asks, 60)
    for _ in range(2):
        time.sleep(0.5)
        [database] = weft.pids("postgres")
        os.kill(database, signal.SIGKILL)
        eventually(lambda database=database: weft.pids("postgres") not in ([], [database]), seconds=30)
        eventually(lambda: weft.request("GET", "/readyz")[0] == 200, seconds=30)
    ended = weft.await_ends(runs, seconds=90)
    assert set(ended.values()) == {"completed"}
    assert site.most == MOST
    assert weft.rows("SELECT count(*) FROM turns WHERE taken_at IS NOT NULL") == [(0,)]
