import json
import os
from pathlib import Path

import pytest
import typer
from git_work import deployment, pattern
from typer.testing import CliRunner

from cli import plan, validate
from reconciler.plan_text import plan_markdown, plan_text
from schemas.documents import PLACES

app = typer.Typer()
validate.register(app)
plan.register(app)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "weft.yaml": "apiVersion: weft/v1\nkind: Project\nmetadata: {name: shop}\nspec: {}\n",
        "scripts/a.py": "def main(x): return x\n",
        "patterns/deep/a.yaml": pattern("a", calls="b", script="scripts/a.py"),
        "patterns/b.yaml": pattern("b"),
        "deployments/a.yaml": deployment("a"),
        "patterns/README.md": "not a document",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_a_good_tree_has_no_problems(root: Path) -> None:
    result = CliRunner().invoke(app, ["validate", str(root)])
    assert (result.exit_code, result.output) == (0, "4 files checked, no problems\n")


def test_every_problem_is_a_line_with_its_place_and_the_exit_code_says_no(root: Path) -> None:
    (root / "scripts/a.py").unlink()
    os.symlink("../patterns/b.yaml", root / "patterns/link.yaml")
    (root / "deployments/a.yaml").write_text(deployment("a", "nothing"))
    (root / "patterns/large.yaml").write_text("#" * 300_000)
    result = CliRunner().invoke(app, ["validate", str(root)])
    lines = result.output.splitlines()
    assert result.exit_code == 1
    assert lines[-1] == "6 files checked, 4 problems in 4"
    assert [line.split(":")[0] for line in lines[:-1]] == [
        "deployments/a.yaml",
        "patterns/deep/a.yaml",
        "patterns/large.yaml",
        "patterns/link.yaml",
    ]
    printed = json.loads(CliRunner().invoke(app, ["validate", str(root), "--json"]).output)
    assert [
        f"{p['path']}:{p['line']}:{p['column']}: {p['message']} [{p['code']}] {p['hint']}"
        for p in printed["problems"]
    ] == (lines[:-1])


def test_without_a_path_the_repository_around_the_folder_is_checked(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".git").mkdir()
    monkeypatch.chdir(root / "patterns/deep")
    assert CliRunner().invoke(app, ["validate"]).output == "4 files checked, no problems\n"


def test_the_documents_of_every_kind_are_read(root: Path) -> None:
    texts = {
        "templates/t.yaml": "kind: Template",
        "connections/c.yaml": "kind: Connection",
        "tests/t.yaml": "kind: PatternTest",
    }
    for path, text in texts.items():
        (root / path).parent.mkdir()
        (root / path).write_text(text)
    assert {path for path in validate.read_files(root) if path in texts} == set(texts)
    assert {place.partition("/")[0] for place in PLACES.values()} == {
        path.partition("/")[0] for path in validate.read_files(root)
    }


def test_a_node_may_name_a_connection_of_the_work_tree(root: Path) -> None:
    ask = '{id: ask, uses: sql, with: {connection: shop, query: "SELECT 1"}}'
    (root / "patterns/b.yaml").write_text(pattern("b").replace("nodes:", f"nodes:\n    - {ask}", 1))
    (root / "connections").mkdir()
    spec = "spec: {type: sqlite, url: 'sqlite:///shop.db'}"
    head = "apiVersion: weft/v1\nkind: Connection\nmetadata: {name: shop}\n"
    (root / "connections/shop.yaml").write_text(head + spec)
    assert CliRunner().invoke(app, ["validate", str(root)]).output == "5 files checked, no problems\n"


def test_a_folder_without_documents_is_no_good_repository(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["validate", str(tmp_path)])
    assert result.exit_code == 1
    assert "name the root of a repository" in str(result.exception)


PLAN = {
    "base": "1" * 40,
    "head": "2" * 40,
    "summary": "1 changed, 1 stalled, 1 unchanged",
    "deployments": [
        {
            "name": "a-long-name",
            "action": "change",
            "version": {"from": {"id": "f" * 64, "number": 3}, "to": {"id": "e" * 64, "number": None}},
            "changes": [
                {"path": "nodes.a.when", "from": None, "to": "x|y", "text": "node `a`: when added: x|y"}
            ],
            "nextFireTimes": ["2026-01-01T09:00:00Z"],
            "problems": [],
        },
        {
            "name": "b",
            "action": "stalled",
            "version": {"from": {"id": "f" * 64, "number": 1}, "to": {"id": "f" * 64, "number": 1}},
            "changes": [],
            "nextFireTimes": [],
            "problems": [{"code": "tag-not-found", "message": "There is no tag x."}],
        },
        {
            "name": "c",
            "action": "unchanged",
            "version": {"from": None, "to": None},
            "changes": [],
            "nextFireTimes": [],
            "problems": [],
        },
    ],
}


def test_a_plan_reads_well_in_a_terminal() -> None:
    assert plan_text(PLAN).splitlines() == [
        "1 changed, 1 stalled, 1 unchanged",
        "a-long-name  v3 → eeeeeeeeee  changed",
        "    node `a`: when added: x|y",
        "    next runs by schedule: 2026-01-01 09:00 UTC",
        "b            v1               stalled: There is no tag x.",
    ]


def test_a_plan_is_a_table_and_code_in_markdown() -> None:
    lines = plan_markdown(PLAN).splitlines()
    assert "| `b` | v1 | stalled |" in lines
    assert "node `a`: when added: x|y" in lines
