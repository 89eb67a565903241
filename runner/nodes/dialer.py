"""Connections to the hosts of a project's connections: to addresses that nodes may reach, checked and pinned."""

from __future__ import annotations

import socket
from concurrent.futures import Future, ThreadPoolExecutor

import httpcore

from runner.nodes.base import NodeError
from runner.nodes.network import CheckedBackend, NetworkPolicy, Target, targets
from runner.nodes.watched import WatchedStream

_RESOLVERS = 4  # names that are looked up at the same time
_IDLE = 30  # seconds after which a silent connection is asked whether it still lives
_SILENCE = 15_000  # milliseconds without an acknowledgement after which it does not


class Dialer:
    """For many threads; make it after forking. Waits are the current `Watch`'s."""

    def __init__(self) -> None:
        # Looking up a name cannot be interrupted, so it happens beside the thread that waits for it.
        self._resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolve")

    def close(self) -> None:
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    def stream(self, host: str, port: int, allow: tuple[str, ...]) -> WatchedStream:
        """A connection whose waits are the current `Watch`'s. Raises NodeError and what `Watch` raises."""
        try:
            policy = NetworkPolicy(allow)
        except ValueError as error:
            raise NodeError(
                "blocked_address", f"network.allow in weft.yaml: {error}", retryable=False
            ) from error
        try:
            return CheckedBackend(policy, self._resolve).connect_tcp(host, port)
        except httpcore.ConnectError as error:
            raise NodeError("connection", f"{host}:{port}: {error}") from error

    def connect(self, host: str, port: int, allow: tuple[str, ...]) -> socket.socket:
        """A connected socket that blocks. Raises as `stream` does."""
        found: socket.socket = self.stream(host, port, allow).get_extra_info("socket")
        found.setblocking(True)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE)
        return found

    def reachable(self, host: str, port: int, allow: tuple[str, ...]) -> str:
        """The address of `host` that answers, for those who connect themselves. Raises as `connect` does."""
        with self.connect(host, port, allow) as connection:
            return str(connection.getpeername()[0])

    def _resolve(self, host: str, port: int) -> Future[list[Target]]:
        return self._resolvers.submit(targets, host, port)
