"""The counters of calls, read when the first webhook with a `rateLimit` is called: they take long to import."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

from schemas.webhook import Rate

if TYPE_CHECKING:
    from web.hooks.limits import Limits


class Limiting:
    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._limits: Limits | None = None

    async def check(self, rate: Rate, deployment_id: int, name: str) -> None:
        """Count a call. Raises Refusal for one too many."""
        if self._limits is None:
            module = await asyncio.to_thread(importlib.import_module, "web.hooks.limits")
            self._limits = self._limits or module.Limits(self._redis_url)
        await self._limits.check(rate, deployment_id, name)
