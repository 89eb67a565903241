"""Frozen versions: content by hash, and where each organisation's history first held it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schemas.pattern import JSON
from store.database import Connection


@dataclass(frozen=True, kw_only=True)
class VersionContent:
    """All that a run needs. `assets`: path → asset id; `calls`: callee ("name" or "name@3") → version id."""

    id: str
    pattern: str
    spec: Mapping[str, JSON]
    assets: Mapping[str, str] = field(default_factory=dict)
    calls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """Where an organisation's history first held a version. `number` is None off the default branch."""

    version_id: str
    pattern: str
    number: int | None
    commit: str
    author: str
    message: str
    frozen_at: datetime


def load_version(connection: Connection, version_id: str) -> VersionContent | None:
    row = connection.execute("SELECT content FROM versions WHERE id = %s", [version_id]).fetchone()
    return None if row is None else _content(version_id, row[0])


def load_versions(connection: Connection, ids: Collection[str]) -> dict[str, VersionContent]:
    """Those of `ids` that are stored, by id."""
    rows = connection.execute("SELECT id, content FROM versions WHERE id = ANY(%s)", [list(ids)])
    return {id_: _content(id_, content) for id_, content in rows}


def load_asset(connection: Connection, asset_id: str) -> bytes:
    """The bytes of an asset that a stored version names. Raises KeyError for any other id."""
    row = connection.execute("SELECT content FROM assets WHERE id = %s", [asset_id]).fetchone()
    if row is None:
        raise KeyError(f"There is no asset {asset_id}: `weft rebuild` stores it again if Git still has it.")
    return bytes(row[0])


def list_versions(connection: Connection, organisation: str, pattern: str) -> list[Freeze]:
    """Every version of a pattern: the newest number first, those without a number before them."""
    rows = connection.execute(
        f"""{_FREEZES} WHERE organisation = %s AND pattern = %s
            ORDER BY number DESC NULLS FIRST, frozen_at DESC""".encode(),
        [organisation, pattern],
    )
    return [_freeze(*row) for row in rows]


def version_by_number(connection: Connection, organisation: str, pattern: str, number: int) -> Freeze | None:
    row = connection.execute(
        f"{_FREEZES} WHERE organisation = %s AND pattern = %s AND number = %s",
        [organisation, pattern, number],
    ).fetchone()
    return None if row is None else _freeze(*row)


def freeze_of(connection: Connection, organisation: str, version_id: str) -> Freeze | None:
    """Where a version was first held."""
    row = connection.execute(
        f"{_FREEZES} WHERE organisation = %s AND version_id = %s", [organisation, version_id]
    ).fetchone()
    return None if row is None else _freeze(*row)


def list_patterns(connection: Connection, organisation: str) -> dict[str, int]:
    """Pattern → how many numbered versions its history has."""
    rows = connection.execute(
        "SELECT pattern, max(number) FROM freezes WHERE organisation = %s AND number IS NOT NULL GROUP BY pattern",
        [organisation],
    )
    return dict(rows.fetchall())


def numbers(connection: Connection, organisation: str) -> dict[str, list[str]]:
    """Pattern → its numbered versions' ids, number 1 first."""
    rows = connection.execute(
        """SELECT pattern, array_agg(version_id ORDER BY number) FROM freezes
           WHERE organisation = %s AND number IS NOT NULL GROUP BY pattern""",
        [organisation],
    )
    return dict(rows.fetchall())


def add_versions(connection: Connection, versions: Sequence[VersionContent]) -> None:
    """Store content; what is there already stays."""
    if versions:
        connection.execute(
            """INSERT INTO versions (id, pattern, content)
               SELECT id, pattern, content::json
               FROM unnest(%s::text[], %s::text[], %s::text[]) AS t (id, pattern, content)
               ON CONFLICT DO NOTHING""",
            [[v.id for v in versions], [v.pattern for v in versions], [_text(v) for v in versions]],
        )


def missing_assets(connection: Connection, ids: Collection[str]) -> set[str]:
    """Those of `ids` that are not stored yet."""
    if not ids:
        return set()
    rows = connection.execute("SELECT id FROM assets WHERE id = ANY(%s)", [list(ids)])
    return set(ids) - {row[0] for row in rows}


def add_assets(connection: Connection, assets: Iterable[tuple[str, bytes]]) -> None:
    """Store (SHA-256, bytes). One by one: an asset may be megabytes."""
    for id_, content in assets:
        connection.execute(
            "INSERT INTO assets (id, content) VALUES (%s, %s) ON CONFLICT DO NOTHING", [id_, content]
        )


def add_freezes(connection: Connection, organisation: str, freezes: Sequence[Freeze]) -> None:
    """Record them. A version without a number gets one, and its place, when the default branch comes to hold it."""
    if not freezes:
        return
    columns = [
        [getattr(freeze, name) for freeze in freezes]
        for name in ("version_id", "pattern", "number", "commit", "author", "message", "frozen_at")
    ]
    connection.execute(
        """INSERT INTO freezes (organisation, version_id, pattern, number, commit, author, message, frozen_at)
           SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::integer[], %s::text[], %s::text[], %s::text[],
               %s::timestamptz[])
           ON CONFLICT (organisation, version_id) DO UPDATE SET number = excluded.number, commit = excluded.commit,
               author = excluded.author, message = excluded.message, frozen_at = excluded.frozen_at
           WHERE freezes.number IS NULL AND excluded.number IS NOT NULL""",
        [organisation, *columns],
    )


def forget_freezes(connection: Connection, organisation: str) -> None:
    """Before a rebuild. Content stays, since runs point at it, and so does what never had a number: a deployment
    may stand on it whose branch or tag is gone."""
    connection.execute("DELETE FROM freezes WHERE organisation = %s AND number IS NOT NULL", [organisation])


_FREEZES = "SELECT version_id, pattern, number, commit, author, message, frozen_at FROM freezes"


def _freeze(
    version_id: str,
    pattern: str,
    number: int | None,
    commit: str,
    author: str,
    message: str,
    frozen_at: datetime,
) -> Freeze:
    return Freeze(
        version_id=version_id, pattern=pattern, number=number, commit=commit, author=author, message=message,
        frozen_at=frozen_at,
    )  # fmt: skip


def _content(version_id: str, stored: Mapping[str, JSON]) -> VersionContent:
    return VersionContent(
        id=version_id,
        pattern=stored["pattern"],
        spec=stored["spec"],
        assets=stored["assets"],
        calls=stored["calls"],
    )


def _text(version: VersionContent) -> str:
    """Escapes everything beyond ASCII: a lone surrogate or a NUL in a document must not fail the whole push."""
    content = {
        "pattern": version.pattern,
        "spec": version.spec,
        "assets": version.assets,
        "calls": version.calls,
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"))
