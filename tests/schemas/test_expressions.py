"""Expressions: what they give, what they read, and what they say when they cannot."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.expressions import (
    ExpressionFailed,
    ExpressionInvalid,
    compile_expression,
    compile_template,
)

SCOPE: dict[str, Any] = {
    "trigger": {
        "body": {
            "total": 12,
            "rate": 1.5,
            "none": None,
            "list": [1, 2, {"a": 1}],
            "name": "Ada",
            "a-b": {"c": 1},
        },
        "headers": {"x-kind": "order"},
    },
    "nodes": {"a": {"x": 1}, "c": [1]},
    "vars": {"threshold": 3.5},
    "input": None,
    "now": datetime(2026, 11, 1, 10, 0, 0, 123456, UTC).timestamp(),
    "run": {"id": "r"},
    "deployment": {"name": "d"},
    "version": {"number": 1},
}


def evaluate(source: str) -> Any:
    return compile_expression(source).evaluate(SCOPE)


def failure(source: str) -> str:
    with pytest.raises(ExpressionFailed) as caught:
        evaluate(source)
    return f"{caught.value.message} | {caught.value.hint}"


def refusal(source: str) -> ExpressionInvalid:
    with pytest.raises(ExpressionInvalid) as caught:
        compile_expression(source)
    return caught.value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("trigger.body.total", 12),
        ("trigger.body['a-b'].c", 1),
        ('trigger["headers"]["x-kind"]', "order"),
        (" trigger.body.list ", [1, 2, {"a": 1}]),
        ("input", None),
        ("trigger.body.total > vars.threshold", True),
        ("trigger.body.total == 12.0", True),
        ("trigger.body.list[2].a + 1", 2),
        ("trigger.body.list.exists(i, i == nodes['a'].x)", True),
        ("has(trigger.body.missing)", False),
        ("trigger.?body.?missing.orValue('none')", "none"),
        ("trigger.body.none == null", True),
        ("'x' in trigger.body", False),
        ("{'a': {'b': vars.threshold}}", {"a": {"b": 3.5}}),
        ("now()", "2026-11-01T10:00:00.123456Z"),
        ("now() - duration('1h')", "2026-11-01T09:00:00.123456Z"),
        ("duration('90s')", "90s"),
        ("duration('-1.5s')", "-1.5s"),
        ("b'abc'", "YWJj"),
        ("uint(3)", 3),
        ("json({'b': 1, 'a': [null, 1.5, now()]})", '{"a":[null,1.5,"2026-11-01T10:00:00.123456Z"],"b":1}'),
        ("json(trigger.body.list)", '[1,2,{"a":1}]'),
        ("json(null)", "null"),
        ("parseJson('{\"a\": [1]}').a[0]", 1),
        ("base64('é')", "w6k="),
        ("string(base64.decode('YWJj'))", "abc"),
        ("sha256('abc').size()", 64),
        ("lower('AbC') + 'AbC'.upper()", "abcABC"),
        ("' a '.trim() + trim(' b ')", "ab"),
        ("split('a,b', ',') + 'c'.split('')", ["a", "b", "c"]),
        ("join([1, 'x', {'a': null}], '-')", '1-x-{"a":null}'),
        ("['a', 'b'].join()", "ab"),
        ("replace('aXb', 'X', '-')", "a-b"),
        ("'abc'.matches('^a.c$')", True),
        ("formatTime(now(), '%d.%m.%Y %H:%M', 'Europe/Berlin')", "01.11.2026 11:00"),
        ("formatTime('2026-07-01T10:00:00Z', '%H:%M')", "10:00"),
        ("uuid().size()", 36),
        ("range(3)", [0, 1, 2]),
        ("range(2, 4).map(i, i * i)", [4, 9]),
        ("math.round(1.6)", 2.0),
    ],
)
def test_an_expression_gives_json(source: str, value: Any) -> None:
    given_value = evaluate(source)
    assert given_value == value
    assert type(given_value) is type(value)


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("trigger.body.total", {("trigger", "body", "total")}),
        ("trigger.body.total > vars.threshold", {("trigger", "body", "total"), ("vars", "threshold")}),
        ("has(trigger.body.q.r)", {("trigger", "body", "q", "r")}),
        ("trigger.?body.?q.orValue(nodes['a'].x)", {("trigger", "body", "q"), ("nodes", "a", "x")}),
        ("nodes[trigger.body.name].x == 1", {("nodes",), ("trigger", "body", "name")}),
        ("trigger.body.list[0].a == 1", {("trigger", "body", "list")}),
        ("trigger.body.list.map(x, x.a + vars.b)", {("trigger", "body", "list"), ("vars", "b")}),
        ("[1].all(nodes, nodes == input.x)", {("input", "x")}),
        ("[nodes.a.y].map(i, {'k': i, 'l': nodes.b})", {("nodes", "a", "y"), ("nodes", "b")}),
        ("size(trigger) + 1", {("trigger",)}),
        ("1 + 1", set()),
        ("'trigger.body' + run.id", {("run", "id")}),
    ],
)
def test_an_expression_knows_what_it_reads(source: str, reads: set[tuple[str, ...]]) -> None:
    assert compile_expression(source).reads == reads


class Untouchable(dict[str, Any]):
    """A mapping of which one key must not be looked at."""

    def __getitem__(self, key: str) -> Any:
        assert key != "huge", "a value that the expression does not read was converted"
        return super().__getitem__(key)

    def items(self) -> Any:
        raise AssertionError("all values were converted")


def test_only_what_an_expression_reads_is_handed_to_cel() -> None:
    scope = {"trigger": Untouchable(body=Untouchable(total=5, huge=[0] * 1000), huge={})}
    assert compile_expression("trigger.body.total + 1").evaluate(scope) == 6


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "trigger.body.totl",
            'trigger.body has no "totl"; it has total, rate, none, list, name, a-b | Did you mean',
        ),
        ("trigger.body.totl > 1", 'trigger.body has no "totl"; it has total'),
        ("trigger.body.missing", "write has(trigger.body.missing) ? trigger.body.missing : null"),
        ("trigger.body.name.first", 'trigger.body.name is text, so it has no "first"'),
        ("trigger.body.none.x + 1", 'trigger.body.none is null, so it has no "x"'),
        ("trigger.body.list.x", 'trigger.body.list is a list, so it has no "x"'),
        ("nodes.b.x", 'nodes has no "b"; it has a, c'),
        (
            "trigger.body.total + vars.threshold",
            "`+` does not take a whole number (int) and a decimal number",
        ),
        ("trigger.body.total * trigger.body.rate", "double(…)"),
        ("trigger.body.name + trigger.body.total", "string(…)"),
        ("trigger.body.none > 1", "`>` does not take null and a whole number (int) | Check for null first"),
        ("trigger.body.list[5] == 1", "index 5 lies beyond a list of 3 items"),
        ("trigger.body.name && true", "`&&` takes only true and false"),
        ("trigger.body.total ? 1 : 2", "the condition before `?` is not true or false"),
        ("1 / 0", "a division by zero"),
        ("1.0 / 0.0", "the result is inf, which JSON cannot carry"),
        ("range(10000).map(i, range(3).map(j, j))", "the expression goes through more than 10,000 items"),
        ("range(100000)", "range: at most 10000 numbers, not 100000"),
        ("parseJson('{')", "parseJson: the text is not JSON"),
        ("formatTime(now(), '%H', 'Europe/Nowhere')", "there is no time zone called 'Europe/Nowhere'"),
        ("formatTime(now(), '%999999999d')", "is not a format such as"),
        ("dyn(trigger.?q)", "the result is not JSON"),
        ("type(1)", "not a value that JSON can carry"),
    ],
)
def test_what_fails_says_what_is_there_and_what_to_write(source: str, said: str) -> None:
    assert said in failure(source)


@pytest.mark.parametrize(
    ("source", "code", "place", "said"),
    [
        ("trigger.body.kind == big", "unknown-name", (1, 22), "text needs quotes: 'big'"),
        ("triger.body", "unknown-name", (1, 1), 'Did you mean "trigger"?'),
        ("1 +\n  foo.x", "unknown-name", (2, 3), 'unknown name "foo"'),
        ("trigger.body.name.lowr()", "unknown-name", (1, 19), 'Did you mean "lower"?'),
        ("size()", "unknown-name", (1, 1), "size does not take that many arguments"),
        ("replace('a')", "unknown-name", (1, 1), "replace does not take that many arguments"),
        ("'a'.matches()", "unknown-name", (1, 5), "matches does not take that many arguments"),
        ("string(now)", "unknown-name", (1, 8), "now is a function | Call it: now(…)."),
        ("1 +", "expression-syntax", (1, 4), "the expression ends too early"),
        (" ", "expression-syntax", (1, 1), "the expression is empty"),
        ("true and false", "expression-syntax", (1, 6), "Write && for and"),
        ("nodes.in", "expression-syntax", (1, 7), ""),
        ("1 + 1.5", "expression-type", (1, 3), "double(…)"),
        ("trigger.body.x > 1 ? 'a' : 2", "expression-type", (1, 20), "dyn(…)"),
        ("trigger.?q", "expression-type", (1, 1), ".orValue(null)"),
        ("(" * 50 + "1" + ")" * 50, "expression-syntax", (1, 1), "nested too deeply"),
        ("1" + " + 1" * 5000, "expression-syntax", (1, 1), "longer than 10000 characters"),
    ],
)
def test_what_cannot_be_compiled_says_where_and_what_to_write(
    source: str, code: str, place: tuple[int, int], said: str
) -> None:
    error = refusal(source)
    assert (error.code, (error.line, error.column)) == (code, place)
    assert said in f"{error.message} | {error.hint}"


def test_a_text_that_is_one_expression_keeps_its_type_and_mixed_text_is_text() -> None:
    template = compile_template(
        {
            "whole": "${{ trigger.body.total }}",
            "block": "${{ trigger.body.list }}\n",
            "mixed": "n=${{ trigger.body.total }} ${{ trigger.body.none }} ${{ trigger.body.list }} ${{ 1 > 0 }}",
            "nested": ["x", {"deep": "${{ vars.threshold }}"}],
            "${{ key }}": "kept",
        }
    )
    assert template.evaluate(SCOPE) == {
        "whole": 12,
        "block": [1, 2, {"a": 1}],
        "mixed": 'n=12 null [1,2,{"a":1}] true',
        "nested": ["x", {"deep": 3.5}],
        "${{ key }}": "kept",
    }
    assert ("vars", "threshold") in template.reads


def test_a_template_without_expressions_is_given_back_as_it_is() -> None:
    value = {"a": [1, {"b": None}], "c": "}} {{"}
    assert compile_template(value).evaluate(SCOPE) is value
    half = {"changes": "${{ trigger.body.total }}", "stays": {"a": 1}}
    assert compile_template(half).evaluate(SCOPE)["stays"] is half["stays"]
    assert half["changes"] == "${{ trigger.body.total }}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${{ {'a':{'b':1}}}}", {"a": {"b": 1}}),
        ("${{ {'a':1}}}", {"a": 1}),
        ("${{ '}}' }}", "}}"),
        ("${{ r'\\}}' }}", "\\}}"),
        ("${{ '''}}''' }}", "}}"),
        ("${{ 'it\\'s }}' }}", "it's }}"),
        ("${{ 1 // }} a comment\n }}", 1),
        ("${{ '${{ x }}' }}", "${{ x }}"),
        ("a}}${{ 1 }}b", "a}}1b"),
    ],
)
def test_braces_in_strings_mappings_and_comments_do_not_end_an_expression(text: str, value: Any) -> None:
    assert compile_template(text).evaluate(SCOPE) == value


@pytest.mark.parametrize("text", ["${{ x", "${{ 'a }}", "${{ {'a': 1 }}", "x ${{ 1 }} ${{ "])
def test_an_expression_that_does_not_end_is_refused(text: str) -> None:
    with pytest.raises(ExpressionInvalid) as caught:
        compile_template(text)
    assert caught.value.code == "expression-syntax"


def test_values_that_cel_cannot_hold_are_failures_and_not_crashes() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, 2**70, "\ud800", [2**64], {"a": object()}):
        with pytest.raises(ExpressionFailed):
            compile_expression("json([trigger.x]) == ''").evaluate({"trigger": {"x": value}})


def test_a_replacement_cannot_fill_the_memory() -> None:
    scope = {"trigger": {"body": {"long": "a" * 1_000_000}}}
    with pytest.raises(ExpressionFailed, match="16 MiB"):
        compile_expression("trigger.body.long.replace('a', trigger.body.long)").evaluate(scope)


def test_one_expression_serves_many_threads() -> None:
    expression = compile_expression(
        "trigger.body.list.map(x, x * 2).exists(y, y == trigger.body.n * 2) && now() != null"
    )

    def work(seed: int) -> bool:
        scope = {"trigger": {"body": {"list": list(range(20)), "n": seed % 20}}, "now": SCOPE["now"]}
        return all(expression.evaluate(scope) is True for _ in range(100))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))


names = st.sampled_from(["a", "b", "total", "x"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text().filter(lambda text: "\0" not in text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None)
@given(body=values, steps=st.lists(names, max_size=3))
def test_a_path_answered_without_cel_is_answered_as_cel_does(body: Any, steps: list[str]) -> None:
    path = ".".join(["trigger", "body", *steps])
    scope = {"trigger": {"body": body}}
    assert outcome(path, scope) == outcome(f"[{path}][0]", scope)


def outcome(source: str, scope: Any) -> Any:
    try:
        return compile_expression(source).evaluate(scope)
    except ExpressionFailed as error:
        return error.message


@pytest.mark.parametrize("body", ["a\0b", ["a\0b"], {"k": {"a\0b": 1}}])
def test_a_nul_is_refused_rather_than_cut_off_and_passed_on_whole_where_no_cel_is_needed(body: Any) -> None:
    scope = {"trigger": {"body": body}}
    assert compile_expression("trigger.body").evaluate(scope) == body
    with pytest.raises(ExpressionFailed, match=r"U\+0000"):
        compile_expression("[trigger.body]").evaluate(scope)
