"""What must hold within a project's settings beyond their shape."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Final

from schemas.mistakes import Mistake, did_you_mean
from schemas.pattern import JSON
from schemas.project import TAGS

_HOST_AND_PORT: Final = re.compile(
    r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?):([0-9]{1,5})"
)


def project_mistakes(spec: Mapping[str, JSON]) -> Iterator[Mistake]:
    """Addresses that are none, and names of groups that are not there. The shape may be wrong as well."""
    yield from _network_mistakes(spec)
    yield from _protection_mistakes(spec)


def _network_mistakes(spec: Mapping[str, JSON]) -> Iterator[Mistake]:
    """The entries of `network.allow` that are neither an address range nor a host with a port."""
    network = spec.get("network")
    allowed = network.get("allow") if isinstance(network, dict) else None
    for index, entry in enumerate(allowed if isinstance(allowed, list) else ()):
        wrong = _wrong(entry) if isinstance(entry, str) else None
        if wrong:
            path = ("spec", "network", "allow", index)
            hint = 'Write an address range such as 10.0.0.0/8, or a host with its port: "db.internal:5432".'
            yield Mistake(path=path, code="invalid-value", message=wrong, hint=hint)


def _wrong(entry: str) -> str | None:
    match = _HOST_AND_PORT.fullmatch(entry)
    if match and 0 < int(match[1]) < 65536:
        return None
    try:
        ip_network(entry)
    except ValueError as error:
        reason = ": it has host bits set" if "host bits" in str(error) else ""
        return f"{entry!r:.200} cannot be allowed{reason}"
    return None


def _protection_mistakes(spec: Mapping[str, JSON]) -> Iterator[Mistake]:
    """Those named in `push` that are neither a group nor in one: a slip there would lock people out."""
    groups = _mapping(spec.get("groups"))
    members = {user for users in groups.values() for user in _texts(users).values()}
    for path, rule in _protecting(_mapping(spec.get("protect"))):
        for index, name in _texts(_mapping(rule).get("push")).items():
            if name not in groups and name not in members:
                yield Mistake(
                    path=("spec", "protect", *path, "push", index),
                    code="unknown-group",
                    message=f'there is no group "{name:.80}", and nobody of that name in one',
                    hint=did_you_mean(name, {*groups, *members}) if groups else "Add the group to `groups`.",
                )


def _protecting(protect: Mapping[str, JSON]) -> Iterator[tuple[tuple[str, ...], JSON]]:
    yield from (((glob,), rule) for glob, rule in protect.items() if glob != TAGS)
    yield from (((TAGS, glob), rule) for glob, rule in _mapping(protect.get(TAGS)).items())


def _mapping(value: JSON) -> Mapping[str, JSON]:
    return value if isinstance(value, dict) else {}


def _texts(value: JSON) -> dict[int, str]:
    """The texts of a list by their index."""
    listed = value if isinstance(value, list) else []
    return {index: one for index, one in enumerate(listed) if isinstance(one, str)}
