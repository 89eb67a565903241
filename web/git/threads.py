"""The Git server's own threads: a push that waits for its turn must not keep anybody else's work waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import IO, ParamSpec, TypeVar

from web.git.child import Child

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="git")

    def start(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Do it beside the event loop; behind `close` in its place, since what is left then is cleaning up."""
        loop, work = asyncio.get_running_loop(), partial(function, *args, **kwargs)
        try:
            return loop.run_in_executor(self._pool, work)
        except RuntimeError:
            done: asyncio.Future[T] = loop.create_future()
            done.set_result(work())
            return done

    async def start_child(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], stdin: IO[bytes] | int
    ) -> Child:
        """A Git process. Whoever is cancelled while it starts leaves none behind."""
        starting = self.start(Child, arguments, environment=environment, stdin=stdin)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_close)
            raise

    def close(self) -> None:
        self._pool.shutdown(wait=True)


def _close(starting: asyncio.Future[Child]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().close()
