"""What the sweeper leaves alone."""

from __future__ import annotations

import time

import pytest
from support.running import Running, sweeper

from runner.broker import BellBroker
from runner.sweeper import CROWDED


@pytest.mark.parametrize(("ahead", "rung_again"), [(CROWDED + 1, False), (10, True)])
def test_who_waits_behind_a_long_queue_is_not_rung_for_again(
    running: Running, ahead: int, rung_again: bool
) -> None:
    running.deploy("p", [{"id": "a", "uses": "set", "with": {}}])
    run = running.start("p", ring=False)
    with running.database.connection() as connection:
        connection.execute("UPDATE runs SET due_at = now() - interval '2 seconds' WHERE id = %s", [run])
    broker = BellBroker(running.redis_url)
    assert not broker.remembers()  # else the sweeper takes it for one that lost its memory
    broker.ring([["00000000-0000-7000-8000-000000000000"]] * ahead)
    with sweeper(running):
        time.sleep(0.5)
    assert broker.waiting() == ahead + rung_again
    broker.close()
