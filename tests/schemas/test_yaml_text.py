"""YAML is read by the core schema of 1.2, with places, and nothing that stands in a file can do harm."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from schemas.positions import Positions
from schemas.yaml_text import MAX_BYTES, YamlFile, read_yaml


def read(text: str | bytes) -> YamlFile:
    return read_yaml("a.yaml", text.encode() if isinstance(text, str) else text)


def value_of(text: str) -> object:
    file = read(text)
    assert not file.problems
    return file.documents[0].value


def codes(text: str | bytes) -> list[str]:
    return [problem.code for problem in read(text).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("No", "No"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("12", 12),
        ("-7", -7),
        ("+7", 7),
        ("012", "012"),
        ("0o17", 15),
        ("0x1f", 31),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.", 1.0),
        ("2026-11-01", "2026-11-01"),
        ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00Z"),
        ("0.1.2", "0.1.2"),
        ("=", "="),
        ("'12'", "12"),
        ('"true"', "true"),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("v: |\n  12\n", {"v": "12\n"}),
        ("{a: , b: [x,, ]}", {"a": None, "b": ["x"]}),
        ("on: {schedule: []}", {"on": {"schedule": []}}),
        ("\ufeffa: ü", {"a": "ü"}),
    ],
)
def test_scalars_are_what_yaml_1_2_says(text: str, value: object) -> None:
    if ",," in text:
        assert codes(text) == ["yaml-syntax"]
        return
    read_value = value_of(text)
    assert read_value == value
    assert type(read_value) is type(value)


def test_a_file_holds_several_documents_and_empty_ones_are_none() -> None:
    file = read("# only a comment\n---\na: 1\n---\n---\nb: 2\n...\n")
    assert [one.value for one in file.documents] == [{"a": 1}, {"b": 2}]
    assert [(one.line, one.column) for one in file.documents] == [(3, 1), (6, 1)]
    assert read("").documents == ()
    assert read("# nothing\n").documents == ()


@pytest.mark.parametrize("asked_before", [0, 10], ids=["counted out", "looked up"])
def test_places_are_those_of_keys_and_values(asked_before: int) -> None:
    def places() -> Positions:
        found = read("a:\n  - x\n  - {k: v, 'l m': [1, 2]}\nb: |\n  text\n").documents[0].positions
        for _ in range(asked_before):
            found.value_at(())
        return found

    assert places().value_at(()) == (1, 1)
    assert places().value_at(("a", 1, "l m", 1)) == (3, 23)
    assert places().key_at(("a", 1, "l m")) == (3, 12)
    assert places().key_at(("a", 1)) == (3, 5)
    assert places().key_at(("b",)) == (4, 1)
    assert places().value_at(("b",)) == (4, 4)
    assert places().value_at(("a", 7, "nowhere")) == (2, 3)
    assert places().value_at(("a", "no")) == (2, 3)
    assert places().value_at(("b", 0)) == (4, 4)


def test_places_stay_right_behind_a_duplicate_key() -> None:
    file = read("a: {x: 1, x: {y: [1, 2]}}\nb: 2\n")
    assert [problem.code for problem in file.problems] == ["duplicate-key"]
    assert file.documents[0].value == {"a": {"x": 1}, "b": 2}
    assert file.documents[0].positions.value_at(("b",)) == (2, 4)
    assert file.documents[0].flawed


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('m: "${{ ab + cd }}"', (1, 14)),
        ("m: ${{ ab + cd }}", (1, 13)),
        ("m: 'it''s ${{ ab + cd }}'", (1, 20)),
        ('m: "\\"quoted\\" ${{ ab + cd }}"', (1, 25)),
        ("m: |\n  first\n  ${{ ab + cd }}\n", (3, 12)),
        ("m: >\n  ${{ ab +\n  cd }}\n", (3, 3)),
        ("m: |\n    ${{\n      ab +\n        cd }}\n", (4, 9)),
        ('m: "${{ x }} ${{ ab + cd }}"', (1, 23)),
    ],
)
def test_a_place_inside_an_expression_is_found_in_the_raw_text(raw: str, expected: tuple[int, int]) -> None:
    document = read(raw).documents[0]
    text = document.value["m"]
    nth = text.count("${{") - 1
    source = text.split("${{")[-1].split("}}")[0]
    before = source[: source.index("cd")]
    at = (before.count("\n") + 1, len(before) - before.rfind("\n"))
    assert document.positions.inside(("m",), source, nth, at) == expected


def test_a_file_of_more_than_256_kib_is_refused_unread() -> None:
    assert codes(b"#" * (MAX_BYTES + 1)) == ["file-too-large"]
    assert codes(b"#" * MAX_BYTES) == []


def test_a_file_of_too_many_values_is_refused() -> None:
    assert codes("[" + "1," * 60_000 + "]") == ["yaml-too-many-values"]
    assert codes("- 1\n" * 60_000) == ["yaml-too-many-values"]


def test_bytes_that_are_no_utf_8_are_named_by_place() -> None:
    problem = read(b"a: 1\nb: x\xff\n").problems[0]
    assert (problem.code, problem.line, problem.column) == ("not-utf8", 2, 5)


BOMBS = {
    "40 KB of [": "'[' * 40_000",
    "256 KiB of {": "'{' * 262_144",
    "a merge-key bomb": (
        "'a0: &a0 {x: 1}\\n' + ''.join("
        'f\'a{i}: &a{i} {{<<: [{", ".join([f"*a{i - 1}"] * 9)}]}}\\n\' for i in range(1, 10))'
    ),
    "a billion laughs": (
        "'a0: &a0 [x]\\n' + ''.join("
        'f\'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 9)}]\\n\' for i in range(1, 10))'
    ),
    "complex keys": "'? ' * 130_000",
    "complex keys by line": "'?\\n' * 100_000",
    "dashes": "'- ' * 130_000",
    "an endless quote": "'\"' + 'x ' * 130_000",
    "many documents": "'---\\na\\n' * 40_000",
}


@pytest.mark.parametrize("bomb", BOMBS, ids=str)
def test_a_bomb_is_a_problem_and_neither_a_crash_nor_a_hang(bomb: str) -> None:
    program = (
        "from schemas.documents import parse_file\n"
        f"found = parse_file('patterns/a.yaml', ({BOMBS[bomb]}).encode()[:262144])\n"
        "assert found.problems and not found.documents\n"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    assert time.monotonic() - started < 20
