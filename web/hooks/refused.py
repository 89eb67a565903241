"""Calls that started no run are kept, too: written down behind the answer, in batches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from store import deliveries
from store.database import Database, StoreError, StoreRefused
from store.deliveries import Refused
from store.hot import HotConnection

log = logging.getLogger(__name__)

PER_MINUTE: Final = 600
"""Calls of one deployment that a process keeps in a minute; of the others it keeps how many they were. Whoever has
the URL could fill the disk."""

BODIES_PER_MINUTE: Final = 8 * 1024 * 1024
"""Bytes of their bodies that are kept, likewise; what comes beyond that is kept without its body."""

WAITING: Final = 32 * 1024 * 1024
"""Bytes of bodies that wait to be written; what comes beyond that is kept without its body."""

PATIENCE: Final = 10.0
"""Seconds for which the database may be away."""


class RefusedCalls:
    """Belongs to one event loop; one thread of its own writes."""

    def __init__(self, database: Database) -> None:
        self._connection = HotConnection(database, patience=PATIENCE)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="refused")
        self._waiting: list[Refused] = []
        self._held = 0
        self._busy = False
        self._minute = 0
        self._kept: dict[int, int] = defaultdict(int)
        self._bodies: dict[int, int] = defaultdict(int)
        self._more: dict[int, int] = defaultdict(int)

    def keep(self, call: Refused) -> None:
        if not self._may_keep(call.deployment_id):
            self._more[call.deployment_id] += 1
            return
        size = len(call.body or b"")
        if self._held + size > WAITING or self._bodies[call.deployment_id] >= BODIES_PER_MINUTE:
            call, size = replace(call, body=None), 0
        more = self._more.pop(call.deployment_id, 0)
        self._held += size
        self._bodies[call.deployment_id] += size
        self._waiting.append(replace(call, more=more) if more else call)
        if not self._busy:
            self._write_next(asyncio.get_running_loop())

    def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()

    def _may_keep(self, deployment_id: int) -> bool:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute = minute
            self._kept.clear()
            self._bodies.clear()
        self._kept[deployment_id] += 1
        return self._kept[deployment_id] <= PER_MINUTE

    def _write_next(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting = self._waiting, []
        self._busy = True
        done = loop.run_in_executor(self._thread, self._write, batch)
        done.add_done_callback(lambda _: self._settle(loop, batch))

    def _settle(self, loop: asyncio.AbstractEventLoop, batch: list[Refused]) -> None:
        self._held -= sum(len(call.body or b"") for call in batch)
        if self._waiting:
            self._write_next(loop)
        else:
            self._busy = False

    def _write(self, batch: list[Refused]) -> None:
        try:
            self._connection.run(lambda connection: deliveries.keep(connection, batch))
        except StoreRefused as error:
            # One that cannot be written must not take the others with it.
            if len(batch) > 1:
                for call in batch:
                    self._write([call])
            else:
                log.warning("refused_calls_lost", extra={"error": str(error), "calls": 1})
        except StoreError as error:
            log.warning("refused_calls_lost", extra={"error": str(error), "calls": len(batch)})
