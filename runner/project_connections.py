"""The connections that a run may use: what the applied default branch says, with the secrets filled in."""

from __future__ import annotations

import os
from collections.abc import Mapping

from runner.masking import masked, spellings
from runner.nodes.base import NodeError
from schemas.connection import Limit, counted_in, in_environment, with_secrets
from schemas.connection_rules import url_problem
from schemas.mistakes import did_you_mean
from schemas.pattern import JSON
from store import connections
from store.database import Database

SECRET_VARIABLE = "WEFT_SECRET_"  # noqa: S105 (a prefix, not a secret)
"""A secret NAME is read from the environment variable of this name with NAME behind it."""


class ProjectConnections:
    """Of one organisation and environment. What was read is kept: make another when a commit was applied."""

    def __init__(self, database: Database, organisation: str, environment: str) -> None:
        self._database = database
        self._organisation = organisation
        self._environment = environment
        self._specs: dict[str, Mapping[str, JSON]] = {}
        self._limits: dict[str, Limit] = {}
        self._secrets: frozenset[str] = frozenset()

    def get(self, name: str, *types: str) -> Mapping[str, JSON]:
        """The `spec` of the connection in this environment, with its secrets as they are now. Besides: `name`,
        `organisation` and `environment`, which tell it from all others.

        Raises NodeError `unknown_connection`, `wrong_connection_type`, `unknown_secret`.
        """
        spec = self._spec(name)
        if types and spec["type"] not in types:
            raise NodeError(
                "wrong_connection_type",
                f"The connection {name} is of type {spec['type']}, not {' or '.join(types)}.",
                hint="Name another connection.",
                retryable=False,
            )
        used: list[str] = []
        filled: Mapping[str, JSON] = with_secrets(spec, lambda secret: _secret(secret, name, used))
        self._secrets |= {spelling for secret in used for spelling in spellings(secret)} | _basic(filled)
        if filled["url"] != spec["url"]:
            _check_url(filled)
        return filled

    def limit(self, name: str) -> Limit | None:
        """How many nodes may use it at one time; None: any number. Raises NodeError `unknown_connection`."""
        self._spec(name)
        return self._limits.get(name)

    def mask(self, text: str) -> str:
        """The text with stars for all secrets that were filled in so far."""
        return masked(text, self._secrets) if self._secrets else text

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
            hint="Correct the secret in the workers' environment.",
            retryable=False,
        )


def _basic(spec: Mapping[str, JSON]) -> set[str]:
    """What basic authentication makes of user and password."""
    pair = (spec.get("auth") or {}).get("basic")
    return set() if not pair else spellings(f"{pair.get('username', '')}:{pair.get('password', '')}")


def _secret(name: str, connection: str, used: list[str]) -> str:
    value = os.environ.get(SECRET_VARIABLE + name)
    if value is None:
        raise NodeError(
            "unknown_secret",
            f"The connection {connection} needs the secret {name}, which this worker does not have.",
            hint=f"Start the workers with {SECRET_VARIABLE}{name} in their environment.",
            retryable=False,
        )
    used.append(value)
    return value
