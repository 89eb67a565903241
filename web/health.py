"""Is this process alive, and does everything answer that it stands on?"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import psycopg
import redis
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from store.database import Database, connect
from store.schedules import clock
from web.problems import Kind, Refusal

log = logging.getLogger(__name__)

PATIENCE = 0.8
"""Seconds that a part has to answer."""


class Health:
    """`/healthz` and `/readyz`, for everybody: they say what is missing, and nothing about it that is secret."""

    def __init__(self, database: Database, redis_url: str, git: Path) -> None:
        self._parts = {
            "database": _Look(lambda: _database(database.url)),
            "broker": _Look(lambda: _broker(redis_url)),
            "repositories": _Look(lambda: _folder(git)),
        }

    @property
    def routes(self) -> list[Route]:
        return [Route("/healthz", self._alive), Route("/readyz", self._ready)]

    async def _alive(self, _request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _ready(self, _request: Request) -> Response:
        answers = await asyncio.gather(*(look.answer() for look in self._parts.values()))
        parts = {name: answer or "ok" for name, answer in zip(self._parts, answers, strict=True)}
        missing = [f"{name} {answer}" for name, answer in parts.items() if answer != "ok"]
        if not missing:
            return JSONResponse({"status": "ready", "parts": parts})
        headers = {"Retry-After": "1"}
        return Refusal(
            Kind.NOT_READY, f"The {', the '.join(missing)}.", headers=headers, extra={"parts": parts}
        ).response()


class _Look:
    """Looks at one part. Where a look hangs, nobody hangs with it, and no second one begins."""

    def __init__(self, look: Callable[[], str | None]) -> None:
        self._look = look
        self._running: Future[str | None] | None = None

    async def answer(self) -> str | None:
        """None when all is well, else what is the matter."""
        if self._running is None or self._running.done():
            self._running = Future()
            threading.Thread(target=self._run, args=[self._running], name="health", daemon=True).start()
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._running)), PATIENCE)
        except TimeoutError:
            return f"does not answer within {PATIENCE:g} s"

    def _run(self, answer: Future[str | None]) -> None:
        try:
            answer.set_result(self._look())
        except (psycopg.Error, redis.RedisError, OSError) as error:
            log.warning("not_ready", extra={"error": str(error).strip()})
            answer.set_result("does not answer")
        finally:
            if not answer.done():  # a defect, told by the thread; the next request looks again
                answer.set_result("cannot be looked at")


def _database(url: str) -> str | None:
    # A connection of its own: that all of the pool's are at work is no sign of a fault.
    with connect(url) as connection:
        clock(connection)
    return None


def _broker(url: str) -> str | None:
    with redis.Redis.from_url(url, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE) as client:
        client.ping()
    return None


def _folder(git: Path) -> str | None:
    if not git.is_dir():
        return "folder is missing"
    return None if os.access(git, os.R_OK | os.W_OK | os.X_OK) else "folder cannot be read and written"
