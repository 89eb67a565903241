"""Wanted and live → plan: pure. Reviews, pushes and the loop use this one, and what it says is applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from reconciler.git.commits import Commit
from reconciler.history import FirstHeld
from reconciler.removals import is_held, too_many_removals
from reconciler.resolve import Reason, Resolution
from reconciler.steps import Action, Binding, Plan, Step, VersionRef
from schemas.documents import Document
from schemas.problems import Problem

UNDEPLOYED = "undeployed"
ARCHIVED = "archived"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A deployment's document with what its source comes to. `asks.version` is its resolution's, or None.

    `follows_head`: its version comes from the very commit that holds the document. `last_good` is what to fall
    back on where nothing is live. `loose`: versions that come from elsewhere than the default branch.
    """

    name: str
    asks: Binding
    resolution: Resolution
    follows_head: bool
    document: Document
    last_good: VersionRef | None = None
    loose: tuple[FirstHeld, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Live:
    """A deployment as it is. `commit` made its current revision; `stall` is the reason written with it."""

    name: str
    binding: Binding
    commit: str
    stall: Reason | None = None
    tried: str | None = None

    @property
    def is_serving(self) -> bool:
        """On the version that it asks for, and free to change."""
        return self.stall is None and self.binding.state not in (UNDEPLOYED, ARCHIVED)

    @cached_property
    def unchanged(self) -> Step:
        """The step of most deployments in most plans: made once."""
        return Step(name=self.name, action=Action.UNCHANGED, before=self.binding, after=self.binding)


@dataclass(frozen=True, kw_only=True)
class Desired:
    """What a commit wants. `settled`: deployments that are live just as they are wanted; the others are in
    `wanted`. `moving`: those of `settled` whose source may come to something else without another document.
    `blocked`: deployments whose documents have problems; `unreadable`: of deployment files that do not even tell
    names, so that nobody can say what is missing.

    `may_remove`: the head's message allows a mass removal; `is_empty`: it holds no documents at all."""

    head: Commit | None
    settled: frozenset[str] = frozenset()
    moving: frozenset[str] = frozenset()
    wanted: Mapping[str, Wanted]
    blocked: Mapping[str, Problem] = field(default_factory=dict)
    unreadable: tuple[Problem, ...] = ()
    may_remove: bool = False
    is_empty: bool = False


def plan(desired: Desired, live: Mapping[str, Live], *, base: str | None) -> Plan:
    """One step for each deployment that is wanted or live, by name."""
    names = sorted(desired.wanted.keys() | (live.keys() - desired.settled))
    found = (_step(desired, desired.wanted.get(name), live.get(name)) for name in names)
    steps = tuple(step for step in found if step is not None)
    settled = [live[name].unchanged for name in desired.settled]
    if not desired.may_remove:
        reason = too_many_removals(steps, len(settled), nothing_left=desired.is_empty)
        steps = _guarded(steps, live, reason)
    head = desired.head.id if desired.head else None
    return Plan(base=base, head=head, looked_at=steps, settled=settled)


def _step(desired: Desired, wanted: Wanted | None, live: Live | None) -> Step | None:
    if wanted is None:
        assert live is not None
        return _unwanted(desired, live)
    if live is not None and live.binding.state == ARCHIVED:
        return _archived(live, wanted)
    if wanted.resolution.reason is not None:
        return _stalled(desired, wanted, live, wanted.resolution.reason)
    return _resolved(desired, wanted, live)


def _resolved(desired: Desired, wanted: Wanted, live: Live | None) -> Step:
    before = live.binding if live else None
    revises = before is None or _differs(before, wanted.asks)
    if before is None or before.state == UNDEPLOYED:
        action = Action.CREATE
    else:
        same = not revises and before.metadata == wanted.asks.metadata
        action = Action.UNCHANGED if same else Action.CHANGE
    tried = wanted.resolution.commit
    return Step(
        name=wanted.name,
        action=action,
        before=before,
        after=wanted.asks,
        commit=_author_of(desired, wanted, before),
        tried=tried.id if tried else (desired.head.id if desired.head else None),
        writes=action != Action.UNCHANGED or (live is not None and live.stall is not None),
        revises=revises,
    )


def _stalled(desired: Desired, wanted: Wanted, live: Live | None, reason: Reason) -> Step:
    """Keeps the last good version. Settings are taken over as long as they are for the same pattern."""
    before = live.binding if live and live.binding.state != UNDEPLOYED else None
    if before is None and wanted.last_good is not None:
        after = replace(wanted.asks, version=wanted.last_good)
    elif before is None:
        after = replace(wanted.asks, state=UNDEPLOYED, version=None)
    elif before.version is not None and before.pattern == wanted.asks.pattern:
        after = replace(wanted.asks, version=before.version)
    else:
        after = before
    was = live.binding if live else None
    revises = was is None or _differs(was, after)
    tried = wanted.resolution.commit.id if wanted.resolution.commit else None
    return Step(
        name=wanted.name,
        action=Action.STALLED,
        before=was,
        after=after,
        reason=reason,
        commit=desired.head,
        tried=tried,
        writes=revises or live is None or live.stall != reason or live.tried != tried,
        revises=revises,
    )


def _archived(live: Live, wanted: Wanted) -> Step:
    if wanted.asks.spec == live.binding.spec:
        return live.unchanged
    return _refused(live, wanted)


def _refused(live: Live, wanted: Wanted | None) -> Step:
    message = f"{live.name} was archived by commit {live.commit[:10]}; an archived deployment cannot change."
    hint = "Take this change back, and deploy the pattern under another name."
    document = wanted.document if wanted else None
    problem = Problem(
        path=document.path if document else "deployments",
        line=document.line if document else 1,
        column=document.column if document else 1,
        code="archived-deployment",
        message=message,
        hint=hint,
    )
    return Step(
        name=live.name,
        action=Action.REFUSED,
        before=live.binding,
        after=live.binding,
        problems=(problem,),
        reason=Reason(code="archived-deployment", message=f"{message} {hint}"),
    )


def _unwanted(desired: Desired, live: Live) -> Step | None:
    if live.binding.state == UNDEPLOYED and live.stall is None:
        return None
    problem = desired.blocked.get(live.name) or next(iter(desired.unreadable), None)
    if problem is not None:
        return _blocked(desired, live, problem)
    if live.binding.state == ARCHIVED:
        return _refused(live, None)
    after = replace(live.binding, state=UNDEPLOYED)
    return Step(
        name=live.name,
        action=Action.UNDEPLOY,
        before=live.binding,
        after=after,
        commit=desired.head,
        tried=desired.head.id if desired.head else None,
        writes=True,
        revises=live.binding.state != UNDEPLOYED,
    )


def _guarded(steps: tuple[Step, ...], live: Mapping[str, Live], reason: Reason | None) -> tuple[Step, ...]:
    """Removals held back for `reason`. What was held before stays so, however many others there are by now."""
    guarded = []
    for step in steps:
        why = None
        if step.action == Action.UNDEPLOY:
            stall = live[step.name].stall
            why = reason or (stall if is_held(stall) else None)
        guarded.append(step if why is None else _held(step, why, live))
    return tuple(guarded)


def _held(step: Step, reason: Reason, live: Mapping[str, Live]) -> Step:
    """Stays as it is. Where a problem of its own kept it before, that is over."""
    return Step(
        name=step.name,
        action=Action.STALLED,
        before=step.before,
        after=step.before,
        reason=reason,
        tried=step.tried,
        writes=live[step.name].stall != reason,
    )


def _blocked(desired: Desired, live: Live, problem: Problem) -> Step:
    reason = Reason(code="deployment-has-problems", message=str(problem))
    tried = desired.head.id if desired.head else None
    return Step(
        name=live.name,
        action=Action.STALLED,
        before=live.binding,
        after=live.binding,
        reason=reason,
        tried=tried,
        writes=live.stall != reason,
    )


def _differs(before: Binding, after: Binding) -> bool:
    """Whether runs would notice."""
    one, other = (b.version.id if b.version else None for b in (before, after))
    return one != other or before.state != after.state or before.spec != after.spec


def _author_of(desired: Desired, wanted: Wanted, before: Binding | None) -> Commit | None:
    """Who changed it: the document's commit, or, when only the version moved, the commit under the source."""
    only_version = (
        before is not None and before.state == wanted.asks.state and before.spec == wanted.asks.spec
    )
    return (wanted.resolution.commit if only_version else None) or desired.head
