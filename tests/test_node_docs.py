"""`docs/nodes.md` is what the schemas say, every kind says enough, and the errors of the runner are known."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.documents import parse_file
from schemas.errors import ERROR_TYPES
from schemas.node_docs import page
from schemas.rules import AssetState, check
from schemas.shape import node_kinds, schema_documents
from schemas.yaml_text import read_yaml

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "nodes.md"
EXAMPLES = ROOT / "examples-repo"


def schema(kind: str) -> Any:
    return schema_documents()[f"nodes/{kind}"]


def section(kind: str) -> str:
    return PAGE.read_text().partition(f"\n## `{kind}`\n")[2].partition("\n## ")[0]


def examples() -> Iterator[tuple[str, Any]]:
    for kind in node_kinds():
        for text in re.findall(r"^```yaml\n(.*?)^```$", section(kind), re.MULTILINE | re.DOTALL):
            (document,) = read_yaml("example", text.encode()).documents
            yield kind, document.value


def own_keys(kind: str) -> dict[str, Any]:
    common = schema_documents()["nodes"]["$defs"]["node"]["properties"]
    taken = schema(kind)["properties"]
    inside = taken.get("with", {}).get("properties", {})
    return inside | {key: one for key, one in taken.items() if key not in {*common, "with"}}


def test_the_page_is_what_the_schemas_say() -> None:
    assert PAGE.read_text() == page(), "run: python -m schemas.node_docs > docs/nodes.md"


@pytest.mark.parametrize("kind", node_kinds())
def test_a_kind_says_what_it_does_takes_and_gives(kind: str) -> None:
    for key in ("title", "x-gives", "x-errors", "x-example"):
        assert key in schema(kind), f"nodes/{kind}.schema.json has no {key}"
    for key, one in own_keys(kind).items():
        assert isinstance(one, dict), f"{key} has no x-doc"
        assert one.get("x-doc"), f"{key} has no x-doc"
    assert set(schema(kind)["x-errors"]) <= set(ERROR_TYPES)


@pytest.mark.parametrize("kind", node_kinds())
def test_the_page_shows_every_key_and_error_of_a_kind(kind: str) -> None:
    shown = section(kind)
    for key in own_keys(kind):
        assert f"\n| `{key}` | " in shown
    for name in schema(kind)["x-errors"]:
        assert f"\n- `{name}`: " in shown


@cache
def repository() -> dict[str, Any]:
    files = {path.relative_to(EXAMPLES).as_posix(): path.read_bytes() for path in EXAMPLES.rglob("*.yaml")}
    return {path: parse_file(path, content) for path, content in files.items()}


def connections() -> dict[str, Any]:
    """Those that the examples name."""
    urls = {
        "mail": "smtp://mail.example",
        "warehouse": "postgresql://db.example/w",
        "shop": "https://shop.example",
        "cache": "redis://cache.example",
        "archive": "s3://archive",
    }
    types = {"mail": "smtp", "warehouse": "postgresql", "shop": "http", "cache": "redis", "archive": "s3"}
    text = "apiVersion: weft/v1\nkind: Connection\nmetadata: {{name: {0}}}\nspec: {{type: {1}, url: '{2}'}}\n"
    return {
        f"connections/{name}.yaml": parse_file("c.yaml", text.format(name, types[name], url).encode())
        for name, url in urls.items()
    }


@pytest.mark.parametrize(("kind", "nodes"), list(examples()))
def test_the_example_of_a_kind_is_valid(kind: str, nodes: Any) -> None:
    (node,) = nodes
    assert node == schema(kind)["x-example"]
    assert node["uses"] == kind
    webhook = {"respond": "respond-node"} if kind == "respond" else {}
    pattern = {
        "apiVersion": "weft/v1",
        "kind": "Pattern",
        "metadata": {"name": "example-of-a-kind"},
        "spec": {"on": {"webhook": webhook}, "timeout": "60d", "nodes": nodes},
    }
    path = "patterns/example-of-a-kind.yaml"
    parsed = parse_file(path, yaml.safe_dump(pattern).encode())
    assert [str(problem) for problem in parsed.problems] == []
    problems = check(repository() | {path: parsed} | connections(), lambda _path: AssetState.PRESENT)
    assert [str(problem) for problem in problems if problem.path == path] == []


def test_every_kind_has_an_example_on_the_page() -> None:
    assert [kind for kind, _ in examples()] == list(node_kinds())


def raised() -> set[str]:
    """The types of all `NodeError("…", …)` of the runner."""
    return {
        call.args[0].value
        for path in sorted((ROOT / "runner").rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "NodeError"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }


def test_every_error_that_the_runner_raises_stands_in_the_tree() -> None:
    assert raised() - set(ERROR_TYPES) == set()
    assert len(raised()) > 15


def test_every_error_has_a_family_that_exists_and_says_what_to_do() -> None:
    for one in ERROR_TYPES.values():
        assert one.family is None or ERROR_TYPES[one.family].family is None, one.name
        assert one.means
        assert one.hint or one.name == "cancelled"


def test_the_tree_of_errors_is_on_the_page() -> None:
    rows = re.findall(
        r"^\| `([\w.]+)` \| (?:`(\w+)`)? \|", PAGE.read_text().partition("\n## Errors\n")[2], re.MULTILINE
    )
    assert rows == [(one.name, one.family or "") for one in ERROR_TYPES.values()]
