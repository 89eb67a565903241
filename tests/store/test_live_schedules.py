"""What is remembered of schedules survives an upgrade, and is not kept for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg

from runner.ticking import schedule_key
from schemas.schedule import Schedule
from store import schedules, slots
from store.database import Connection, migrate, migrations
from store.schedules import LiveTicker, TickerKey
from store.slots import NewSlot, Reason

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_an_upgrade_goes_on_behind_the_last_slot_that_fired(unmigrated_database_url: str) -> None:
    said = '["0 9 * * *",null,"Europe/Berlin",{"region":"eü"}]'
    with psycopg.connect(unmigrated_database_url, autocommit=True) as connection:
        for number, sql in migrations():
            if number < 11:
                connection.execute(sql.encode())
        connection.execute(
            "CREATE TABLE migrations (number integer PRIMARY KEY, at timestamptz DEFAULT now())"
        )
        connection.execute("INSERT INTO migrations SELECT generate_series(1, 10)")
        for hours, refused in ((24, None), (0, "full")):
            connection.execute(
                "INSERT INTO slots (deployment_id, schedule, at, refused) VALUES (7, %s, %s, %s)",
                [said, NOON - timedelta(hours=hours), refused],
            )
    migrate(unmigrated_database_url)
    schedule = Schedule(cron="0 9 * * *", timezone="Europe/Berlin", input={"region": "eü"})
    with psycopg.connect(unmigrated_database_url) as connection:
        rows = connection.execute("SELECT deployment_id, schedule, upto FROM tickers").fetchall()
        assert rows == [(7, schedule_key(schedule), NOON)]
        reasons = connection.execute("SELECT refused FROM slots ORDER BY at").fetchall()
        assert reasons == [(None,), ("concurrency",)]


def _live(name: str, since: datetime, active_since: datetime | None = None) -> LiveTicker:
    return LiveTicker(TickerKey(1, name), since, active_since or since)


def test_a_schedule_that_is_new_begins_when_it_went_live_and_one_that_is_known_goes_on(
    connection: Connection,
) -> None:
    assert schedules.settle(connection, [_live("a", NOON)], None) == {TickerKey(1, "a"): NOON}
    later = NOON + timedelta(hours=1)
    both = [_live("a", later, NOON), _live("b", later, NOON)]
    assert schedules.settle(connection, both, [1]) == {TickerKey(1, "a"): NOON, TickerKey(1, "b"): later}


def test_one_that_was_paused_begins_when_that_ended_and_one_that_is_gone_is_forgotten(
    connection: Connection,
) -> None:
    schedules.settle(connection, [_live("a", NOON), _live("b", NOON)], None)
    resumed = NOON + timedelta(hours=1)
    assert schedules.settle(connection, [_live("a", resumed)], [1]) == {TickerKey(1, "a"): resumed}
    assert schedules.hold(connection, [TickerKey(1, "b")]) == {}
    assert schedules.without_ticker(connection, [TickerKey(1, "a"), TickerKey(1, "b")]) == [TickerKey(1, "b")]
    schedules.settle(connection, [], [2])
    assert schedules.hold(connection, [TickerKey(1, "a")]) == {TickerKey(1, "a"): resumed}


def test_old_slots_are_forgotten_but_not_rows_that_reach_further_or_wait(connection: Connection) -> None:
    key = TickerKey(1, "a")
    day = timedelta(days=1)
    new = [
        NewSlot(key=key, at=NOON - 4 * day, reason=Reason.OVERLAP),
        NewSlot(key=key, at=NOON - 3 * day, reason=Reason.MISSED, last_at=NOON, count=9),
        NewSlot(key=key, at=NOON - 2 * day, open=True),
        NewSlot(key=key, at=NOON, reason=Reason.OVERLAP),
    ]
    assert len(slots.add(connection, new)) == 4
    assert slots.add(connection, new) == set()
    slots.forget(connection, [(key, NOON - day)])
    rows = connection.execute("SELECT at FROM slots ORDER BY at").fetchall()
    assert [(NOON - row[0]).days for row in rows] == [3, 2, 0]


def test_a_slot_is_decided_by_whoever_holds_its_schedule(connection: Connection) -> None:
    schedules.settle(connection, [_live("a", NOON), _live("b", NOON)], None)
    keys = [TickerKey(1, "a"), TickerKey(1, "b")]
    url = connection.info.dsn
    with psycopg.connect(url, password=connection.info.password) as other, connection.transaction():
        assert schedules.hold(connection, keys[:1]).keys() == {keys[0]}
        assert schedules.hold(other, keys).keys() == {keys[1]}
