"""The API as the service runs it, on a port of its own, and the rows that the reconciler would have written."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from eventually import eventually
from no_tls import NO_TLS
from running import SECRETS
from served import Served
from starlette.applications import Starlette

from reconciler.reconciler import Reconciler
from runner.broker import BellBroker
from runner.rehearsal.troupe import Troupe
from runner.worker import Worker
from store.blobs import FolderBlobs
from store.database import Connection, Database
from store.deployment_rows import DeploymentRow, RevisionRow, write_deployments
from store.deployments import Condition
from store.ids import new_id
from store.journal import Step, record
from store.leases import claim
from store.runs import NewRun, RunStatus, accept
from store.secrets import SecretPlaces
from store.spans import Span
from store.versions import Freeze, VersionContent, add_freezes, add_versions
from web.api import Api
from web.auth import Authenticator
from web.contents import Contents
from web.health import Health
from web.problems import EXCEPTION_HANDLERS

ADMIN = "the-admin-token-of-the-tests"
NODES = [{"id": "a", "uses": "set", "with": {"x": 1}}, {"id": "b", "uses": "fail"}]


class Site:
    """Running while it is entered. `http` asks as the admin; `rung` are the runs that were announced."""

    def __init__(self, database_url: str, redis_url: str, git: Path) -> None:
        self.database = Database(database_url, connections=4)
        self.rung: list[str] = []
        self._redis_url = redis_url
        self._broker: BellBroker | None = None
        self.secrets = SecretPlaces(installation_key=b"k" * 32, folder=git / "secrets").open(self.database)
        self.reconciler = Reconciler(
            self.database,
            git,
            installation_key=b"k" * 32,
            public_url="http://weft.test",
            examine=Troupe(),
            unknown_secrets=self.secrets.unknown,
        )
        self.authenticator = Authenticator(self.database, ADMIN)
        self.api = Api(
            database=self.database,
            authenticator=self.authenticator,
            reconciler=self.reconciler,
            contents=Contents(),
            ring=self._ring,
            blobs=lambda: FolderBlobs(git / "blobs"),
            book=self.secrets,
            public_url="http://weft.test",
        )
        health = Health(self.database, redis_url, git)
        app = Starlette(routes=[*self.api.routes, *health.routes], exception_handlers=EXCEPTION_HANDLERS)
        self._served = Served(app)

    def __enter__(self) -> Site:
        self._served.start()
        self.url = f"http://127.0.0.1:{self._served.port}"
        self.http = self.client(ADMIN)
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self._served.stop()
        self.secrets.close()
        self.database.close()

    def _ring(self, runs: Sequence[str]) -> None:
        self.rung.extend(runs)
        if self._broker is not None:
            self._broker.ring([[run] for run in runs])

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A real worker at work on the runs that are announced meanwhile."""
        database, stop = Database(self.database.url, connections=2), threading.Event()
        worker = Worker(database, self._redis_url, name=new_id(), threads=2, secrets=SECRETS)
        thread = threading.Thread(target=worker.run, args=[stop])
        thread.start()
        try:
            with self.bells():
                yield
        finally:
            stop.set()
            thread.join()
            database.close()

    @contextmanager
    def bells(self) -> Iterator[None]:
        """Workers hear of the runs that are announced meanwhile."""
        self._broker = BellBroker(self._redis_url)
        try:
            yield
        finally:
            self._broker.close()
            self._broker = None

    def client(self, token: str | None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=20, verify=NO_TLS)

    def token(
        self, role: str, *, user: str | None = None, organisation: str = "default", expires: str | None = None
    ) -> str:
        """A token of `user`, else of one named like the role; `expires` is what SQL says after now()."""
        text = f"{organisation}-{role}-{new_id()}"
        with self.database.connection() as connection:
            connection.execute(
                f"""INSERT INTO tokens (id, organisation, user_name, role, hash, expires_at)
                    VALUES (%s, %s, %s, %s, %s, now() {expires or "+ NULL"})""".encode(),
                [new_id(), organisation, user or role, role, hashlib.sha256(text.encode()).digest()],
            )
        return text

    def deploy(self, name: str, spec: Mapping[str, Any] | None = None, **options: Any) -> str:
        with self.database.connection() as connection:
            return deploy(connection, name, spec, **options)

    def run(self, deployment: str, **options: Any) -> str:
        with self.database.connection() as connection:
            return make_run(connection, deployment, **options)

    def ended(self, run: str) -> dict[str, Any]:
        """The run as the API has it, when it has ended."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.http.get(f"/runs/{run}").json()
            return found if found["endedAt"] else None

        found = eventually(look)
        assert found is not None
        return found

    def execute(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        with self.database.connection() as connection:
            cursor = connection.execute(sql.encode(), arguments)
            return cursor.fetchall() if cursor.description else []


def deploy(
    connection: Connection,
    name: str,
    spec: Mapping[str, Any] | None = None,
    *,
    number: int = 1,
    organisation: str = "default",
    pattern: str | None = None,
    state: str = "active",
    environment: str = "production",
    calls: Mapping[str, str] | None = None,
    conditions: Sequence[Condition] = (),
    **deployment: Any,
) -> str:
    """A live deployment of a pattern with this spec. Gives the version's id."""
    pattern = pattern or name
    spec = {"nodes": NODES} if spec is None else spec
    version = hashlib.sha256(f"{pattern} {spec} {number}".encode()).hexdigest()
    add_versions(connection, [VersionContent(id=version, pattern=pattern, spec=spec, calls=calls or {})])
    frozen = Freeze(
        version_id=version, pattern=pattern, number=number, commit="c" * 40, author="Ada <ada@example>",
        message=f"Change {number}", frozen_at=datetime(2026, 3, number, tzinfo=UTC),
    )  # fmt: skip
    add_freezes(connection, organisation, [frozen])
    said = {"pattern": pattern, "environment": environment, "state": state, **deployment}
    row = DeploymentRow(
        name=name, pattern=pattern, environment=environment, state=state, version_id=version,
        hook_token=f"hook-{organisation}-{name}", conditions=tuple(conditions), tried_commit="c" * 40, spec=said,
        revision=RevisionRow(commit="c" * 40, author="Ada <ada@example>", message=f"Change {number}", actor="ada"),
    )  # fmt: skip
    write_deployments(connection, organisation, [row])
    return version


def make_run(
    connection: Connection,
    deployment: str,
    *,
    organisation: str = "default",
    status: RunStatus | None = None,
    spans: Sequence[Span] = (),
    kind: str = "webhook",
    output: str | None = None,
    error: str | None = None,
    input: str | None = None,
) -> str:
    """A run that was accepted, or, with a status, one that a worker has brought there."""
    row = connection.execute(
        "SELECT id FROM deployments WHERE organisation = %s AND name = %s", [organisation, deployment]
    ).fetchone()
    assert row is not None
    run = NewRun(id=new_id(), deployment_id=row[0], kind=kind, trigger='{"kind": "webhook"}', input=input)
    assert accept(connection, [run]) == {run.id}
    if status is not None:
        [claimed] = claim(connection, "w", [run.id])
        step = Step(
            run_id=run.id, lease=claimed.lease, status=status, attempt=1, span_attempt=1, spans=spans,
            output=output, error=error,
        )  # fmt: skip
        assert record(connection, [step])[0].kept
    return run.id
