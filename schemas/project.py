"""The settings of a whole repository (`weft.yaml`), typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.pattern import JSON

TAGS = "tags"
"""The key of `protect` that holds globs of tags; every other is a branch, or a glob of branches."""


@dataclass(frozen=True, kw_only=True)
class Protected:
    """`push`: who may move a ref besides the admins, groups and users by name; None: whoever may push.

    `approvals`: so many others have to approve a change first, and no other way leads to the branch.
    """

    push: tuple[str, ...] | None = None
    approvals: int = 0


@dataclass(frozen=True, kw_only=True)
class Project:
    """What a `Project` document says. `network_allow` holds CIDRs and "host:port" that nodes may reach.

    `groups`: name → users; `branches` and `tags`: name or glob → who may move what it matches.
    `requires_tests`: a push has to pass the tests that it affects.
    """

    name: str
    network_allow: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    branches: Mapping[str, Protected] = field(default_factory=dict)
    tags: Mapping[str, Protected] = field(default_factory=dict)
    requires_tests: bool = False


def project_from_spec(name: str, spec: Mapping[str, JSON]) -> Project:
    """The typed project of a `spec` that passed the checks."""
    protect = spec.get("protect", {})
    return Project(
        name=name,
        network_allow=tuple(spec.get("network", {}).get("allow", ())),
        groups={group: tuple(users) for group, users in spec.get("groups", {}).items()},
        branches=_protected({glob: rule for glob, rule in protect.items() if glob != TAGS}),
        tags=_protected(protect.get(TAGS, {})),
        requires_tests=spec.get("requireTests", False),
    )


def _protected(rules: Mapping[str, JSON]) -> dict[str, Protected]:
    return {glob: _rule(rule) for glob, rule in rules.items()}


def _rule(rule: JSON) -> Protected:
    push = rule.get("push")
    return Protected(push=None if push is None else tuple(push), approvals=int(rule.get("approvals", 0)))
