from datetime import UTC, datetime, timedelta

import pytest

from store.database import Connection
from store.versions import (
    Freeze,
    VersionContent,
    add_assets,
    add_freezes,
    add_versions,
    forget_freezes,
    list_patterns,
    list_versions,
    load_asset,
    load_version,
    load_versions,
    missing_assets,
    numbers,
    version_by_number,
)

AT = datetime(2026, 1, 2, tzinfo=UTC)


def content(id_: str, pattern: str = "a", **spec: object) -> VersionContent:
    return VersionContent(id=id_, pattern=pattern, spec=spec, assets={"s.py": "1"}, calls={"b": "x"})


def freeze(id_: str, number: int | None, pattern: str = "a", commit: str = "c1") -> Freeze:
    at = AT + timedelta(days=number or 0)
    return Freeze(
        version_id=id_, pattern=pattern, number=number, commit=commit, author="A", message="m", frozen_at=at
    )


def test_content_comes_back_as_it_was_frozen(connection: Connection) -> None:
    odd = content("one", text="\0 ä \U0001f600", whole=1, half=1.0, nothing=None)
    add_versions(connection, [odd, content("two")])
    add_versions(connection, [odd])
    assert load_version(connection, "one") == odd
    assert load_version(connection, "none") is None
    assert set(load_versions(connection, ["one", "two", "none"])) == {"one", "two"}


def test_assets_are_stored_once(connection: Connection) -> None:
    add_assets(connection, [("1", b"\0\xff"), ("2", b"")])
    assert missing_assets(connection, {"1", "3"}) == {"3"}
    add_assets(connection, [("1", b"other")])
    assert load_asset(connection, "1") == b"\0\xff"
    with pytest.raises(KeyError, match="weft rebuild"):
        load_asset(connection, "3")


def test_a_version_gets_its_number_and_place_when_the_default_branch_holds_it(connection: Connection) -> None:
    add_versions(connection, [content("one"), content("two")])
    add_freezes(connection, "default", [freeze("one", 1), freeze("two", None, commit="side")])
    assert [found.number for found in list_versions(connection, "default", "a")] == [None, 1]
    add_freezes(connection, "default", [freeze("two", 2, commit="c2"), freeze("one", None, commit="late")])
    assert [(found.number, found.commit) for found in list_versions(connection, "default", "a")] == [
        (2, "c2"),
        (1, "c1"),
    ]
    assert numbers(connection, "default") == {"a": ["one", "two"]}
    assert list_patterns(connection, "default") == {"a": 2}
    found = version_by_number(connection, "default", "a", 2)
    assert found is not None
    assert (found.version_id, found.frozen_at) == ("two", AT + timedelta(days=2))
    assert version_by_number(connection, "default", "a", 3) is None


def test_organisations_share_content_and_nothing_else(connection: Connection) -> None:
    add_versions(connection, [content("one"), content("two")])
    add_freezes(connection, "default", [freeze("one", 1)])
    add_freezes(connection, "other", [freeze("two", 1), freeze("one", 2)])
    assert numbers(connection, "default") == {"a": ["one"]}
    forget_freezes(connection, "other")
    assert (numbers(connection, "other"), numbers(connection, "default")) == ({}, {"a": ["one"]})
