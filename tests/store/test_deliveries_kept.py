"""How much is kept of calls that started no run."""

from __future__ import annotations

import os

import pytest

from store import deliveries
from store.database import Database
from store.deliveries import Refused
from store.ids import new_id


def _refused(deployment: int, body: bytes | None) -> Refused:
    return Refused(
        id=new_id(),
        deployment_id=deployment,
        at=1_900_000_000,
        status=422,
        reason="invalid-body",
        detail="it does not fit",
        address=None,
        request={"method": "POST", "path": "", "query": "", "headers": []},
        body=body,
    )


def test_of_each_deployment_the_newest_stay_up_to_so_many_bytes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MOST_BYTES", 100_000)
    large = [_refused(1, os.urandom(30_000)) for _ in range(5)]
    small = [_refused(2, None) for _ in range(5)]
    with database.connection() as connection:
        deliveries.keep(connection, [*large, *small])
        deliveries.forget_old(connection)
        kept = {row[0] for row in connection.execute("SELECT id::text FROM deliveries")}
    assert kept == {one.id for one in [*large[2:], *small]}
