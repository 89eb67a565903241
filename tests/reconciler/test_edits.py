"""An edit changes its own characters and no others."""

from __future__ import annotations

import difflib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.actions.edits import (
    EditError,
    Target,
    added_document,
    document_alone,
    remove_document,
    replaced_document,
    set_value,
    written,
)
from schemas.documents import Kind
from schemas.yaml_text import read_yaml

SHOP = Target(Kind.DEPLOYMENT, "shop")

ODD = """\
%YAML 1.2
---
# The other one — ünïcödé before the place
apiVersion: weft/v1
kind: Deployment
metadata: {name: other}   # flow
spec: {pattern: other, state: active}
---   # the one
apiVersion:   weft/v1
kind: 'Deployment'
metadata:
     name:  &the-name "shop"   # quoted, with an anchor

     labels: {a:   1,
              b: 2}
spec:
       # odd indentation
       pattern : shop   # the pattern
       state:   "active"     # keep this comment
       source:
           branch: &b   main   # and this one

       variables:
         text: |
            state: active
            source: {branch: main}
         list:
         - 1
         -   two
# the end
"""


def changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_value_is_replaced_and_all_around_it_stays(end: str) -> None:
    text = ODD.replace("\n", end)

    after = set_value(text, SHOP, ("spec", "state"), "paused", behind="pattern")

    assert after == text.replace('state:   "active"', 'state:   "paused"')


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_source_changes_kind_where_it_stands(end: str) -> None:
    text = ODD.replace("\n", end)

    after = set_value(text, SHOP, ("spec", "source"), {"version": 3}, behind="pattern")

    assert after == text.replace("branch: &b   main", "version: &b   3")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_new_key_is_one_new_line(end: str) -> None:
    text = ODD.replace("\n", end).replace(f'       state:   "active"     # keep this comment{end}', "")

    after = set_value(text, SHOP, ("spec", "state"), "paused", behind="pattern")

    assert changed_lines(text, after) == [f"+        state: paused{end}"]
    assert after.index("# the pattern") < after.index("state: paused") < after.index("source:")


def test_a_new_key_in_braces_stays_in_them() -> None:
    after = set_value(
        ODD, Target(Kind.DEPLOYMENT, "other"), ("spec", "source"), {"tag": "v1"}, behind="pattern"
    )

    assert after == ODD.replace("{pattern: other, state", "{pattern: other, source: {tag: v1}, state")


def test_a_file_without_a_last_line_end_still_has_none() -> None:
    text = "kind: Deployment\r\nmetadata: {name: shop}\r\nspec:\r\n  pattern: shop"

    assert (
        set_value(text, SHOP, ("spec", "state"), "paused", behind="pattern") == f"{text}\r\n  state: paused"
    )


def test_a_mapping_of_several_keys_is_replaced_whole() -> None:
    head = "kind: Deployment\nmetadata: {name: shop}\nspec:\n  pattern: shop\n"
    text = f"{head}  retry:\n    attempts: 3\n    delay: 1s # c\n"

    after = set_value(text, SHOP, ("spec", "retry"), {"attempts": 5}, behind="pattern")

    assert after == text.replace("attempts: 3\n    delay: 1s", "{attempts: 5}")


@pytest.mark.parametrize(
    ("name", "kept", "gone"), [("other", "the one", "The other one"), ("shop", "The other one", "the one")]
)
def test_a_document_goes_and_the_others_stay(name: str, kept: str, gone: str) -> None:
    after = remove_document(ODD, Target(Kind.DEPLOYMENT, name))

    assert after is not None
    assert f"# {kept}" in after
    assert f"# {gone}" not in after
    assert after in ODD
    assert len(list(yaml.compose_all(after, yaml.SafeLoader))) == 1


def test_the_only_document_takes_its_file_along() -> None:
    assert remove_document("kind: Deployment\nmetadata: {name: shop}\n", SHOP) is None


@pytest.mark.parametrize(
    "text",
    [
        "kind: Deployment\nmetadata: {name: shop}\nspec: {}\n",
        "kind: Deployment\nmetadata: {name: shop}\nspec: shop\n",
        "kind: Deployment\nmetadata: {name: shop}\n",
        "kind: Deployment\nmetadata: {name: other}\nspec: {pattern: x}\n",
        "kind: Deployment\nmetadata: {name: shop}\nspec:\n  ? pattern\n  : shop\n",
        "kind: Deployment\nmetadata: {name: shop}\nspec:\n  pattern: |\n    shop\n  timeout: 1s\n",
        "[",
    ],
)
def test_what_cannot_be_changed_in_place_is_refused(text: str) -> None:
    with pytest.raises(EditError):
        set_value(text, SHOP, ("spec", "state"), "paused", behind="pattern")


WORD = st.text("abcxyz äß0#:'\"", min_size=1, max_size=8)
COMMENT = st.sampled_from(["", " # a comment", "   #: { odd"])
END = st.sampled_from(["\n", "\r\n"])


@given(
    keys=st.permutations(["pattern", "state", "timeout", "environment"]),
    comment=COMMENT,
    end=END,
    indent=st.integers(1, 7),
    word=WORD,
)
def test_any_layout_keeps_its_other_lines(
    keys: list[str], comment: str, end: str, indent: int, word: str
) -> None:
    lines = [f"{' ' * indent}{key}: {written(word)}{comment}" for key in keys]
    text = end.join(["kind: Deployment", "metadata:", f" name: shop{comment}", "spec:", *lines, ""])

    after = set_value(text, SHOP, ("spec", "state"), "paused", behind="pattern")

    one, other = text.split(end), after.split(end)
    assert len(one) == len(other)
    assert [a for a, b in zip(one, other, strict=True) if a != b] == [lines[keys.index("state")]]
    assert read_yaml("x", after.encode()).documents[0].value["spec"]["state"] == "paused"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | WORD,
        lambda inner: st.lists(inner) | st.dictionaries(WORD, inner),
        max_leaves=25,
    )
)
def test_what_is_written_reads_as_the_same(value: object) -> None:
    text = f"a: {written(value)}\n"

    assert read_yaml("x", text.encode()).documents[0].value == {"a": value}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_document_is_exchanged_for_another_and_its_neighbours_stay(end: str) -> None:
    first, second = (
        "# one\nkind: Pattern\nmetadata: {name: a}\n",
        "kind: Pattern\nmetadata: {name: b}   # b\n",
    )
    text = f"{first}--- # between\n{second}".replace("\n", end)
    a, b = Target(Kind.PATTERN, "a"), Target(Kind.PATTERN, "b")
    new = "kind: Pattern\nmetadata: {name: a, title: New}".replace("\n", end)

    changed = replaced_document(text, a, new)
    assert changed == f"{new}{end}" + text[text.index("---") :]
    alone = document_alone(text, b)
    assert replaced_document(text, b, alone) == text
    assert added_document(document_alone(text, a), b, alone) == text
