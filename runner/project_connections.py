"""The connections that a run may use: what the applied default branch says, with the secrets filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from runner.nodes.base import NodeError
from runner.secrets import Secrets
from schemas.connection import Limit, counted_in, in_environment, secret_names, with_secrets
from schemas.connection_rules import url_problem
from schemas.mistakes import did_you_mean
from schemas.pattern import JSON
from store import connections
from store.database import Database


class FilledConnections(Protocol):
    """What a run has of the project's connections."""

    def get(self, name: str, *types: str, secret: Callable[[str], str]) -> Mapping[str, JSON]: ...

    def limit(self, name: str) -> Limit | None: ...

    def secret_names(self, name: str) -> frozenset[str]: ...


class ProjectConnections:
    """Of one organisation and environment. What was read is kept: make another when a commit was applied."""

    def __init__(self, database: Database, organisation: str, environment: str, secrets: Secrets) -> None:
        self._database = database
        self._organisation = organisation
        self._environment = environment
        self._secrets = secrets
        self._specs: dict[str, Mapping[str, JSON]] = {}
        self._limits: dict[str, Limit] = {}

    def get(self, name: str, *types: str, secret: Callable[[str], str] | None = None) -> Mapping[str, JSON]:
        """The `spec` of the connection in this environment, with its secrets as they are now. Besides: `name`,
        `organisation` and `environment`, which tell it from all others. `secret` finds one by its name, where
        somebody wants to know which are used.

        Raises NodeError `unknown_connection`, `wrong_connection_type`, `unknown_secret`, `secrets_unavailable`.
        """
        spec = self._spec(name)
        if types and spec["type"] not in types:
            raise NodeError(
                "wrong_connection_type",
                f"The connection {name} is of type {spec['type']}, not {' or '.join(types)}.",
                hint="Name another connection.",
                retryable=False,
            )
        find = secret or self._secrets.value
        filled: Mapping[str, JSON] = with_secrets(spec, lambda secret: _filled(find, secret, name))
        if filled["url"] != spec["url"]:
            _check_url(filled)
        return filled

    def limit(self, name: str) -> Limit | None:
        """How many nodes may use it at one time; None: any number. Raises NodeError `unknown_connection`."""
        self._spec(name)
        return self._limits.get(name)

    def secret_names(self, name: str) -> frozenset[str]:
        """Of the secrets that the connection needs. Raises NodeError `unknown_connection`."""
        return frozenset(secret_names(self._spec(name)))

    def _spec(self, name: str) -> Mapping[str, JSON]:
        spec = self._specs.get(name)
        if spec is None:
            spec = self._specs[name] = self._load(name)
        return spec

    def _load(self, name: str) -> Mapping[str, JSON]:
        with self._database.connection() as connection:
            found = connections.connection_spec(connection, self._organisation, name)
            known = [] if found else connections.connection_names(connection, self._organisation)
        if found is None:
            raise NodeError(
                "unknown_connection",
                f"There is no connection {name!r:.80} on the default branch.",
                hint=did_you_mean(name, known) if known else f"Add connections/{name:.80}.yaml and push it.",
                retryable=False,
            )
        spec = in_environment(found, self._environment)
        if "maxConcurrent" in spec:
            self._limits[name] = Limit(
                organisation=self._organisation,
                connection=name,
                environment=counted_in(found, self._environment),
                most=spec["maxConcurrent"],
            )
        return {
            **spec,
            "organisation": self._organisation,
            "environment": self._environment,
            "name": name,
        }


def _check_url(spec: Mapping[str, JSON]) -> None:
    """What the gate could not see."""
    problem = url_problem(spec["type"], spec["url"])
    if problem is not None:
        raise NodeError(
            "wrong_connection_type",
            f"The connection {spec['name']} is not set up right: with its secret, {problem}.",
            hint="Correct the secret: weft secret set.",
            retryable=False,
        )


def basic_pair(spec: Mapping[str, JSON]) -> str | None:
    """What basic authentication makes of user and password, before it is encoded."""
    pair = (spec.get("auth") or {}).get("basic")
    return f"{pair.get('username', '')}:{pair.get('password', '')}" if pair else None


def _filled(find: Callable[[str], str], secret: str, connection: str) -> str:
    try:
        return find(secret)
    except NodeError as error:
        raise NodeError(
            error.type,
            f"The connection {connection}: {error.message}",
            hint=error.hint,
            retryable=error.retryable,
        ) from None
