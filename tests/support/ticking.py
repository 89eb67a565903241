"""Schedulers in this process, and a database whose clock a test sets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from running import Running

from runner.scheduler import Scheduler

# PostgreSQL looks for functions in its own schema first, unless the search path says otherwise.
MOVABLE_CLOCK = """
CREATE SCHEMA moved;
CREATE TABLE moved.clock (ahead interval NOT NULL);
INSERT INTO moved.clock VALUES ('0');
CREATE FUNCTION moved.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT pg_catalog.now() + ahead FROM moved.clock $$;
CREATE FUNCTION moved.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS $$ SELECT pg_catalog.clock_timestamp() + ahead FROM moved.clock $$;
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = public, moved, pg_catalog', current_database());
END $$;
"""

NODES = [{"id": "a", "uses": "set", "with": {}}]


def movable(running: Running) -> None:
    """Its clock can be set, for connections that are opened from now on."""
    with running.database.connection() as connection:
        connection.execute(MOVABLE_CLOCK)


def move(running: Running, by: timedelta) -> None:
    with running.database.connection() as connection:
        connection.execute("UPDATE moved.clock SET ahead = ahead + %s", [by])


@contextmanager
def scheduling(running: Running, count: int = 1) -> Iterator[list[Scheduler]]:
    stop = threading.Event()
    made = [Scheduler(running.database, running.redis_url) for _ in range(count)]
    threads = [threading.Thread(target=scheduler.run, args=[stop]) for scheduler in made]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        stop.set()
        for scheduler, thread in zip(made, threads, strict=True):
            scheduler.wake()
            thread.join(timeout=10)
            assert not thread.is_alive()


def scheduled(
    running: Running, name: str, *schedules: dict[str, Any], live_for: str = "0", **spec: Any
) -> None:
    """Deploy a pattern with these schedules, as if it had been live for so long."""
    running.deploy(name, spec.pop("nodes", NODES), on={"schedule": list(schedules)}, **spec)
    query(running, "UPDATE revisions SET at = clock_timestamp() - %s::interval", [live_for])
    query(running, "SELECT pg_notify('weft_deployments', %s)", [f"default {name}"])


def query(running: Running, sql: str, arguments: Any = None) -> list[tuple[Any, ...]]:
    with running.database.connection() as connection:
        cursor = connection.execute(sql.encode(), arguments)
        return cursor.fetchall() if cursor.description else []


def fired(running: Running) -> list[tuple[str, str]]:
    """(pattern, slot) of the runs that schedules started."""
    sql = "SELECT pattern, trigger->>'time' FROM runs WHERE trigger_kind = 'schedule' ORDER BY 1, 2"
    return [(row[0], row[1]) for row in query(running, sql)]


def recorded(running: Running) -> dict[str, int]:
    """Reasons of the slots that did not fire, and how many; those that fired are `fired`, that wait `waiting`."""
    sql = """SELECT CASE WHEN run_id IS NULL THEN coalesce(refused, 'waiting') ELSE 'fired' END,
                 sum(CASE WHEN last_at IS NULL THEN 1 ELSE count END)::int
             FROM slots GROUP BY 1"""
    return dict(query(running, sql))
