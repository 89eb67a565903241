"""Kept connections of one worker process, apart for each network policy."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import httpcore
import httpx

from runner.nodes.base import NodeError
from runner.nodes.network import CheckedBackend, NetworkPolicy, Target, targets

_MAX_POOLS = 32
_MAX_KEPT = 32  # idle connections of one pool
_KEPT_FOR = 30  # seconds
_RESOLVERS = 8  # names that are looked up at the same time


@dataclass(kw_only=True)
class _Pool:
    connections: httpcore.ConnectionPool
    users: int = 0


class Connections:
    """Pools by policy, because a connection that one project may use is none for another. For many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, ...], _Pool] = {}  # by use, the longest unused first
        # Looking up a name cannot be interrupted, so it happens beside the thread that waits for it.
        self._resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolve")
        self._tls: ssl.SSLContext | None = None

    @contextlib.contextmanager
    def under(self, allow: tuple[str, ...]) -> Iterator[httpcore.ConnectionPool]:
        """The pool for a project that allows `allow`. Raises NodeError when that cannot be read."""
        with self._lock:
            pool = self._pools.pop(allow, None) or self._open(allow)
            self._pools[allow] = pool
            pool.users += 1
        try:
            yield pool.connections
        finally:
            with self._lock:
                pool.users -= 1
                self._close_surplus()

    def close(self) -> None:
        self._resolvers.shutdown(wait=False, cancel_futures=True)
        for pool in self._pools.values():
            pool.connections.close()
        self._pools.clear()

    def _resolve(self, host: str, port: int) -> Future[list[Target]]:
        return self._resolvers.submit(targets, host, port)

    def _open(self, allow: tuple[str, ...]) -> _Pool:
        try:
            policy = NetworkPolicy(allow)
        except ValueError as error:
            raise NodeError("bad_request", f"network.allow in weft.yaml: {error}", retryable=False) from error
        # Reads the file of trusted certificates, once. SSL_CERT_FILE and SSL_CERT_DIR name others.
        self._tls = self._tls or httpx.create_ssl_context()
        return _Pool(
            connections=httpcore.ConnectionPool(
                ssl_context=self._tls,
                max_connections=None,
                max_keepalive_connections=_MAX_KEPT,
                keepalive_expiry=_KEPT_FOR,
                network_backend=CheckedBackend(policy, self._resolve),
            )
        )

    def _close_surplus(self) -> None:
        unused = [allow for allow, pool in self._pools.items() if not pool.users]
        for allow in unused[: max(len(self._pools) - _MAX_POOLS, 0)]:
            self._pools.pop(allow).connections.close()
