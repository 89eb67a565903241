"""Where secrets may stand, which a pattern names, and what an expression made of them."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.expressions import compile_template
from schemas.secret_names import secret_keys, secret_places, secrets_of_pattern
from schemas.secret_values import SECRETS, SecretValues, other
from schemas.shape import node_kinds

NAMES = frozenset({SECRETS})


def derived(template: Any, **scope: Any) -> tuple[Any, list[Any]]:
    """What a template gives, and what of it comes from secrets."""
    values = SecretValues({"A": "hunter2", "PIN": "4711", "JSON": '{"user":"ada","key":"k3y"}'})
    given = compile_template(template, NAMES).evaluate({"secrets": values, **scope})
    return given, values.derived


def test_only_kinds_that_reach_outside_may_name_secrets_and_they_say_where() -> None:
    allowed = {kind: secret_keys(kind) for kind in node_kinds() if secret_keys(kind)}
    assert {"http", "sql", "script", "shell", "email"} <= allowed.keys()
    for kind in (
        "set",
        "log",
        "format",
        "parse",
        "validate",
        "call",
        "fail",
        "stop",
        "delay",
        "wait",
        "approve",
    ):
        assert kind not in allowed
    assert allowed["sql"] == ("params",)
    assert "command" not in allowed["shell"], "everybody on the machine can read it"


def test_the_names_that_a_pattern_reads_are_found_with_their_places() -> None:
    keys = {"url": "${{ secrets.URL }}", "headers": {"x": "B ${{ base64(secrets['B'] + item) }}"}}
    http = {"id": "a", "uses": "http", "with": keys}
    query = {"connection": "x", "query": "secrets.NO", "params": ["${{ secrets.B }}"]}
    spec = {
        "nodes": [
            {"id": "each", "uses": "for-each", "items": "${{ [1] }}", "do": [http]},
            {"id": "s", "uses": "sql", "with": query},
            {"id": "n", "uses": "log", "with": {"message": "secrets.NONE"}},
        ]
    }
    assert secrets_of_pattern(spec) == {"URL", "B"}
    at = ("spec", "nodes", 0, "do", 0, "with")
    assert secret_places(spec) == {"URL": (*at, "url"), "B": (*at, "headers", "x")}


def test_what_an_expression_makes_of_a_secret_is_noted() -> None:
    assert derived("Basic ${{ base64('me:' + secrets.A) }}") == (
        "Basic bWU6aHVudGVyMg==",
        ["bWU6aHVudGVyMg=="],
    )
    assert derived("${{ secrets.A.substring(0, 3) }}") == ("hun", ["hun"])
    assert derived("${{ int(secrets.PIN) }}") == (4711, [4711])
    assert derived("${{ secrets.A.split('t') }}")[1] == ["hun", "er2"]
    assert derived("${{ {secrets.A: true} }}")[1] == ["hunter2"]
    assert derived("${{ parseJson(secrets.JSON).key }}")[1] == ["k3y"]


def test_a_secret_as_it_is_is_known_already() -> None:
    assert derived({"a": "${{ secrets.A }}", "b": "x ${{ secrets.A }} y"}) == (
        {"a": "hunter2", "b": "x hunter2 y"},
        [],
    )


def test_what_stands_beside_a_secret_in_an_expression_is_none() -> None:
    order = {"currency": "EUR", "items": [{"id": 7, "name": "pen"}]}
    given, found = derived(
        "${{ {'order': nodes.order, 'key': secrets.A, 'n': int(secrets.PIN)} }}", nodes={"order": order}
    )
    assert given["order"] == order
    assert sorted(map(str, found)) == ["4711", "hunter2"]


def test_where_it_cannot_be_told_apart_all_of_it_counts_as_secret() -> None:
    assert derived("${{ {'user': parseJson(secrets.JSON).user, 'state': 'open'} }}")[1] == ["ada"]
    picked = "${{ {'state': secrets.A == 'hunter2' ? trigger.a : trigger.b.c} }}"
    assert derived(picked, trigger={"a": "open"})[1] == ["state", "open"], "with another secret it fails"


@pytest.mark.parametrize("text", ["hunter2", "A-b_C 9\n", "äöü", "::", "x"])
def test_another_secret_has_no_character_in_common_at_any_place(text: str) -> None:
    made = other(text)
    assert len(made) == len(text)
    assert all(one != another for one, another in zip(text, made, strict=True))
