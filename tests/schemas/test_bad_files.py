"""Every file in `tests/bad-files/` fails with the code in its name, at the line it marks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.documents import ParsedFile, is_document_path, parse_file
from schemas.problems import Problem
from schemas.rules import AssetState, check

FOLDER = Path(__file__).parent.parent / "bad-files"
MARK = b"# <- here"


def cases() -> list[Path]:
    return sorted(one for one in FOLDER.iterdir() if one.name != "README.md")


def code_of(case: Path) -> str:
    return re.sub(r"-\d+$", "", case.name.removesuffix(".yaml"))


def repository(case: Path) -> dict[str, bytes]:
    """The case's files by their path in a repository."""
    if case.is_dir():
        return {str(one.relative_to(case)): one.read_bytes() for one in case.rglob("*") if one.is_file()}
    content = case.read_bytes()
    kind = re.search(rb"^kind: *(\w+)", content, re.MULTILINE)
    folders = {
        b"Deployment": "deployments/a.yaml",
        b"Project": "weft.yaml",
        b"Template": "templates/a.yaml",
        b"Connection": "connections/a.yaml",
        b"PatternTest": "tests/a.yaml",
    }
    path = folders.get(kind[1] if kind else b"")
    return {path or "patterns/a.yaml": content}


def problems_of(case: Path) -> list[Problem]:
    contents = repository(case)
    files: dict[str, ParsedFile] = {
        path: parse_file(path, content) for path, content in contents.items() if is_document_path(path)
    }
    return [problem for file in files.values() for problem in file.problems] + list(
        check(files, lambda path: state(case / path))
    )


def state(path: Path) -> AssetState:
    if path.is_symlink():
        return AssetState.SYMLINK
    if path.is_dir():
        return AssetState.DIRECTORY
    return AssetState.PRESENT if path.exists() else AssetState.ABSENT


def marked_lines(case: Path) -> list[tuple[str, int]]:
    return [
        (path, number + (1 if line.strip() == MARK else 0))
        for path, content in repository(case).items()
        for number, line in enumerate(content.split(b"\n"), 1)
        if MARK in line
    ]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_bad_file_fails_with_the_code_in_its_name_at_the_marked_line(case: Path) -> None:
    found = problems_of(case)
    assert [problem.code for problem in found] == [code_of(case)], [str(problem) for problem in found]
    assert [(problem.path, problem.line) for problem in found] == marked_lines(case), str(found[0])


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_problem_says_what_is_wrong_and_what_to_do(case: Path) -> None:
    for problem in problems_of(case):
        assert problem.message
        assert problem.hint.endswith((".", "?"))
        assert problem.column >= 1
