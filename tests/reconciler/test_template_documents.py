"""What a template makes: its own text, filled in, and nothing that a value could smuggle in."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.actions.document_nodes import EditError
from reconciler.actions.template_documents import template_of, used
from schemas.documents import parse_file
from schemas.expressions import compile_template
from schemas.template import Template

TEXT = """\
# A file full of what people write.
apiVersion: weft/v1
kind: Template
metadata: {name: odd}
spec:
    # about the parameters
    parameters:
        type: object
        required: [v, n]
        properties: {v: {type: string, default: x}, n: {type: integer, default: 5}}
    pattern:   # what runs
        # how it starts
        on: {webhook: {}}
        variables: {plain: "${{ params.v }}", n:   "${{ params.n }}"}
        nodes:
        -   id: first   # the first
            uses: log
            when: ${{ trigger.body.total > params.n }}
            with:
                message: "said: ${{ params.v }} and ${{ trigger.body }}"   # in quotes
                fields: {a: 'one ${{ params.v }}', b: "${{ params.v }}",
                         c: "${{ params.n }}"}

        -   id: second
            uses: set
            with:
                block: |
                    keeps ${{ params.v }}
                      its indentation

                folded: >-
                    goes
                    on ${{ params.n }}
                plain: ${{ params.v }}
        # the end of the pattern

    # about the deployment
    deployment:
        # where
        environment: staging
        variables:
            limit: ${{ params.n }}   # as a number
---
apiVersion: weft/v1
kind: Template
metadata: {name: other}
spec: {parameters: {type: object}, "pattern": {nodes: [{id: a, uses: set, with: {}}]}, deployment: {}}
"""

PATTERN = """\
apiVersion: weft/v1
kind: Pattern
metadata:
  name: new
spec:   # what runs
    # how it starts
    on: {webhook: {}}
    variables: {plain: "it's", n:   7}
    nodes:
    -   id: first   # the first
        uses: log
        when: "${{ trigger.body.total > 7 }}"
        with:
            message: "said: it's and ${{ trigger.body }}"   # in quotes
            fields: {a: "one it's", b: "it's",
                     c: 7}

    -   id: second
        uses: set
        with:
            block: |
                keeps it's
                  its indentation

            folded: >-
                goes
                on 7
            plain: "it's"
    # the end of the pattern
"""

DEPLOYMENT = """\
apiVersion: weft/v1
kind: Deployment
metadata:
  name: new
spec:
    # where
    pattern: new
    environment: staging
    variables:
        limit: 7   # as a number
"""


@cache
def template(name: str = "odd", text: str = TEXT) -> Template:
    file = parse_file("templates/a.yaml", text.encode())
    assert [str(problem) for problem in file.problems] == []
    found = next(one.typed for one in file.documents if one.name == name)
    assert isinstance(found, Template)
    return found


def spec_of(path: str, text: str) -> Any:
    file = parse_file(path, text.encode())
    assert [str(problem) for problem in file.problems] == []
    return file.documents[0].spec


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_text_is_taken_over_with_its_comments_order_and_form(end: str) -> None:
    text = TEXT.replace("\n", end)
    made = used(text, template(text=text), "new", {"v": "it's", "n": 7})
    assert made == {
        "patterns/new.yaml": PATTERN.replace("\n", end),
        "deployments/new.yaml": DEPLOYMENT.replace("\n", end),
    }


def test_what_is_written_in_one_line_stays_in_one_line() -> None:
    assert used(TEXT, template("other"), "new", {}) == {
        "patterns/new.yaml": "apiVersion: weft/v1\nkind: Pattern\nmetadata:\n  name: new\n"
        "spec: {nodes: [{id: a, uses: set, with: {}}]}\n",
        "deployments/new.yaml": "apiVersion: weft/v1\nkind: Deployment\nmetadata:\n  name: new\n"
        "spec: {pattern: new}\n",
    }


def test_a_name_that_looks_like_a_number_stays_a_name() -> None:
    made = used(TEXT, template(), "123", {"v": "x", "n": 7})
    assert spec_of("deployments/123.yaml", made["deployments/123.yaml"])["pattern"] == "123"


def test_a_template_made_of_a_pattern_makes_that_pattern_again() -> None:
    made = template_of(PATTERN, "new", "again")
    lines = [f"  {line}" if line else "" for line in PATTERN.splitlines()]
    assert made.splitlines()[4:] == [
        "spec:", "  parameters: {type: object}", "  pattern:   # what runs", *lines[5:]
    ]  # fmt: skip
    assert used(made, template("again", made), "new", {}) == {"patterns/new.yaml": PATTERN}


def test_a_template_made_of_the_plainest_pattern() -> None:
    plain = "kind: Pattern\nmetadata: {name: a}\nspec:\n  nodes:\n  - {id: a, uses: set, with: {}}"
    assert template_of(plain, "a", "b").endswith(
        "  pattern:\n    nodes:\n    - {id: a, uses: set, with: {}}\n"
    )


def test_of_several_documents_the_right_one_becomes_a_template() -> None:
    two = f"{PATTERN.replace('name: new', 'name: first')}---\n{PATTERN}"
    assert template_of(two, "new", "again") == template_of(PATTERN, "new", "again")
    with pytest.raises(EditError, match="no Pattern nobody"):
        template_of(two, "nobody", "again")


texts = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20),
    st.lists(
        st.sampled_from(
            ["$", "{", "}", "${{", "}}", '"', "'", "\\", "\n", "\r\n", " ", "  - id: x", ": ", " #", "---",
             "\x85", "\u2028", "\ufeff", "*a", "&a", "!!x", "%", "@", "|", ">", "null", "1", "~", "\t", ","]
        )
    ).map("".join),
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(
    texts, st.one_of(st.integers(-(2**63), 2**63 - 1), texts, st.lists(texts), st.dictionaries(texts, texts))
)
def test_no_value_becomes_anything_but_that_value(v: str, n: Any) -> None:
    text = TEXT.replace("total > params.n", "total == params.n")
    made = used(text, template(text=text), "new", {"v": v, "n": n})

    spec = spec_of("patterns/new.yaml", made["patterns/new.yaml"])
    assert spec["variables"] == {"plain": v, "n": n}
    first, second = spec["nodes"]
    assert set(first) == {"id", "uses", "when", "with"}
    assert set(second["with"]) == {"block", "folded", "plain"}
    scope = {"trigger": {"body": "BODY"}}
    assert compile_template(first["with"]).evaluate(scope) == {
        "message": f"said: {v} and BODY",
        "fields": {"a": f"one {v}", "b": v, "c": n},
    }
    kept = compile_template(second["with"]).evaluate(scope)
    assert kept["plain"] == v
    assert kept["block"] == f"keeps {v}\n  its indentation\n"
    assert spec_of("deployments/new.yaml", made["deployments/new.yaml"])["variables"] == {"limit": n}
