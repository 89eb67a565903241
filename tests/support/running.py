"""A worker and a sweeper in this process, on real services, for patterns that the test writes."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Json

from runner.broker import BellBroker
from runner.sweeper import Sweeper
from runner.worker import Worker
from store import admission, run_events
from store.database import Database
from store.deployment_rows import settle_admission
from store.ids import new_id
from store.runs import ENDED, NewRun
from store.s3_blobs import BlobPlace
from store.secrets import SecretPlaces

SECRETS = SecretPlaces(installation_key=b"k" * 32)


@dataclass
class Running:
    """What a test does to a service without its faces: deploy, start runs, read what became of them."""

    database: Database
    redis_url: str

    def deploy(
        self,
        name: str,
        nodes: list[dict[str, Any]],
        *,
        calls: Mapping[str, str] | None = None,
        assets: Mapping[str, bytes] | None = None,
        deployment: Mapping[str, Any] | None = None,
        project: Mapping[str, Any] | None = None,
        state: str = "active",
        **spec: Any,
    ) -> str:
        """Freeze a pattern and make it live, as the reconciler would. Gives the version's id."""
        version = uuid.uuid4().hex
        content = {
            "pattern": name,
            "spec": {"nodes": nodes, **spec},
            "assets": {path: f"{version}/{path}" for path in assets or {}},
            "calls": dict(calls or {}),
        }
        with self.database.transaction() as c:
            for path, data in (assets or {}).items():
                c.execute("INSERT INTO assets (id, content) VALUES (%s, %s)", [f"{version}/{path}", data])
            c.execute(
                "INSERT INTO versions (id, pattern, content) VALUES (%s, %s, %s)",
                [version, name, Json(content)],
            )
            if project is not None:
                c.execute(
                    "INSERT INTO repositories (organisation, project) VALUES ('default', %s)",
                    [Json(dict(project))],
                )
            row = c.execute(
                """INSERT INTO deployments (organisation, name, pattern, environment, state, version_id, revision,
                                            hook_token)
                   VALUES ('default', %(name)s, %(name)s, 'production', %(state)s, %(version)s, 1, %(name)s)
                   ON CONFLICT (organisation, name) DO UPDATE SET version_id = excluded.version_id,
                       state = excluded.state, revision = deployments.revision + 1
                   RETURNING id, revision""",
                {"name": name, "state": state, "version": version},
            ).fetchone()
            assert row is not None
            c.execute(
                """INSERT INTO revisions (deployment_id, revision, state, version_id, spec, commit, author, message)
                   VALUES (%s, %s, %s, %s, %s, 'c', 'a', 'm')""",
                [*row, state, version, Json({"pattern": name, **(deployment or {})})],
            )
            settle_admission(c, [row[0]])
        return version

    def start(self, name: str, body: Any = None, *, input: Any = None, ring: bool = True) -> str:
        with self.database.connection() as c:
            row = c.execute("SELECT id FROM deployments WHERE name = %s", [name]).fetchone()
            assert row is not None
            run = NewRun(
                id=new_id(),
                deployment_id=row[0],
                kind="webhook",
                trigger=json.dumps({"kind": "webhook", "body": body}),
                input=None if input is None else json.dumps(input),
            )
            assert admission.admit(c, [run])[run.id].accepted
        if ring:
            self.ring([run.id])
        return run.id

    def ring(self, runs: Iterable[str]) -> None:
        """Say that these are ready."""
        broker = BellBroker(self.redis_url)
        broker.ring([run] for run in runs)
        broker.close()

    def post(self, run: str, name: str, body: Any, actor: str | None = None) -> None:
        """An event, to a run that goes on."""
        with self.database.connection() as c:
            ready = run_events.post(c, run, name, body, actor)
        assert ready is not None
        self.ring(ready)

    def run(self, name: str, body: Any = None, **keys: Any) -> dict[str, Any]:
        return self.wait(self.start(name, body, **keys))

    def wait(
        self, run: str, *, until: tuple[str, ...] = tuple(ENDED), seconds: float = 20.0
    ) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.read(run)
            if found["status"] in until:
                return found
            time.sleep(0.005)
        raise AssertionError(f"{run} is {found['status']} after {seconds} s: {found}, {self.spans(run)}")

    def read(self, run: str) -> dict[str, Any]:
        with self.database.connection() as c:
            cursor = c.execute("SELECT * FROM runs WHERE id = %s", [run])
            names = [column.name for column in cursor.description or ()]
            row = cursor.fetchone()
        assert row is not None
        return dict(zip(names, row, strict=True))

    def spans(self, run: str, attempt: int = 1) -> dict[str, dict[str, Any]]:
        with self.database.connection() as c:
            cursor = c.execute(
                "SELECT * FROM spans WHERE run_id = %s AND run_attempt = %s ORDER BY started_at, path",
                [run, attempt],
            )
            names = [column.name for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor]
        return {row["path"]: row for row in rows}


@contextmanager
def worker(running: Running, *, threads: int = 8, blobs: BlobPlace | None = None) -> Iterator[Worker]:
    """A worker in a thread of this process."""
    name = uuid.uuid4().hex
    made = Worker(
        running.database, running.redis_url, name=name, threads=threads, secrets=SECRETS, blobs=blobs
    )
    with _thread(made.run):
        yield made


@contextmanager
def sweeper(running: Running) -> Iterator[None]:
    made = Sweeper(running.database, running.redis_url)
    with _thread(made.run, made.wake):
        yield


@contextmanager
def _thread(main: Any, wake: Any = lambda: None) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=main, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        wake()
        thread.join(timeout=20)
        assert not thread.is_alive()
