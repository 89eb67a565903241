"""Patterns, and their frozen versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from reconciler.description import version_changes
from schemas.pattern import JSON
from store.database import Connection, Database
from store.versions import (
    Freeze,
    VersionContent,
    list_patterns,
    list_versions,
    load_version,
    version_by_number,
)
from web.api.deployments import version_json
from web.api.query import DEFAULT_LIMIT, Parser, is_label, label, limit, number, wrong
from web.api.resource import Call
from web.problems import Refusal, not_found

LIST_QUERY: Mapping[str, Parser] = {"cursor": label, "limit": limit}
DIFF_QUERY: Mapping[str, Parser] = {"from": number(1), "to": number(1)}
VERSIONS_QUERY: Mapping[str, Parser] = {"cursor": number(0), "limit": limit}

Item = TypeVar("Item")


class Patterns:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, call: Call) -> JSON:
        with self._database.connection() as connection:
            known = list_patterns(connection, call.identity.organisation)
        names = sorted(name for name in known if name > (call.query["cursor"] or ""))
        shown, more = _page(names, call.query["limit"])
        items = [{"name": name, "newest": known[name]} for name in shown]
        return {"items": items, "next": shown[-1] if more else None}

    def versions(self, call: Call) -> JSON:
        """Newest first, and before them those that have no number, on the first page."""
        name = call.path["name"]
        with self._database.connection() as connection:
            found = list_versions(connection, call.identity.organisation, name) if is_label(name) else []
        if not found:
            raise _no_pattern(name)
        before = call.query["cursor"]
        if before is not None:
            found = [one for one in found if one.number is not None and one.number < before]
        shown, more = _page(found, call.query["limit"])
        return {
            "items": [_version(one) for one in shown],
            "next": str(_cursor(found, shown)) if more else None,
        }

    def version(self, call: Call) -> JSON:
        """One with its content."""
        text = call.path["number"]
        known = text.isascii() and text.isdigit() and len(text) < 10
        with self._database.connection() as connection:
            found, content = self._held(connection, call, int(text) if known else None, text)
        return {**_version(found), "spec": content.spec, "assets": content.assets, "calls": content.calls}

    def diff(self, call: Call) -> JSON:
        """What differs between two, in words."""
        numbers = {key: call.query[key] for key in DIFF_QUERY}
        missing = [
            {"path": key, "message": "a number is needed"} for key, at in numbers.items() if at is None
        ]
        if missing:
            raise wrong("query parameters", missing)
        with self._database.connection() as connection:
            (one, before), (other, after) = (
                self._held(connection, call, at, str(at)) for at in numbers.values()
            )
        changes = version_changes(_content(before), _content(after))
        return {
            "pattern": call.path["name"],
            "from": {"id": one.version_id, "number": one.number},
            "to": {"id": other.version_id, "number": other.number},
            "changes": [change.as_json() for change in changes],
        }

    def _held(
        self, connection: Connection, call: Call, at: int | None, text: str
    ) -> tuple[Freeze, VersionContent]:
        """Raises Refusal."""
        name, organisation = call.path["name"], call.identity.organisation
        known = at is not None and is_label(name)
        found = version_by_number(connection, organisation, name, at) if known and at else None
        content = load_version(connection, found.version_id) if found else None
        if found is None or content is None:
            raise not_found(
                f"{name!r:.80} has no version {text!r:.20}. `weft versions {name:.63}` lists those it has."
            )
        return found, content


def _content(version: VersionContent) -> dict[str, JSON]:
    return {"spec": version.spec, "assets": version.assets, "calls": version.calls}


def _page(items: Sequence[Item], most: int | None) -> tuple[Sequence[Item], bool]:
    most = most or DEFAULT_LIMIT
    return items[:most], len(items) > most


def _cursor(found: Sequence[Freeze], shown: Sequence[Freeze]) -> int:
    """The number that the next page is below. A page of versions without numbers leads to all that have one."""
    last = shown[-1].number
    if last is not None:
        return last
    return next((one.number + 1 for one in found if one.number is not None), 0)


def _version(version: Freeze) -> dict[str, JSON]:
    return {"pattern": version.pattern, **version_json(version)}


def _no_pattern(name: str) -> Refusal:
    return not_found(
        f"No version of a pattern {name!r:.80} was ever frozen. A pattern has versions once a push has brought it."
    )
