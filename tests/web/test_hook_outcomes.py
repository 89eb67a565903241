"""What callers are told when what their run gave cannot be had."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from schemas.pattern import pattern_from_spec
from store.answers import State
from store.blobs import FolderBlobs
from store.database import Database, StoreUnavailable
from store.deployments import Route
from web.contents import Contents
from web.hooks.gate import Gate
from web.hooks.outcomes import Outcomes
from web.hooks.refusal import Reason, Refusal
from web.hooks.routes import Door


class Away:
    def connection(self) -> Any:
        raise StoreUnavailable("The database does not answer: no route to 10.1.2.3")


def refusal(respond: str, state: State, folder: Path) -> Refusal:
    pattern = pattern_from_spec("waits", {"on": {"webhook": {"respond": respond}}, "nodes": []})
    assert pattern.webhook is not None
    about = {"token": "t", "deployment_id": 1, "organisation": "default", "environment": "production"}
    more = {"name": "waits", "state": "active", "version_id": "v", "number": 1, "pattern": pattern}
    door = Door(Route(**cast(Any, {**about, **more})), Gate(pattern, pattern.webhook))
    outcomes = Outcomes(cast(Database, Away()), Contents(), lambda: FolderBlobs(folder), "/api/v1/runs/")
    with pytest.raises(Refusal) as refused:
        asyncio.run(outcomes.reply(state, door))
    assert refused.value.reason is Reason.LOST
    return refused.value


def test_a_database_that_went_away_before_the_answer_is_no_defect(tmp_path: Path) -> None:
    state = State(run="r", status="completed", output="1", error=None, answer=None)
    assert "10.1.2.3" not in refusal("last-node", state, tmp_path).detail


def test_where_outputs_are_kept_is_nothing_for_callers(tmp_path: Path) -> None:
    answer = f'{{"$blob":"{"ab" * 32}","size":9}}'
    state = State(run="r", status="running", output=None, error=None, answer=answer)
    assert str(tmp_path) not in refusal("respond-node", state, tmp_path).detail
