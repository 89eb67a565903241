"""What must hold between the files of a repository."""

from __future__ import annotations

import time

from schemas.documents import ParsedFile, parse_file
from schemas.problems import Problem
from schemas.rules import AssetState, check


def pattern(name: str, *nodes: str, on: str = "{call: {}}") -> str:
    listed = "\n".join(
        f"    - {node}" for node in nodes or ("{id: first, uses: log, with: {message: hello}}",)
    )
    return (
        f"apiVersion: weft/v1\nkind: Pattern\nmetadata: {{name: {name}}}\n"
        f"spec:\n  on: {on}\n  nodes:\n{listed}\n"
    )


def call(node: str, target: str, version: int | None = None) -> str:
    pinned = f", version: {version}" if version else ""
    return f"{{id: {node}, uses: call, with: {{pattern: {target}{pinned}}}}}"


def deployment(name: str, target: str, source: str = "") -> str:
    head = f"apiVersion: weft/v1\nkind: Deployment\nmetadata: {{name: {name}}}\n"
    return f"{head}spec:\n  pattern: {target}\n{source}"


def parsed(**texts: str) -> dict[str, ParsedFile]:
    """Files by their name without the folder, which follows from their kind."""
    files = {}
    for name, text in texts.items():
        folder = "deployments" if "kind: Deployment" in text else "patterns"
        path = f"{folder}/{name}.yaml"
        files[path] = parse_file(path, text.encode())
    return files


def problems(**texts: str) -> list[Problem]:
    files = parsed(**texts)
    assert not [
        problem for file in files.values() for problem in file.problems if "broken" not in problem.path
    ]
    return list(check(files, lambda _: AssetState.PRESENT))


def test_a_sound_repository_has_no_problem() -> None:
    assert problems(a=pattern("a", call("x", "b")), b=pattern("b"), live=deployment("live", "a")) == []


def test_a_called_pattern_with_problems_is_said_to_have_them_not_to_be_missing() -> None:
    found = problems(
        a=pattern("a", call("x", "b")), broken=pattern("b", "{id: x, uses: htp}"), live=deployment("d", "b")
    )
    assert [problem.code for problem in found] == ["broken-pattern", "broken-pattern"]
    assert "patterns/broken.yaml:1" in found[0].message


def test_a_called_pattern_whose_yaml_cannot_be_read_is_broken_too() -> None:
    files = parsed(a=pattern("a", call("x", "b")), broken=pattern("b") + "\n  x: [")
    assert not files["patterns/broken.yaml"].documents
    assert [problem.code for problem in check(files, lambda _: AssetState.PRESENT)] == ["broken-pattern"]


def test_a_call_of_a_frozen_version_is_left_to_whoever_resolves_versions() -> None:
    assert problems(a=pattern("a", call("x", "gone", 3), call("y", "a", 2))) == []


def test_a_deployment_of_another_branch_or_a_version_is_resolved_elsewhere() -> None:
    for source in ("{branch: next}", "{tag: v1}", "{version: 3}", '{commit: "3f2a91c"}'):
        assert problems(live=deployment("live", "gone", f"  source: {source}\n")) == []
    assert [one.code for one in problems(live=deployment("live", "gone", "  source: {branch: main}\n"))] == [
        "unknown-pattern"
    ]


def test_a_circle_shows_its_whole_way_once() -> None:
    found = problems(
        a=pattern("a", call("x", "b")),
        b=pattern("b", call("x", "c")),
        c=pattern("c", call("x", "b")),
        d=pattern("d", call("x", "a"), call("y", "c")),
    )
    assert [(problem.code, problem.path, problem.line) for problem in found] == [
        ("call-circle", "patterns/c.yaml", 7)
    ]
    assert "b → c → b" in found[0].message


def test_a_chain_of_a_thousand_calls_is_no_circle_and_no_recursion() -> None:
    texts = {f"p{i}": pattern(f"p{i}", call("x", f"p{i + 1}")) for i in range(1500)}
    assert problems(**texts, last=pattern("p1500")) == []


def test_two_projects_are_one_too_many() -> None:
    text = "apiVersion: weft/v1\nkind: Project\nmetadata: {name: one}\nspec: {}\n"
    files = {"weft.yaml": parse_file("weft.yaml", f"{text}---\n{text.replace('one', 'two')}".encode())}
    assert [(one.code, one.line) for one in check(files, lambda _: AssetState.PRESENT)] == [
        ("duplicate-document", 6)
    ]


def test_each_asset_is_asked_for_once() -> None:
    asked: list[str] = []

    def state(path: str) -> AssetState:
        asked.append(path)
        return AssetState.PRESENT

    node = "{{id: {}, uses: script, with: {{file: scripts/a.py}}}}"
    check(parsed(a=pattern("a", node.format("x"), node.format("y"))), state)
    assert asked == ["scripts/a.py"]


def test_a_thousand_documents_are_checked_in_milliseconds() -> None:
    files = parsed(**{f"p{i}": pattern(f"p{i}", call("x", f"p{i // 2}x")) for i in range(1, 500)})
    files |= parsed(**{f"p{i}x": pattern(f"p{i}x") for i in range(500)})
    best = min(timed(files) for _ in range(5))
    assert best < 0.05  # about 5 ms on an idle machine


def timed(files: dict[str, ParsedFile]) -> float:
    started = time.perf_counter()
    assert check(files, lambda _: AssetState.PRESENT) == ()
    return time.perf_counter() - started
