"""What a push checks of `parse`, `format`, `validate` and `shell` nodes beyond their shape."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.documents import parse_file
from schemas.references import Reference

HEAD = """\
apiVersion: weft/v1
kind: Pattern
metadata: {name: data}
spec:
  on: {webhook: {}}
  nodes:
    - id: node
"""
"""The lines before those of a case: it begins in line 8."""


def parsed(text: str) -> Any:
    body = "".join(f"      {line}\n" for line in text.strip().splitlines())
    return parse_file("patterns/data.yaml", (HEAD + body).encode())


@pytest.mark.parametrize(
    ("text", "code", "line", "words"),
    [
        ("uses: validate\nwith:\n  value: 1\n  schema:\n    type: objekt", "invalid-json-schema", 12, "'objekt'"),
        ("uses: validate\nwith: {value: 1, schema: 3}", "wrong-type", 9, '"schema" must be'),
        ("uses: validate\nwith: {schema: true}", "missing-key", 9, '"value" is missing'),
        ("uses: shell\nwith:\n  command: [ls]\n  files: [../x]", "path-outside-repository", 11, "'../x'"),
        ('uses: shell\nwith:\n  command: [ls]\n  files:\n    - "${{ input }}"', "template-not-allowed", 12, ""),
        ("uses: shell\nwith:\n  command: [ls]\n  maxOutput: 5MiB", "invalid-value", 11, "cannot be 5MiB"),
        ("uses: shell\nwith: {command: ls -l}", "wrong-type", 9, '"command" must be a list of texts'),
        ("uses: shell\nwith: {command: []}", "invalid-value", 9, '"command" is empty'),
        ("uses: shell\nwith: {command: [[a]]}", "wrong-type", 9, "must be a text"),
        ('uses: shell\nwith: {command: [ls], env: {"A-B": x}}', "invalid-value", 9, '"A-B" cannot be a key'),
        ("uses: shell\nwith: {command: [ls], cwd: /}", "unknown-key", 9, '"cwd"'),
        ("uses: parse\nwith: {format: toml, text: x}", "invalid-value", 9, '"format" cannot be "toml"'),
        ("uses: parse\nwith: {format: json, text: x, delimiter: ;}", "conflicting-keys", 9, "the format csv"),
        ("uses: parse\nwith: {format: csv, text: x, delimiter: ab}", "invalid-value", 9, 'cannot be "ab"'),
        ("uses: format\nwith: {format: xml, value: 1, indent: true}", "conflicting-keys", 9, "the format json"),
        ("uses: format\nwith: {format: xml}", "missing-key", 9, '"value" is missing'),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_line(text: str, code: str, line: int, words: str) -> None:
    (problem,) = parsed(text).problems
    assert (problem.code, problem.line) == (code, line), str(problem)
    assert words in problem.message


@pytest.mark.parametrize(
    "text",
    [
        'uses: validate\nwith: {value: 1, schema: "${{ vars }}"}',
        'uses: validate\nwith: {value: 1, schema: {enum: "${{ [1] }}"}}',
        "uses: validate\nwith: {value: null, schema: {type: 'null'}}",
        'uses: shell\nwith: {command: "${{ [\'ls\'] }}", env: "${{ {} }}", stdin: "${{ trigger.body }}"}',
        "uses: shell\nwith: {command: [ls, -l, 3], maxOutput: 4MiB}",
        'uses: parse\nwith: {format: csv, text: "${{ trigger.body }}", delimiter: "\\t", header: false}',
        "uses: format\nwith: {format: csv, value: [], columns: [a]}",
    ],
)
def test_what_is_right_is_accepted(text: str) -> None:
    assert [str(problem) for problem in parsed(text).problems] == []


def test_the_files_of_a_command_are_frozen_with_the_version() -> None:
    file = parsed(
        "uses: shell\nwith:\n  command: [scripts/a.sh]\n  files:\n    - scripts/a.sh\n    - data.txt"
    )
    (document,) = file.documents
    assert document.references == (
        Reference(kind="asset", name="scripts/a.sh", line=12, column=13),
        Reference(kind="asset", name="data.txt", line=13, column=13),
    )
