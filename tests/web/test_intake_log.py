"""What the log says of triggers that could not be kept."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing
from typing import Any, cast

import pytest

from store.database import Database, StoreUnavailable
from store.ids import new_id
from store.runs import NewRun
from web.intake import Intake


async def _refused(intake: Intake, calls: int) -> None:
    for _ in range(calls):
        run = NewRun(id=new_id(), deployment_id=1, kind="webhook", trigger="{}")
        with pytest.raises(StoreUnavailable):
            await intake.accept(run, light=True)


def test_whoever_runs_the_service_reads_once_in_a_while_why_triggers_were_not_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Database("postgresql://127.0.0.1:1/nobody", connections=1)
    caplog.set_level(logging.WARNING, "web.intake")
    with closing(database), closing(Intake(database, cast("Any", None))) as intake:
        asyncio.run(_refused(intake, 3))
    told = [record for record in caplog.records if record.message == "triggers_not_kept"]
    assert len(told) == 1
    assert "refused" in told[0].__dict__["error"]
