"""The settings of a whole repository (`weft.yaml`), typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.pattern import JSON


@dataclass(frozen=True, kw_only=True)
class Project:
    """What a `Project` document says. `network_allow` holds CIDRs and "host:port" that nodes may reach."""

    name: str
    network_allow: tuple[str, ...] = ()


def project_from_spec(name: str, spec: Mapping[str, JSON]) -> Project:
    """The typed project of a `spec` that passed the checks."""
    return Project(name=name, network_allow=tuple(spec.get("network", {}).get("allow", ())))
