"""Kept connections of one worker process, apart for each network policy and each choice of TLS."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import httpcore

from runner.nodes.base import NodeError
from runner.nodes.http_tls import TlsOptions
from runner.nodes.network import CheckedBackend, NetworkPolicy, Target, targets

_MAX_POOLS = 32
_MAX_KEPT = 32  # idle connections of one pool
_KEPT_FOR = 30  # seconds
_RESOLVERS = 32  # names that are looked up at the same time


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a connection depends on beside its address: one that one project may use is none for another.

    `tls` is None for http, which is asked without reading what https needs.
    """

    allow: tuple[str, ...]
    tls: TlsOptions | None


@dataclass(kw_only=True)
class _Pool:
    connections: httpcore.ConnectionPool
    users: int = 0


class HttpPools:
    """For many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._pools: dict[Access, _Pool] = {}  # by use, the longest unused first
        # Looking up a name cannot be interrupted, so it happens beside the thread that waits for it.
        self._resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolve")
        self._tls: ssl.SSLContext | None = None

    @contextlib.contextmanager
    def under(self, access: Access) -> Iterator[httpcore.ConnectionPool]:
        """The pool for these. Raises NodeError when they cannot be read."""
        pool = self._enter(access) or self._enter_new(access)
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

    def _enter(self, access: Access) -> _Pool | None:
        with self._lock:
            pool = self._pools.pop(access, None)
            if pool is not None:
                self._pools[access] = pool
                pool.users += 1
            return pool

    def _enter_new(self, access: Access) -> _Pool:
        # Opening takes a tenth of a second for https: one thread does it for all who want the same, and nobody who
        # wants another pool waits.
        with self._opening:
            pool = self._enter(access)
            if pool is None:
                pool = self._open(access)
                with self._lock:
                    self._pools[access] = pool
                    pool.users += 1
            return pool

    def _resolve(self, host: str, port: int) -> Future[list[Target]]:
        return self._resolvers.submit(targets, host, port)

    def _open(self, access: Access) -> _Pool:
        try:
            policy = NetworkPolicy(access.allow)
        except ValueError as error:
            raise NodeError("bad_request", f"network.allow in weft.yaml: {error}", retryable=False) from error
        try:
            context = self._context(access.tls)
        except ValueError as error:
            raise NodeError("bad_request", str(error), retryable=False) from None
        return _Pool(
            connections=httpcore.ConnectionPool(
                ssl_context=context,
                max_connections=None,
                max_keepalive_connections=_MAX_KEPT,
                keepalive_expiry=_KEPT_FOR,
                network_backend=CheckedBackend(policy, self._resolve),
            )
        )

    def _context(self, tls: TlsOptions | None) -> ssl.SSLContext:
        """The one without options is shared by the pools: making it reads a large file."""
        if tls is None:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and trusts nobody
        if tls != TlsOptions():
            return tls.context()
        self._tls = self._tls or tls.context()
        return self._tls

    def _close_surplus(self) -> None:
        unused = [access for access, pool in self._pools.items() if not pool.users]
        for access in unused[: max(len(self._pools) - _MAX_POOLS, 0)]:
            self._pools.pop(access).connections.close()
