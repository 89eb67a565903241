"""The examples are valid, complete, and do what their comments say."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from schemas.deployment import DeploymentSpec
from schemas.documents import Document, Kind, ParsedFile, is_document_path, parse_file
from schemas.pattern import Node, Pattern
from schemas.rules import AssetState, check

ROOT = Path(__file__).parent.parent / "examples-repo"


def parsed_files() -> dict[str, ParsedFile]:
    paths = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.rglob("*")) if path.is_file()]
    return {path: parse_file(path, (ROOT / path).read_bytes()) for path in paths if is_document_path(path)}


def state_of(path: str) -> AssetState:
    return AssetState.PRESENT if (ROOT / path).is_file() else AssetState.ABSENT


def documents(kind: Kind) -> list[Document]:
    return [one for file in parsed_files().values() for one in file.documents if one.kind is kind]


def patterns() -> dict[str, Pattern]:
    return {one.name: one.typed for one in documents(Kind.PATTERN) if isinstance(one.typed, Pattern)}


def nodes_of(nodes: tuple[Node, ...]) -> Iterator[Node]:
    for node in nodes:
        yield node
        for block in node.blocks.values():
            yield from nodes_of(block)


def test_no_file_has_a_problem() -> None:
    files = parsed_files()
    assert [str(problem) for file in files.values() for problem in file.problems] == []
    assert [str(problem) for problem in check(files, state_of)] == []


def test_every_yaml_file_is_one_that_weft_reads() -> None:
    yaml = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.y*ml")]
    assert [path for path in yaml if not is_document_path(path)] == []


def test_every_pattern_that_has_a_trigger_of_its_own_is_deployed_and_the_called_ones_need_not_be() -> None:
    deployed = {
        one.typed.pattern for one in documents(Kind.DEPLOYMENT) if isinstance(one.typed, DeploymentSpec)
    }
    started = {name for name, one in patterns().items() if one.webhook or one.schedules}
    assert deployed == started
    assert len(started) >= 6


def test_a_called_pattern_says_that_it_may_be_called() -> None:
    called = [
        (caller, node.with_["pattern"])
        for caller, pattern in patterns().items()
        for node in nodes_of(pattern.nodes)
        if node.uses == "call"
    ]
    assert len({caller for caller, _ in called}) >= 2
    assert [name for _, name in called if not patterns()[name].callable] == []


def test_the_examples_show_every_kind_of_node() -> None:
    used = {node.uses for pattern in patterns().values() for node in nodes_of(pattern.nodes)}
    assert used == {"set", "log", "http", "branch", "call", "fail", "stop", "delay", "script"}


def test_every_pattern_says_what_it_is_for_and_every_file_of_one_begins_with_why() -> None:
    assert [one.name for one in documents(Kind.PATTERN) if not one.metadata.description] == []
    for path in (ROOT / "patterns").glob("*.yaml"):
        assert path.read_text().startswith("# "), path


def test_the_readme_names_every_pattern_and_nothing_else() -> None:
    listed = re.findall(
        r"^\| \[`([a-z-]+)`\]\(patterns/\1\.yaml\)", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert sorted(listed) == sorted(patterns())


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_report_adds_money_without_losing_a_cent() -> None:
    sales = [
        {"product": "Lamp", "amount": 0.1},
        {"product": "Chair", "amount": 0.2},
        {"product": "Lamp", "amount": 5},
    ]
    report = script("report").main({"sales": sales, "returns": [], "currency": "EUR"})
    assert report == {
        "headline": "5.30 EUR from 3 sales",
        "sold": "5.30",
        "returned": "0.00",
        "best_seller": "Lamp",
    }


def test_a_day_without_sales_has_a_report_too() -> None:
    report = script("report").main({"sales": [], "returns": [], "currency": "EUR"})
    assert report["headline"] == "0.00 EUR from 0 sales"
    assert report["best_seller"] is None


def test_the_import_keeps_good_rows_and_names_the_line_of_each_bad_one() -> None:
    text = "name,email,country\nAda,ada@example.com,UK\nBob,,US\n\nEve,eve at example,FR\nShort\n"
    assert script("customers").check({"text": text}) == {
        "rows": [{"name": "Ada", "email": "ada@example.com", "country": "UK"}],
        "refused": [
            {"line": 3, "reason": "email is empty"},
            {"line": 5, "reason": "'eve at example' is no email address"},
            {"line": 6, "reason": "email, country is empty"},
        ],
    }


def test_a_file_without_a_column_is_refused_as_a_whole() -> None:
    with pytest.raises(ValueError, match="no column email, country"):
        script("customers").check({"text": "name\nAda\n"})
