"""Connections: which there are, and whether one can be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reconciler.freeze import version_id
from schemas.connection import secret_names
from schemas.mistakes import did_you_mean
from schemas.pattern import JSON
from store import connections, schedules
from store.connections import Applied
from store.database import Connection, Database
from store.drafts import NewTest, TooManyTestsError, start_test
from store.ids import new_id
from store.versions import VersionContent, add_versions
from web.api.encoding import rfc3339
from web.api.inputs import input_text
from web.api.query import is_label, wrong
from web.api.resource import Call
from web.api.runs import Runs
from web.api.starting import Ring
from web.api.testing import too_many_tests, trigger_data
from web.problems import Refusal, not_found

TEST_BODY = ("environment",)

PATTERN: Final = "connection-test"
"""As what such runs are listed."""
NODE: Final = "probe"
ENVIRONMENT: Final = "production"
"""Where it is tested unless it is said: where deployments run unless they say so."""

_PATIENCE: Final = "30s"
_NO_KEYS: Final = frozenset({"type", "environments"})


class Connections:
    def __init__(self, database: Database, runs: Runs, ring: Ring) -> None:
        self._database = database
        self._runs = runs
        self._ring = ring

    def list(self, call: Call) -> JSON:
        """Names of keys and secrets, and no values."""
        with self._database.connection() as connection:
            found = connections.list_connections(connection, call.identity.organisation)
        return {"items": [_described(one) for one in found]}

    def test(self, call: Call) -> JSON:
        """A test run of one node, accepted: a worker has the secrets and the network for it. Raises Refusal."""
        name, organisation = call.path["name"], call.identity.organisation
        environment = call.body.get("environment", ENVIRONMENT)
        if not isinstance(environment, str) or not is_label(environment):
            raise wrong("values", [{"path": "environment", "message": "it takes a name such as staging"}])
        run = new_id()
        with self._database.transaction() as connection:
            _check_known(connection, organisation, name)
            version = _version(name)
            add_versions(connection, [version])
            now = schedules.clock(connection).timestamp()
            new = NewTest(
                id=run,
                organisation=organisation,
                version_id=version.id,
                pattern=PATTERN,
                environment=environment,
                trigger=input_text(trigger_data(None, now), "trigger"),
                actor=call.identity.user,
            )
            try:
                start_test(connection, new)
            except TooManyTestsError:
                raise too_many_tests() from None
            answer = self._runs.brief(connection, organisation, run)
        self._ring([run])
        return answer


def _version(name: str) -> VersionContent:
    node = {
        "id": NODE,
        "uses": "probe",
        "with": {"connection": name},
        "timeout": _PATIENCE,
        "retry": {"attempts": 1},
    }
    spec = {"nodes": [node]}
    return VersionContent(id=version_id(PATTERN, spec, {}, {}), pattern=PATTERN, spec=spec)


def _check_known(connection: Connection, organisation: str, name: str) -> None:
    known = connections.connection_names(connection, organisation)
    if name not in known:
        hint = did_you_mean(name, known) if known else "A file below connections/ makes one."
        raise _no_connection(name, hint)


def _no_connection(name: str, hint: str) -> Refusal:
    return not_found(f"There is no connection {name!r:.80} on the default branch. {hint}")


def _described(found: Applied) -> JSON:
    spec = found.spec
    environments: Mapping[str, JSON] = spec.get("environments", {})
    return {
        "name": found.name,
        "type": spec["type"],
        "keys": _keys(spec),
        "environments": {name: _keys(own) for name, own in environments.items()},
        "secrets": sorted(set(secret_names(dict(spec)))),
        "maxConcurrent": spec.get("maxConcurrent"),
        "commit": found.commit,
        "appliedAt": rfc3339(found.at),
    }


def _keys(spec: Mapping[str, JSON]) -> list[str]:
    return sorted(spec.keys() - _NO_KEYS)
