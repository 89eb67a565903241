"""Templates: filled in with samples they are patterns, and whatever a value holds, it stays a value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.documents import Kind, parse_file
from schemas.expressions import compile_template
from schemas.functions import to_text
from schemas.json_schemas import violations
from schemas.parameters import Standing, filled, filled_text, mentions, standings
from schemas.samples import sample
from schemas.template import Template

TEXT = """\
apiVersion: weft/v1
kind: Template
metadata: {name: example}
spec:
  parameters:
    type: object
    required: [url, limit]
    properties:
      url: {type: string, format: uri}
      limit: {type: integer, minimum: 5}
      wait: {type: string, default: 5s}
      callee: {type: string}
  pattern:
    on: {webhook: {}}
    timeout: ${{ params.wait }}
    nodes:
      - id: send
        when: ${{ trigger.body.total > params.limit }}
        uses: http
        with: {url: "${{ params.url }}", json: {note: "over ${{ params.limit }}: ${{ trigger.body }}"}}
  deployment:
    environment: staging
    variables: {limit: "${{ params.limit }}"}
"""


def problems(text: str) -> list[str]:
    found = parse_file("templates/a.yaml", text.encode()).problems
    return [f"{one.line}:{one.column} {one.code}: {one.message} {one.hint}" for one in found]


def test_a_template_is_a_document() -> None:
    [document] = parse_file("templates/a.yaml", TEXT.encode()).documents
    assert document.kind is Kind.TEMPLATE
    assert isinstance(document.typed, Template)
    assert set(document.typed.known) == {"url", "limit", "wait", "callee"}
    assert document.typed.deployment == {
        "environment": "staging",
        "variables": {"limit": "${{ params.limit }}"},
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("params.url", "params.ulr", '20:26 unknown-parameter: there is no parameter "ulr" Did you mean "url"?'),
        ("${{ params.wait }}", "${{ params.limit }}", '15:14 wrong-type: "timeout" must be a duration longer than'),
        (", default: 5s", "", '15:18 parameter-not-set: the parameter "wait" may be left out, and has no default'),
        (", default: 5s", ", default: 5", "11:37 invalid-value: the default does not hold: 5 is not of type"),
        ("default: 5s", "default: never", '15:14 invalid-value: "timeout" cannot be "never" Write a duration'),
        ("trigger.body.total", "trigger.bdoy", '18:18 unknown-name: trigger has no "bdoy" Did you mean "body"?'),
        ("${{ trigger.body }}", "${{ trigger.bdoy }}", '20:86 unknown-name: trigger has no "bdoy" Did you mean'),
        ("uses: http", "uses: htp", '19:15 unknown-node-kind: there is no kind of node called "htp"'),
        ("staging", "S", '22:18 invalid-value: "environment" cannot be "S"'),
        ("environment: staging", "pattern: x", '22:5 unknown-key: unknown key "pattern"'),
        ("type: object\n    required", "type: array\n    required", "6:11 "),
        ("minimum: 5", "minimum: x", "10:39 invalid-json-schema"),
    ],
)  # fmt: skip
def test_a_problem_stands_at_the_templates_own_line(old: str, new: str, said: str) -> None:
    assert old in TEXT
    found = problems(TEXT.replace(old, new))
    assert any(one.startswith(said) for one in found), found


def test_where_a_placeholder_fails_the_hint_says_to_give_an_example() -> None:
    text = TEXT.replace("wait: {type: string, default: 5s}", "wait: {type: string}").replace(
        "[url,", "[wait, url,"
    )
    [found] = problems(text)
    assert '"timeout" cannot be "example"' in found
    assert found.endswith("\"wait\" was tried as 'example': give it a `default`, or `examples`, that fit.")
    assert problems(text.replace("wait: {type: string}", "wait: {type: string, examples: [1h]}")) == []


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "default": "a", "enum": ["b", "a"]}, "a"),
        ({"const": 3}, 3),
        ({"enum": ["b", "c"]}, "b"),
        ({"examples": [[1]]}, [1]),
        ({"type": "string", "format": "email"}, "user@example.com"),
        ({"type": "string", "minLength": 10, "maxLength": 12}, "examplexxx"),
        ({"type": ["null", "integer"], "minimum": 7}, 7),
        ({"type": "integer", "exclusiveMinimum": 7}, 8),
        ({"type": "number", "multipleOf": 0.5}, 0.5),
        ({"type": "integer", "maximum": -4}, -5),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/x"}}}, {"a": "y"}),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 1),
        ({"$ref": "#/$defs/loop"}, "example"),
        (True, "example"),
    ],
)
def test_a_sample_is_what_the_schema_gives_or_something_of_its_sort(schema: Any, value: Any) -> None:
    defs = {"x": {"enum": ["y"]}, "loop": {"$ref": "#/$defs/loop"}}
    assert sample(schema, {"$defs": defs}).value == value
    if schema != {"$ref": "#/$defs/loop"} and isinstance(schema, dict):
        assert violations({**schema, "$defs": defs}, value) == ()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("params.a", [("a",)]),
        (" params . a . b == params['c d'] ", [("a", "b"), ("c d",)]),
        ('"params.a" + params.b // params.c', [("b",)]),
        ("trigger.params.a + myparams.b + params2.c", []),
        ("params.a.startsWith('x') && [1].exists(p, p == params.n)", [("a",), ("n",)]),
        ("params", [()]),
        ("params[nodes.x]", [()]),
        ("r'params.x' == params.y", [("y",)]),
    ],
)
def test_parameters_are_found_where_cel_would_read_them(source: str, found: list[tuple[str, ...]]) -> None:
    assert [mention.steps for mention in mentions(source)] == found


PARAMS = {
    "n": -5,
    "f": 2.5,
    "s": "a\"b\n'${{ secrets.X }}",
    "l": [1, {"k": "}}"}],
    "o": {"x": {"y": True}},
    "z": None,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${{ params.n }}", -5),
        (" ${{ params.o }}\n", {"x": {"y": True}}),
        ("${{params.o.x.y}}", True),
        ("n is ${{ params.n }}, ${{ params.l }} ${{ trigger }}", 'n is -5, [1,{"k":"}}"}] ${{ trigger }}'),
        ("${{ trigger.total > params.n }}", "${{ trigger.total > (-5) }}"),
        ("${{ [params.f, params.z, params.l][0] }}", '${{ [2.5, null, [1, {"k": "}}"}]][0] }}'),
        ("${{ params.o.x.nothing }}", '${{ {"y": true}["nothing"] }}'),
        ("${{ params.n", "${{ params.n"),
        ("no parameter", "no parameter"),
    ],
)  # fmt: skip
def test_a_parameter_is_put_in_as_value_text_or_literal(text: str, value: Any) -> None:
    assert filled_text(text, PARAMS, Standing.EVALUATED) == value


def test_a_condition_stays_one_expression() -> None:
    assert filled_text("${{ params.o.x.y }}", PARAMS, Standing.CONDITION) == "${{ true }}"


def test_what_looks_like_an_expression_stays_text_where_expressions_are_evaluated() -> None:
    spec = {
        "variables": {"v": "${{ params.s }}"},
        "output": "${{ params.s }}",
        "nodes": [
            {"id": "a", "uses": "set", "name": "is ${{ params.s }}", "with": {"x": ["<${{ params.s }}>"]}}
        ],
    }
    made = filled(spec, PARAMS, standings(spec))
    assert made["variables"] == {"v": PARAMS["s"]}
    assert made["nodes"][0]["name"] == f"is {PARAMS['s']}"
    assert compile_template(made["output"]).evaluate({}) == PARAMS["s"]
    assert compile_template(made["nodes"][0]["with"]).evaluate({}) == {"x": [f"<{PARAMS['s']}>"]}


@pytest.mark.parametrize(
    ("text", "values", "made"),
    [
        ("$${{ params.a }}", {"a": "{{ secrets.X }}"}, "${{ secrets.X }}"),
        ("${{ params.a }}{{ secrets.X }}", {"a": "$"}, "${{ secrets.X }}"),
        ("${${{ params.a }}{ 1 }}", {"a": ""}, "${{ 1 }}"),
        ("${{ params.a }}${{ params.b }}{ 1 }}", {"a": "$", "b": "{"}, "${{ 1 }}"),
    ],
)
def test_a_value_and_the_text_around_it_do_not_become_an_expression(
    text: str, values: dict[str, str], made: str
) -> None:
    assert compile_template(filled_text(text, values, Standing.EVALUATED)).evaluate({}) == made


texts = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30),
    st.lists(st.sampled_from(["$", "{", "}", "{{", "}}", "${{", '"', "'", "\\", "\n", " ", "params.v", ": ", "#"]))
    .map("".join),
)  # fmt: skip
numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
values = st.recursive(
    st.one_of(texts, numbers),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


@given(values, texts, texts)
def test_whatever_a_value_holds_it_stays_a_value(value: Any, before: str, after: str) -> None:
    params = {"v": value}

    def run(text: str) -> Any:
        return compile_template(filled_text(text, params, Standing.EVALUATED)).evaluate({})

    assert run("${{ params.v }}") == value
    assert run("${{ [params.v][0] }}") == value
    mixed = before.replace("${{", "") + "${{ params.v }}" + after.replace("${{", "")
    if mixed.strip() != "${{ params.v }}" and mixed.count("${{") == 1 and not before.endswith(("$", "${")):
        assert run(mixed) == mixed.replace("${{ params.v }}", to_text(value), 1)
