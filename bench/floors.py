"""What cannot be done without, measured where the product does it: the least that a figure could be."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import redis

from store.database import Connection


def timed(work: Callable[[], object], times: int) -> list[float]:
    """Seconds of each of `times` calls."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return taken


def commits(connection: Connection, times: int) -> list[float]:
    """Seconds of each of `times` durable commits of one row, one after the other."""
    connection.execute("CREATE TABLE IF NOT EXISTS bench_floor (id int)")
    taken = timed(lambda: connection.execute("INSERT INTO bench_floor VALUES (1)"), times)
    connection.execute("DROP TABLE bench_floor")
    return taken


def wakes(url: str, times: int) -> list[float]:
    """Seconds until a client waiting in BLPOP has what another pushed: half of a ball's way there and back."""

    def play() -> None:
        while far.blpop(["bench:there"]) != (b"bench:there", b"end"):
            far.rpush("bench:back", 1)

    def there_and_back() -> None:
        near.rpush("bench:there", 1)
        near.blpop(["bench:back"])

    near, far = redis.Redis.from_url(url), redis.Redis.from_url(url)
    player = threading.Thread(target=play)
    player.start()
    taken = timed(there_and_back, times)
    near.rpush("bench:there", "end")
    player.join()
    near.close()
    far.close()
    return [seconds / 2 for seconds in taken]


def pipes(times: int) -> list[float]:
    """Seconds of each of `times` messages to another thread over a socket pair, and back."""
    near, far = socket.socketpair()

    def echo() -> None:
        while data := far.recv(4096):
            far.sendall(data)

    def there_and_back() -> None:
        near.sendall(b"x" * 64)
        near.recv(4096)

    other = threading.Thread(target=echo)
    other.start()
    taken = timed(there_and_back, times)
    near.close()
    other.join()
    far.close()
    return taken
