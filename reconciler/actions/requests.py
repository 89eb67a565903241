"""What people may ask for, and what they are told: that it is done, or no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.steps import Plan
from schemas.deployment import State
from schemas.pattern import JSON
from schemas.problems import Problem


class Why(StrEnum):
    """Why an action was not done."""

    UNKNOWN = "unknown"  # what it names is not there
    CONFLICT = "conflict"  # it is so already, or not in a state for it
    INVALID = "invalid"  # it asks for what cannot be
    UNFIT = "unfit"  # the template does not take these parameters
    UNMERGEABLE = "unmergeable"  # a change that cannot be merged now
    FORBIDDEN = "forbidden"  # weft.yaml protects what it would move from whoever asks


class ActionRefusedError(Exception):
    """Nothing was changed. The message says why, and what to do.

    `problems` are those of files, `reasons` every one of several.
    """

    def __init__(
        self, why: Why, message: str, problems: Sequence[Problem] = (), reasons: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.why = why
        self.problems = tuple(problems)
        self.reasons = tuple(reasons)


@dataclass(frozen=True, kw_only=True)
class Done:
    """An action that is live: the commit that says it, or that the moved tag now holds.

    For a branch that is not live, `plan` (None where it cannot be merged) and `problems` are about its merge.
    """

    commit: str
    ref: str
    plan: Plan | None
    lines: tuple[str, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Promote:
    """Exactly one of them. `environment`: take what this pattern's deployment there has."""

    version: int | None = None
    tag: str | None = None
    environment: str | None = None
    branch: str | None = None


@dataclass(frozen=True, kw_only=True)
class RollBack:
    """To version `to`; None: to what was live before what is live now.

    `revert`: not by a pin, but by what the pattern's files were then.
    """

    to: int | None = None
    revert: bool = False


@dataclass(frozen=True, kw_only=True)
class SetState:
    """`archived` is for good."""

    state: State


@dataclass(frozen=True, kw_only=True)
class Undeploy:
    """Its document goes; its runs stay."""


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """A new deployment of `pattern`. `settings` are further keys of its `spec`."""

    pattern: str
    settings: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Clone:
    """A new pattern that is a copy of `pattern`, to go its own way."""

    pattern: str


@dataclass(frozen=True, kw_only=True)
class SaveFile:
    """`content` None removes it. `base`: the blob that was edited, None for a file that shall be new.

    `branch` None: the default one. One that is not there begins at the default one's head.
    """

    path: str
    content: bytes | None
    base: str | None
    branch: str | None = None


@dataclass(frozen=True, kw_only=True)
class UseTemplate:
    """A new pattern, and a deployment of it where the template has one."""

    template: str
    parameters: Mapping[str, JSON]


@dataclass(frozen=True, kw_only=True)
class CreateTemplate:
    """A new template that is `pattern`, without parameters yet."""

    pattern: str


OfDeployment = Promote | RollBack | SetState | Undeploy
OfDocument = OfDeployment | Deploy | Clone | UseTemplate | CreateTemplate
Action = OfDocument | SaveFile
