"""What a plan's steps change, in words and for programs: pure, time is an argument."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from reconciler.differences.fields import Change, fields
from reconciler.differences.fires import next_fires
from reconciler.differences.nodes import node_changes
from reconciler.differences.settings import default_changes, settings_changes
from reconciler.differences.triggers import Listed, ScheduleTeller, trigger_changes
from reconciler.steps import Action, Binding, Caller, Plan, Step, VersionRef
from schemas.pattern import JSON
from schemas.schedule import schedules_from

Content = Callable[[VersionRef], Mapping[str, JSON]]
"""A version's content: {"pattern", "spec", "assets", "calls"}."""


@dataclass(frozen=True, kw_only=True)
class Describing:
    """What describing asks. `callers`: the patterns of the plan's head that call a pattern without a number, so
    that they change with it; `held`: the id of the version that the head holds of a pattern."""

    content: Content
    callers: Callable[[str], Collection[str]]
    held: Callable[[str], str | None]
    now: datetime


@dataclass(frozen=True, kw_only=True)
class _Side:
    """A deployment before or after; `binding` None where there is none."""

    binding: Binding | None = None
    pattern: Mapping[str, JSON] = field(default_factory=dict)
    assets: Mapping[str, JSON] = field(default_factory=dict)
    calls: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def spec(self) -> Mapping[str, JSON]:
        return self.binding.spec if self.binding else {}

    @property
    def version(self) -> str | None:
        return self.binding.version.id if self.binding and self.binding.version else None

    @property
    def schedules(self) -> Listed:
        """Those that fire: its own, or the pattern's."""
        own: Listed | None = self.spec.get("schedules")
        return self.offered if own is None else own

    @property
    def offered(self) -> Listed:
        listed: Listed = self.pattern.get("on", {}).get("schedule", ())
        return listed


def described(plan: Plan, describing: Describing) -> Plan:
    """The plan with what each step changes, whom it affects and when what will be fires next."""
    moved = _moved(plan.looked_at)
    looked_at = tuple(_described(step, describing, moved) for step in plan.looked_at)
    return replace(plan, looked_at=looked_at)


def version_changes(before: Mapping[str, JSON], after: Mapping[str, JSON]) -> tuple[Change, ...]:
    """What differs between two versions' contents, whatever deployments make of it."""
    one, other = (
        _Side(pattern=held["spec"], assets=held["assets"], calls=held["calls"]) for held in (before, after)
    )
    if one == other:
        return ()
    return (
        *trigger_changes(one.pattern.get("on", {}), other.pattern.get("on", {})),
        *ScheduleTeller(path="on.schedule").changes(one.offered, other.offered),
        *_version_changes(one, other),
    )


def _described(step: Step, describing: Describing, moved: Mapping[str, Collection[str]]) -> Step:
    if step.action in (Action.UNCHANGED, Action.REFUSED):
        return step
    gone = step.action == Action.UNDEPLOY
    before, after = (
        _side(binding, describing.content) for binding in (step.before, None if gone else step.after)
    )
    active = after.binding is not None and after.binding.state == "active"
    now = describing.now if active else None
    fires = next_fires(schedules_from(after.schedules), describing.now) if active else ()
    changes = tuple(_changes(before, after, now))
    callers = tuple(_callers(step, describing, moved))
    return replace(step, changes=changes, next_fires=fires, callers=callers)


def _side(binding: Binding | None, content: Content) -> _Side:
    if binding is None or binding.state == "undeployed":
        return _Side()
    held = content(binding.version) if binding.version else {"spec": {}, "assets": {}, "calls": {}}
    return _Side(binding=binding, pattern=held["spec"], assets=held["assets"], calls=held["calls"])


def _changes(before: _Side, after: _Side, now: datetime | None) -> Iterator[Change]:
    if after.binding is not None:
        yield from settings_changes(before.binding.spec if before.binding else None, after.binding.spec)
    if before.binding is not None and after.binding is not None:
        for each in fields(before.binding.metadata, after.binding.metadata):
            yield each.told("deployment.metadata", "metadata")
    yield from trigger_changes(before.pattern.get("on", {}), after.pattern.get("on", {}))
    yield from _schedule_changes(before, after, now)
    if before.version and after.version and before.version != after.version:
        yield from _version_changes(before, after)


def _schedule_changes(before: _Side, after: _Side, now: datetime | None) -> Iterator[Change]:
    owned, owns = "schedules" in before.spec, "schedules" in after.spec
    here = owns or (after.binding is None and owned)
    path = "deployment.schedules" if here else "on.schedule"
    told = list(ScheduleTeller(path=path, now=now).changes(before.schedules, after.schedules))
    yield from told
    if before.binding is None or after.binding is None:
        return
    if owned != owns and not told:
        words = (
            "set here, the same as the pattern's"
            if owns
            else "no longer set here: the pattern's are the same"
        )
        one, other = (side.spec.get("schedules") for side in (before, after))
        yield Change(path="deployment.schedules", before=one, after=other, text=f"schedules {words}")
    if owns and owned:
        unused = ScheduleTeller(path="on.schedule", note=" (not used: this deployment has its own schedules)")
        yield from unused.changes(before.offered, after.offered)


def _version_changes(before: _Side, after: _Side) -> Iterator[Change]:
    told = [
        *default_changes(before.pattern, after.pattern, after.spec),
        *node_changes(before.pattern["nodes"], after.pattern["nodes"]),
        *_asset_changes(before.assets, after.assets),
        *_call_changes(before.calls, after.calls),
    ]
    yield from told
    if not told and before.pattern == after.pattern and before.spec == after.spec:
        # Two versions are never the same: what no rule above knows is still said.
        text = "the version has other content"
        yield Change(path="version", before=before.version, after=after.version, text=text)


def _asset_changes(before: Mapping[str, JSON], after: Mapping[str, JSON]) -> Iterator[Change]:
    """Assets are hashes: what changed is worth saying, from which hash to which is not."""
    for name in sorted({*before, *after}):
        was, is_ = before.get(name), after.get(name)
        if was != is_:
            verb = "added" if was is None else "removed" if is_ is None else "changed"
            yield Change(path=name, before=was, after=is_, text=f"file {name} {verb}")


def _call_changes(before: Mapping[str, JSON], after: Mapping[str, JSON]) -> Iterator[Change]:
    """Of a call that is new or gone, the node's own line tells."""
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            text = f"called pattern {name} changed"
            yield Change(path=f"calls.{name}", before=before[name], after=after[name], text=text)


def _moved(steps: Iterable[Step]) -> dict[str, list[str]]:
    """Pattern → deployments that get another version of it."""
    found = defaultdict(list)
    for step in steps:
        if step.after is not None and _is_moved(step):
            found[step.after.pattern].append(step.name)
    return found


def _is_moved(step: Step) -> bool:
    """From one version of its pattern to another."""
    one, other = step.before, step.after
    if one is None or other is None or one.version is None or other.version is None:
        return False
    return one.pattern == other.pattern and one.version.id != other.version.id


def _callers(step: Step, describing: Describing, moved: Mapping[str, Collection[str]]) -> Iterator[Caller]:
    """Directly or not, by name."""
    after = step.after
    if after is None or after.version is None or not _is_moved(step):
        return
    if describing.held(after.pattern) != after.version.id:
        return
    found: set[str] = set()
    open_ = list(describing.callers(after.pattern))
    while open_:
        name = open_.pop()
        if name not in found:
            found.add(name)
            open_.extend(describing.callers(name))
    for name in sorted(found - {after.pattern}):
        yield Caller(pattern=name, deployments=tuple(moved.get(name, ())))
