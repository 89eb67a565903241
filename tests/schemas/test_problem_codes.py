"""`docs/problems.md` and the code agree; every code of the files has an example that fails with it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CODE = re.compile(r"[a-z]+(?:-[a-z0-9]+)+")

NOT_CODES = {
    "utf-8",
    "date-time",
    "use-template",
    "create-template",
    "pattern-test",
    "for-each",
    "verify-full",
    "cancel-oldest",
    "standard-webhooks",
    "content-encoding",
    "content-length",
    "content-type",
    "transfer-encoding",
    "user-agent",
    "x-doc",
    "last-node",
    "respond-node",
    "x-errors",
    "x-example",
    "x-gives",
    "x-secrets",
}
"""Other words with a hyphen in the folders that report problems."""

SILENT = {"git", "upstream", "forges"}
"""Folders that report none, and speak with programs that have many such words."""

MADE_BY_TESTS = {
    "file-too-large": "test_yaml_text.py",
    "yaml-too-many-values": "test_yaml_text.py",
    "too-many-problems": "test_documents.py",
    "broken-pattern": "test_rules.py",
}
"""Codes whose example is too large for a file, or comes with a second problem."""


def words(folder: str) -> set[str]:
    return {
        node.value
        for path in (ROOT / folder).rglob("*.py")
        if path.parent.name not in SILENT
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value)
    }


def documented() -> list[str]:
    return re.findall(r"^### `([a-z0-9-]+)`$", (ROOT / "docs/problems.md").read_text(), re.MULTILINE)


def test_every_code_is_documented_and_every_documented_code_exists() -> None:
    known = (words("schemas") | words("reconciler")) - NOT_CODES
    assert set(documented()) == known
    assert len(documented()) == len(set(documented()))


def test_every_documented_code_says_what_to_do() -> None:
    for section in (ROOT / "docs/problems.md").read_text().split("\n### ")[1:]:
        assert "\nWhat to do: " in section, section


def test_every_code_of_a_file_has_a_bad_file_or_a_test_of_its_own() -> None:
    folder = ROOT / "tests/bad-files"
    shown = {re.sub(r"-\d+$", "", one.name.removesuffix(".yaml")) for one in folder.iterdir()} - {"README.md"}
    for code, file in MADE_BY_TESTS.items():
        assert f'"{code}"' in (Path(__file__).parent / file).read_text()
    assert shown | set(MADE_BY_TESTS) == words("schemas") - NOT_CODES
