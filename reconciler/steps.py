"""A plan: what a commit would make of what is live, step by step, and how people and programs read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from operator import attrgetter

from reconciler.differences.fields import Change
from reconciler.git.commits import Commit
from reconciler.plan_text import WORDS, plan_markdown, plan_text, version_text
from reconciler.resolve import Reason
from schemas.pattern import JSON
from schemas.problems import Problem


class Action(StrEnum):
    CREATE = "create"  # was not live
    CHANGE = "change"  # another version, state or setting
    UNCHANGED = "unchanged"
    UNDEPLOY = "undeploy"  # its file is gone
    STALLED = "stalled"  # what it asks for cannot be had: it stays on its last good version
    REFUSED = "refused"  # it may not change


@dataclass(frozen=True, kw_only=True)
class VersionRef:
    """`number` is None for content that the default branch has not held."""

    id: str
    number: int | None

    def __str__(self) -> str:
        return version_text(self.as_json())

    def as_json(self) -> dict[str, JSON]:
        return {"id": self.id, "number": self.number}


@dataclass(frozen=True, kw_only=True)
class Binding:
    """What a deployment is set to: everything about it that decides how its runs go."""

    pattern: str
    environment: str
    state: str
    version: VersionRef | None
    spec: Mapping[str, JSON]
    metadata: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A pattern that calls a changed one and so changes with it, with its deployments that move."""

    pattern: str
    deployments: tuple[str, ...]

    def as_json(self) -> dict[str, JSON]:
        return {"pattern": self.pattern, "deployments": list(self.deployments)}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One deployment's part. `before` is None for what was never deployed, `after` for what is left alone.

    `writes`: something is to be written; `revises`: and it is a new revision, by `commit`.
    `tried` is the commit that was looked at for its version. `changes`, `next_fires` and `callers` are for those
    who read it: a description fills them in.
    """

    name: str
    action: Action
    before: Binding | None = None
    after: Binding | None = None
    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()
    reason: Reason | None = None
    commit: Commit | None = None
    tried: str | None = None
    writes: bool = False
    revises: bool = False
    next_fires: tuple[datetime, ...] = ()
    callers: tuple[Caller, ...] = ()

    @property
    def version_from(self) -> VersionRef | None:
        return self.before.version if self.before and self.before.state != "undeployed" else None

    @property
    def version_to(self) -> VersionRef | None:
        if self.action == Action.UNDEPLOY:
            return None
        return (self.after or self.before or _NOTHING).version

    @property
    def versions(self) -> str:
        """`v3 → v4`, `v1`, or nothing where there never was a version."""
        ends = dict.fromkeys(str(v) for v in (self.version_from, self.version_to) if v is not None)
        return " → ".join(ends)

    def as_json(self) -> dict[str, JSON]:
        return {
            "name": self.name,
            "action": str(self.action),
            "version": {
                "from": self.version_from.as_json() if self.version_from else None,
                "to": self.version_to.as_json() if self.version_to else None,
            },
            "changes": [change.as_json() for change in self.changes],
            "callers": [caller.as_json() for caller in self.callers],
            "nextFireTimes": [at.isoformat().replace("+00:00", "Z") for at in self.next_fires],
            "problems": [*map(problem_json, self.problems), *_reason_json(self.reason)],
        }


_NOTHING = Binding(pattern="", environment="", state="", version=None, spec={})


@dataclass(frozen=True, kw_only=True)
class UnknownSecret:
    """A secret that is not there yet. `needed_by`: such as "deployment order-intake", "connection crm"."""

    name: str
    environment: str
    needed_by: tuple[str, ...]

    def as_json(self) -> dict[str, JSON]:
        return {
            "code": "unknown-secret",
            "secret": self.name,
            "environment": self.environment,
            "neededBy": list(self.needed_by),
            "message": f"there is no secret {self.name} for the environment {self.environment}",
            "hint": f"weft secret set {self.name} --environment {self.environment}",
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every deployment's step. `base` and `head` are commit ids; None: nothing yet.

    `looked_at`: by name. `settled`: those that need no look, since nothing that they depend on differs.
    `connections`: what changes of them. `warnings`: what speaks against nothing and should be known.
    `merges`: it is the plan of what a merge of `head` into `base` comes to.
    """

    base: str | None
    head: str | None
    merges: bool = False
    looked_at: tuple[Step, ...] = ()
    settled: Sequence[Step] = ()
    connections: tuple[Change, ...] = ()
    warnings: tuple[UnknownSecret, ...] = ()

    @property
    def steps(self) -> list[Step]:
        """All of them, by name."""
        return sorted((*self.looked_at, *self.settled), key=attrgetter("name"))

    @property
    def visible(self) -> tuple[Step, ...]:
        return tuple(step for step in self.looked_at if step.action != Action.UNCHANGED)

    @property
    def summary(self) -> str:
        """`1 changed, 2 unchanged`, in the order of Action; `nothing is deployed` for none."""
        counts = Counter(step.action for step in self.looked_at)
        counts[Action.UNCHANGED] += len(self.settled)
        return (
            ", ".join(f"{counts[action]} {WORDS[action]}" for action in Action if counts[action])
            or "nothing is deployed"
        )

    def as_text(self) -> str:
        return plan_text(self.as_json())

    def as_markdown(self) -> str:
        return plan_markdown(self.as_json())

    def as_json(self) -> dict[str, JSON]:
        return self._as_json(self.steps)

    def visible_as_json(self) -> dict[str, JSON]:
        """Without what stays as it is, which may be thousands of deployments: the summary counts them."""
        return self._as_json(self.visible)

    def _as_json(self, steps: Iterable[Step]) -> dict[str, JSON]:
        return {
            "base": self.base,
            "head": self.head,
            "merge": self.merges,
            "summary": self.summary,
            "deployments": [step.as_json() for step in steps],
            "connections": [change.as_json() for change in self.connections],
            "warnings": [warning.as_json() for warning in self.warnings],
        }


def problem_json(problem: Problem) -> dict[str, JSON]:
    return {
        "path": problem.path,
        "line": problem.line,
        "column": problem.column,
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
    }


def _reason_json(reason: Reason | None) -> list[JSON]:
    return [] if reason is None else [{"code": reason.code, "message": reason.message}]
