"""From how a run stands to what its caller is sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import orjson

from schemas.webhook import Respond
from store import answers
from store.answers import State
from store.blobs import BlobMissing, Blobs, BlobsUnavailable
from store.database import Database, StoreUnavailable
from store.large import found, is_reference
from web.contents import Contents
from web.hooks import replies
from web.hooks.refusal import Reason, Refusal
from web.hooks.replies import Reply
from web.hooks.routes import Door

log = logging.getLogger(__name__)


class Outcomes:
    """`blobs` opens where large values are kept; `runs` is the URL below which runs can be read."""

    def __init__(self, database: Database, contents: Contents, blobs: Callable[[], Blobs], runs: str) -> None:
        self._database = database
        self._open = blobs
        self._blobs: Blobs | None = None
        self._runs = runs
        self._contents = contents
        self._hides: dict[str, bool] = {}  # by version id

    async def reply(self, state: State, door: Door) -> Reply:
        """Of a run that has answered or ended."""
        if door.gate.webhook.respond is Respond.RESPOND_NODE:
            if state.answer is None:
                # It may have answered before the end that we were told of.
                state = await asyncio.to_thread(self._again, state)
            if state.answer is not None:
                return replies.answered(await self._whole(state.answer))
        elif state.status == "completed":
            if await self._hidden(door.route.version_id):
                return replies.output(None)
            return replies.output(None if state.output is None else await self._whole(state.output))
        return replies.ended(state, self._runs + state.run)

    def _again(self, state: State) -> State:
        try:
            with self._database.connection() as connection:
                return answers.states(connection, [state.run]).get(state.run, state)
        except StoreUnavailable:
            return state

    async def _hidden(self, version_id: str) -> bool:
        """Whether the output is that of a secret node."""
        known = self._hides.get(version_id)
        if known is None:
            if len(self._hides) > 10_000:
                self._hides.clear()
            known = self._hides[version_id] = await asyncio.to_thread(self._look, version_id)
        return known

    def _look(self, version_id: str) -> bool:
        try:
            with self._database.connection() as connection:
                return self._contents.hides_output(connection, version_id)
        except StoreUnavailable as error:
            raise _lost(error) from error

    async def _whole(self, text: str) -> bytes:
        return await asyncio.to_thread(self._load, text) if is_reference(text) else text.encode()

    def _load(self, text: str) -> bytes:
        if self._blobs is None:
            self._blobs = self._open()
        try:
            return self._blobs.get(found(orjson.loads(text), self._blobs).key)
        except (BlobMissing, BlobsUnavailable) as error:
            raise _lost(error) from error


def _lost(error: Exception) -> Refusal:
    """Why is for whoever runs this: it names hosts and folders, and the caller may be anybody."""
    log.warning("output_unreadable", extra={"error": str(error)})
    return Refusal(Reason.LOST, "What the run gave cannot be read just now. The run itself has ended.")
