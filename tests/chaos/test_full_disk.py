"""A disk that takes no more: calls are refused, what was acknowledged completes, and it goes on when there is room.

Filling a real disk needs a file system of one's own, and so root. A limit of the size of PostgreSQL's files is an
error at the same system call, and anybody may set it.
"""

from __future__ import annotations

import http.client
import json
import os

import pytest
from callers import Callers, World
from eventually import eventually
from installation import Installation

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

SEGMENT = 16 * 1024 * 1024
"""Bytes of a file of PostgreSQL's log, which is written ahead: where a full disk leaves room."""


def call(weft: Installation, url: str) -> int:
    connection = http.client.HTTPConnection(weft.address, timeout=30)
    try:
        connection.request("POST", url, os.urandom(100_000), {"content-type": "application/octet-stream"})
        answer = connection.getresponse()
        problem = json.loads(answer.read())
        if answer.status == 503:
            assert answer.headers["retry-after"]
            assert "detail" in problem
        return answer.status
    finally:
        connection.close()


def test_a_full_disk_refuses_new_calls_and_loses_none(weft: Installation, world: World) -> None:
    weft.push(world.live("three", world.nodes(3)))
    weft.stop()
    weft.start(largest_file=SEGMENT)
    url = weft.hook("three")
    with Callers(weft, [("three", url)], threads=2, pause=0.05) as callers:
        eventually(lambda: call(weft, url) == 503, seconds=60)
        refused = [call(weft, url) for _ in range(10)]
    assert set(refused) == {503}
    assert callers.statuses.keys() <= {202, 503}
    assert callers.cut_off == 0
    assert weft.request("GET", "/healthz")[0] == 200
    assert weft.stop() == 0

    weft.start()
    assert call(weft, url) == 202
    statuses = weft.await_ends()
    assert callers.runs <= statuses.keys()
    assert set(statuses.values()) == {"completed"}
    assert set(world.done().values()) == {1}
