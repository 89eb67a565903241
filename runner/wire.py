"""A connection to the broker as the hot path uses it: redis-py's own connection and parser, without the client
around them, whose pool, retries and metrics cost three times the round trip.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import redis


class Wires:
    """One kept connection per thread."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._pool = pool
        self._own = threading.local()
        self._mutex = threading.Lock()
        self._made: list[Any] = []

    def send(self, *commands: Sequence[Any]) -> list[Any]:
        """The replies to commands that may be repeated, in one round trip.

        Raises redis.RedisError; of several commands that are refused, the first one's.
        """
        connection = self._connection()
        packed = connection.pack_commands(commands)
        try:
            replies = _exchange(connection, packed, len(commands))
        except redis.ConnectionError:
            # The broker was started anew since the last call: only a new connection can tell.
            replies = _exchange(connection, packed, len(commands))
        for reply in replies:
            if isinstance(reply, redis.ResponseError):
                raise reply
        return replies

    def close(self) -> None:
        """Only when no other thread is at it any more."""
        with self._mutex:
            made, self._made = self._made, []
        for connection in made:
            connection.disconnect()

    def _connection(self) -> Any:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._pool.make_connection()
            with self._mutex:
                self._made.append(connection)
        return connection


def _exchange(connection: Any, packed: Any, count: int) -> list[Any]:
    connection.send_packed_command(packed, check_health=False)
    return [_reply(connection) for _ in range(count)]


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error  # the replies behind it are still to be read
