"""Calls that come more than once and start one run: by a key of the caller's, kept for a day."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from store.database import Connection


class Once(NamedTuple):
    """Hashes: of the key, of the body that came with it."""

    key: bytes
    body: bytes

    @classmethod
    def of(cls, kind: str, key: bytes, body: bytes) -> Once:
        """`kind` keeps keys apart that were given at different doors, or by different people."""
        return cls(hashlib.sha256(kind.encode() + b"\0" + key).digest(), body)


class Held(NamedTuple):
    """Who came first."""

    run: str
    body: bytes


class Keyed(NamedTuple):
    run: str
    deployment_id: int
    once: Once


_CLAIM = """
INSERT INTO run_keys AS k (deployment_id, key, body, run_id)
SELECT * FROM unnest(%b::bigint[], %b::bytea[], %b::bytea[], %b::uuid[])
ON CONFLICT (deployment_id, key) DO UPDATE SET body = excluded.body, run_id = excluded.run_id, at = excluded.at
    WHERE k.at < clock_timestamp() - interval '24 hours'
"""

_HOLDERS = """
SELECT k.deployment_id, k.key, k.run_id::text, k.body
FROM run_keys k JOIN unnest(%b::bigint[], %b::bytea[]) AS n(deployment_id, key)
    ON k.deployment_id = n.deployment_id AND k.key = n.key
"""


def claim(connection: Connection, asking: Sequence[Keyed]) -> dict[str, Held]:
    """Of runs that are about to be accepted, in their transaction: who holds the key of each, by run id. Whoever
    asks first for a key that is free holds it from now on.
    """
    # In one order everywhere: two batches that want each other's keys would wait for ever.
    firsts = {(one.deployment_id, one.once.key): one for one in reversed(asking)}
    ordered = [firsts[place] for place in sorted(firsts)]
    deployments = [one.deployment_id for one in ordered]
    keys = [one.once.key for one in ordered]
    bodies, runs = [one.once.body for one in ordered], [one.run for one in ordered]
    connection.execute(_CLAIM.encode(), [deployments, keys, bodies, runs])
    rows = connection.execute(_HOLDERS.encode(), [deployments, keys])
    held = {(deployment, bytes(key)): Held(run, bytes(body)) for deployment, key, run, body in rows}
    return {one.run: held[one.deployment_id, one.once.key] for one in asking}


def release(connection: Connection, runs: Iterable[str]) -> None:
    """These were not accepted: their keys are free."""
    connection.execute("DELETE FROM run_keys WHERE run_id = ANY(%s)", [list(runs)])


def forget_old(connection: Connection) -> None:
    """A key is good for a day; a little longer it stays, so that nobody deletes what another one just looked at."""
    connection.execute("DELETE FROM run_keys WHERE at < clock_timestamp() - interval '25 hours'")
