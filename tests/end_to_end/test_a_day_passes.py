"""A run that sleeps for a day outlives a restart of everything, and then waits for somebody to approve."""

from __future__ import annotations

from typing import Any

import pytest
from eventually import eventually
from installation import installation, live

NODES = """
- {id: before, uses: set, with: {x: 1}}
- {id: night, uses: delay, with: {for: 24h}}
- {id: go, uses: approve, with: {message: Go on?, notRequester: false}}
- {id: after, uses: set, with: {by: "${{ nodes.go.by[0] }}", x: "${{ nodes.before.x }}"}}
"""

# PostgreSQL looks for functions in its own schema first, unless the search path says otherwise.
MOVE_THE_CLOCK = """
CREATE SCHEMA moved;
CREATE FUNCTION moved.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT pg_catalog.now() + interval '25 hours' $$;
CREATE FUNCTION moved.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS $$ SELECT pg_catalog.clock_timestamp() + interval '25 hours' $$;
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = public, moved, pg_catalog', current_database());
END $$;
"""


@pytest.mark.chaos
def test_a_run_sleeps_for_a_day_through_restarts_and_is_then_approved() -> None:
    with installation() as weft:
        weft.push(live("slow", NODES, timeout="3d"))
        status, answer = weft.request("POST", weft.hook("slow"), {})
        assert status == 202
        run = answer["run"]["id"]

        def shown() -> Any:
            return weft.get(f"/api/v1/runs/{run}")

        def node(name: str) -> Any:
            return next((one for one in shown()["nodes"] if one["id"] == name), None)

        eventually(lambda: shown()["status"] == "waiting")
        weft.stop()
        weft.start()
        assert (shown()["status"], node("night")["status"]) == ("waiting", "waiting")

        with weft.database() as connection:
            connection.execute(MOVE_THE_CLOCK)
        weft.kill_everything()
        weft.start()
        eventually(lambda: node("go") is not None)
        assert node("night")["status"] == "completed"
        assert node("go")["waitsFor"]["message"] == "Go on?"
        assert weft.request("POST", f"/api/v1/runs/{run}/events", {"approved": True})[0] == 202
        eventually(lambda: shown()["status"] == "completed")
        assert shown()["output"] == {"by": "admin", "x": 1}
        assert shown()["durationMs"] > 24 * 3600 * 1000
