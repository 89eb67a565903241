"""How often a webhook may be called: counted in the broker, so that all web processes share the count."""

from __future__ import annotations

import logging
import math
import time
from typing import Final

from limits import (
    RateLimitItem,
    RateLimitItemPerDay,
    RateLimitItemPerHour,
    RateLimitItemPerMinute,
    RateLimitItemPerSecond,
)
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

from schemas.webhook import Rate
from web.hooks.refusal import Reason, Refusal

log = logging.getLogger(__name__)

_ITEMS: Final[dict[str, type[RateLimitItem]]] = {
    "s": RateLimitItemPerSecond,
    "m": RateLimitItemPerMinute,
    "h": RateLimitItemPerHour,
    "d": RateLimitItemPerDay,
}
_WORDS: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day"}

SILENCE: Final = 1.0
"""Seconds for which a broker that does not answer is left alone; meanwhile each process counts for itself."""


class Limits:
    """Belongs to one event loop."""

    def __init__(self, redis_url: str) -> None:
        shared = RedisStorage(
            _storage_url(redis_url),
            implementation="redispy",
            socket_timeout=SILENCE,
            socket_connect_timeout=SILENCE,
        )
        self._shared = SlidingWindowCounterRateLimiter(shared)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._silent_until = 0.0

    async def check(self, rate: Rate, deployment_id: int, name: str) -> None:
        """Count a call. Raises Refusal, with the seconds to wait, for one too many."""
        item, key = _ITEMS[rate.unit](rate.count), str(deployment_id)
        if time.monotonic() < self._silent_until:
            wait = await _hit(self._own, item, key)
        else:
            try:
                wait = await _hit(self._shared, item, key)
            except (RedisError, OSError) as error:
                log.warning("broker_away", extra={"error": str(error), "deployment": deployment_id})
                self._silent_until = time.monotonic() + SILENCE
                wait = await _hit(self._own, item, key)
        if wait is not None:
            detail = f"{name} takes {rate.count} calls in a {_WORDS[rate.unit]}, its `rateLimit`."
            after = str(max(1, math.ceil(wait)))
            raise Refusal(Reason.RATE, detail, headers={"retry-after": after})


async def _hit(limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, key: str) -> float | None:
    """None, or the seconds until there is room again."""
    if await limiter.hit(item, key):
        return None
    return (await limiter.get_window_stats(item, key)).reset_time - time.time()


def _storage_url(redis_url: str) -> str:
    """As `limits` calls what redis-py calls so."""
    scheme, colon, rest = redis_url.partition(":")
    return f"async+{'redis+unix' if scheme == 'unix' else scheme}{colon}{rest}"
