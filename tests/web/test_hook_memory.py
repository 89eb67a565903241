"""What a webhook's callers take of this process's memory while they wait."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, cast

import pytest

from schemas.pattern import pattern_from_spec
from store.admission import Answer, Verdict
from store.database import Database
from store.deployments import Route
from store.runs import NewRun
from web.clients import Clients
from web.hooks import bodies
from web.hooks.app import Hooks
from web.hooks.bodies import Reader
from web.hooks.call import Call
from web.hooks.callers import Callers
from web.hooks.gate import Gate
from web.hooks.refusal import Reason, Refusal
from web.hooks.routes import Door

BODY = b'"' + b"x" * 1_000_000 + b'"'
NOBODY = cast(Any, None)


class Accepting:
    """Intake and routes of a webhook that takes everything."""

    def __init__(self) -> None:
        spec = {"on": {"webhook": {"respond": "last-node", "respondWithin": "20s"}}, "nodes": []}
        pattern = pattern_from_spec("waits", spec)
        assert pattern.webhook is not None
        route = Route(
            token="t",
            deployment_id=1,
            organisation="default",
            environment="production",
            name="waits",
            state="active",
            version_id="v",
            number=1,
            pattern=pattern,
        )
        self._door = Door(route, Gate(pattern, pattern.webhook))
        self.accepted = 0

    def get(self, token: str) -> Door:
        return self._door

    async def accept(self, run: NewRun, *, light: bool) -> Verdict:
        assert len(run.trigger) > len(BODY)
        self.accepted += 1
        return Verdict(Answer.PENDING)


def scope() -> dict[str, Any]:
    headers = [(b"content-type", b"application/json")]
    return {"path": "/hooks/t", "method": "POST", "query_string": b"", "headers": headers, "client": None}


def test_those_who_wait_keep_nothing_of_their_body() -> None:
    async def wait() -> None:
        doing = Accepting()
        callers = Callers(cast(Database, None))
        hooks = Hooks(
            cast(Any, doing),
            cast(Any, doing),
            callers,
            outcomes=NOBODY,
            refused=NOBODY,
            clients=Clients(),
            signers=NOBODY,
            limiting=NOBODY,
            public_url="",
        )

        async def call() -> None:
            messages = [{"type": "http.request", "body": bytes(bytearray(BODY))}]

            async def receive() -> dict[str, Any]:
                return messages.pop() if messages else await asyncio.Future()

            await hooks(scope(), receive, NOBODY)

        waiting = [asyncio.ensure_future(call()) for _ in range(10)]
        await asyncio.sleep(0.2)
        assert doing.accepted == 10
        assert not any(task.done() for task in waiting)
        assert not [one for one in gc.get_objects() if isinstance(one, NewRun)]
        assert [one.raw for one in gc.get_objects() if isinstance(one, Call)] == [None] * 10
        assert hooks._reader._held == 0
        for task in waiting:
            task.cancel()
        assert callers._looking is not None, "somebody waits"
        callers._looking.cancel()

    asyncio.run(wait())


def test_bodies_count_until_they_are_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "IN_ALL", 4_000_000)

    async def read(reader: Reader, size: int) -> bytes:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"x" * size}

        return await reader.read(receive, "", size)

    reader, size = Reader(), 1_000_000
    held = [asyncio.run(read(reader, size)) for _ in range(4)]
    with pytest.raises(Refusal) as refused:
        asyncio.run(read(reader, size))
    assert refused.value.reason is Reason.BUSY
    reader.let_go(held.pop())
    asyncio.run(read(reader, size))
