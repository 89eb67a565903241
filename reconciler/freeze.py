"""Content → versions: pure. The same content has the same id on every machine, at any time.

A version's id is the SHA-256 of canonical JSON (sorted keys, no spaces, UTF-8) over the pattern's name, its
`spec` as parsed, the SHA-256 of every asset that it names, and the version ids of the patterns that it calls:
a Merkle hash, so a version holds all that its runs depend on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from schemas.pattern import JSON
from schemas.problems import Problem

FORMAT = 1

UNKNOWN_VERSION = "unknown-version"
CALLEE_NOT_FROZEN = "callee-not-frozen"
CALL_CIRCLE = "call-circle"

_NO_ASSET = "{} is not a plain file of this commit of at most 16 MiB."
_ADD_ASSET = "Add it, or make it smaller."


@dataclass(frozen=True, kw_only=True)
class Mention:
    """A place in a pattern that names an asset or a called pattern (`version` None: what its commit holds)."""

    name: str
    line: int
    column: int
    version: int | None = None

    @property
    def key(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A pattern as a commit holds it. `fault` says why it cannot be frozen whatever surrounds it.

    `callable`: others may call what this commit holds of it.
    """

    name: str
    path: str
    line: int
    column: int
    spec: Mapping[str, JSON]
    calls: tuple[Mention, ...] = ()
    assets: tuple[Mention, ...] = ()
    callable: bool = True
    fault: Problem | None = None


@dataclass(frozen=True, kw_only=True)
class Version:
    """Frozen content. `assets`: path → SHA-256 of its bytes; `calls`: "name" or "name@3" → version id."""

    id: str
    pattern: str
    spec: Mapping[str, JSON]
    assets: Mapping[str, str]
    calls: Mapping[str, str]

    @property
    def content(self) -> dict[str, JSON]:
        return {"pattern": self.pattern, "spec": self.spec, "assets": self.assets, "calls": self.calls}


@dataclass(frozen=True, kw_only=True)
class World:
    """What freezing asks: the SHA-256 of an asset, the id of a numbered version; None: not there."""

    digest: Callable[[str], str | None]
    numbered: Callable[[str, int], str | None]


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """Every pattern of a commit, by name: its version, or why it has none."""

    versions: Mapping[str, Version] = field(default_factory=dict)
    faults: Mapping[str, Problem] = field(default_factory=dict)


def version_id(pattern: str, spec: JSON, assets: Mapping[str, str], calls: Mapping[str, str]) -> str:
    """64 hex digits over content alone."""
    content = {"format": FORMAT, "pattern": pattern, "spec": spec, "assets": assets, "calls": calls}
    return hashlib.sha256(canonical(content).encode("utf-8", "surrogatepass")).hexdigest()


def canonical(value: JSON) -> str:
    """One text per value: sorted keys, no spaces, numbers as they were parsed (1 and 1.0 differ)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def freeze(
    drafts: Mapping[str, Draft], names: Collection[str], world: World, before: Frozen | None = None
) -> Frozen:
    """Freeze `names` anew, taking every other pattern from `before`.

    `names` must hold whatever calls one of them, directly or not. A name without a draft is gone.
    Callees come before their callers; what calls itself in a circle is a fault.
    """
    before = before or Frozen()
    versions, faults = dict(before.versions), dict(before.faults)
    for name in names:
        versions.pop(name, None)
        faults.pop(name, None)
    for draft in _callees_first(drafts, names):
        outcome = _freeze_one(draft, _open_to_calls(drafts, versions, draft), world)
        if isinstance(outcome, Version):
            versions[draft.name] = outcome
        else:
            faults[draft.name] = outcome
    for name in names:
        if name in drafts and name not in versions and name not in faults:
            faults[name] = _circle(drafts[name])
    return Frozen(versions=versions, faults=faults)


def _callees_first(drafts: Mapping[str, Draft], names: Collection[str]) -> list[Draft]:
    """Those of `names` that have drafts, each behind all that it calls; what is in a circle is left out."""
    waits = {name: _live_callees(drafts[name], drafts, names) for name in names if name in drafts}
    callers: dict[str, list[str]] = {}
    for name, callees in waits.items():
        for callee in callees:
            callers.setdefault(callee, []).append(name)
    ready = sorted(name for name, callees in waits.items() if not callees)
    order = []
    while ready:
        name = ready.pop()
        order.append(drafts[name])
        for caller in callers.get(name, ()):
            waits[caller].discard(name)
            if not waits[caller]:
                ready.append(caller)
    return order


def _live_callees(draft: Draft, drafts: Mapping[str, Draft], names: Collection[str]) -> set[str]:
    return {c.name for c in draft.calls if c.version is None and c.name in names and c.name in drafts}


def _open_to_calls(
    drafts: Mapping[str, Draft], versions: Mapping[str, Version], caller: Draft
) -> dict[str, Version]:
    """The frozen patterns that a draft calls and may call."""
    names = {call.name for call in caller.calls if call.version is None}
    return {name: versions[name] for name in names if name in versions and drafts[name].callable}


def _freeze_one(draft: Draft, versions: Mapping[str, Version], world: World) -> Version | Problem:
    if draft.fault is not None:
        return draft.fault
    assets: dict[str, str] = {}
    for asset in draft.assets:
        digest = world.digest(asset.name)
        if digest is None:
            return _problem(draft, asset, "unknown-asset", _NO_ASSET.format(asset.name), _ADD_ASSET)
        assets[asset.name] = digest
    calls: dict[str, str] = {}
    for call in draft.calls:
        callee = _callee(call, versions, world)
        if callee is None:
            return _lost_call(draft, call)
        calls[call.key] = callee
    identity = version_id(draft.name, draft.spec, assets, calls)
    return Version(id=identity, pattern=draft.name, spec=draft.spec, assets=assets, calls=calls)


def _callee(call: Mention, versions: Mapping[str, Version], world: World) -> str | None:
    if call.version is not None:
        return world.numbered(call.name, call.version)
    return versions[call.name].id if call.name in versions else None


def _lost_call(draft: Draft, call: Mention) -> Problem:
    if call.version is not None:
        message = f"{call.name} has no version {call.version}."
        hint = f"Take a number that `weft versions {call.name}` lists, or leave out `version`."
        return _problem(draft, call, UNKNOWN_VERSION, message, hint)
    message = f"{draft.name} calls {call.name}, which this commit does not have in a callable, sound form."
    return _problem(
        draft,
        call,
        CALLEE_NOT_FROZEN,
        message,
        f"Add or mend the pattern {call.name}, with `call: {{}}` in its `on`.",
    )


def _circle(draft: Draft) -> Problem:
    at = next((call for call in draft.calls if call.version is None), None)
    mention = at or Mention(name=draft.name, line=draft.line, column=draft.column)
    message = f"{draft.name} calls itself, directly or through others."
    return _problem(draft, mention, CALL_CIRCLE, message, "Break the circle, or call a numbered version.")


def _problem(draft: Draft, at: Mention, code: str, message: str, hint: str) -> Problem:
    return Problem(path=draft.path, line=at.line, column=at.column, code=code, message=message, hint=hint)
