"""The house holds: imports go one way, and each outside thing has one door."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from cli.processes import MAINS

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "schemas": set(),
    "store": {"schemas"},
    "reconciler": {"schemas", "store"},
    "runner": {"schemas", "store"},
    "web": {"schemas", "store", "reconciler", "runner"},
    "cli": {"schemas", "store", "reconciler", "runner", "web"},
}
DOORS = {
    "pygit2": ["reconciler/git/*.py"],
    "dramatiq": ["runner/broker.py", "runner/worker.py"],
    "cel_expr_python": ["schemas/expressions*.py"],
}
SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|(CREATE|ALTER|DROP)\s+[A-Z]+\s"
    r"|WITH\s+\S+\s+AS\s|LISTEN\s|NOTIFY\s|TRUNCATE\s)"
)


@dataclass(frozen=True, kw_only=True)
class Module:
    name: str  # reconciler.plan
    path: str  # reconciler/plan.py
    tree: ast.Module

    @property
    def folder(self) -> str:
        return self.name.split(".")[0]

    @property
    def package(self) -> str:
        return self.name if self.path.endswith("__init__.py") else self.name.rpartition(".")[0]


@cache
def modules() -> dict[str, Module]:
    return {module.name: module for folder in MAY_IMPORT for module in _modules_below(ROOT / folder)}


def _modules_below(folder: Path) -> Iterator[Module]:
    for file in sorted(folder.rglob("*.py")):
        path = file.relative_to(ROOT)
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        yield Module(name=name, path=str(path), tree=ast.parse(file.read_text(), str(path)))


def imported(module: Module, node: ast.AST) -> Iterator[str]:
    """The modules that an import statement names; for `from a import b` both `a` and `a.b`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = (
            module.package.split(".")[: len(module.package.split(".")) - node.level + 1] if node.level else []
        )
        base = ".".join([*above, *([node.module] if node.module else [])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)


def imports(module: Module) -> set[str]:
    return {name for node in ast.walk(module.tree) for name in imported(module, node)}


def test_imports_go_one_way() -> None:
    wrong = [
        f"{module.path} imports {name}"
        for module in modules().values()
        for name in sorted(imports(module))
        if (top := name.split(".")[0]) in MAY_IMPORT
        and top != module.folder
        and top not in MAY_IMPORT[module.folder]
    ]
    assert wrong == []


def test_no_cycle_of_imports() -> None:
    known = modules()
    graph = {
        module.name: {
            name for name in imports(module) if name in known and name not in (module.name, module.package)
        }
        for module in known.values()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle: {' → '.join(error.args[1])}")


def test_no_import_of_ours_hides_in_a_function() -> None:
    hidden = [
        f"{module.path}:{node.lineno} {name}"
        for module in modules().values()
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported(module, node)
        if name.split(".")[0] in MAY_IMPORT
    ]
    assert hidden == []


@pytest.mark.parametrize("package", DOORS)
def test_an_outside_thing_has_one_door(package: str) -> None:
    through = {
        module.path for module in modules().values() if any(_is_of(name, package) for name in imports(module))
    }
    beside = sorted(path for path in through if not any(fnmatch(path, door) for door in DOORS[package]))
    assert beside == []
    assert through, f"nobody imports {package}: the rule guards nothing"


def _is_of(name: str, package: str) -> bool:
    return name.split(".")[0] == package


def test_sql_lives_in_the_store_alone() -> None:
    found = [
        f"{module.path}:{node.lineno} {node.value[:40]!r}"
        for module in modules().values()
        # The node `sql` asks databases of others what they are.
        if module.folder != "store" and module.path != "runner/nodes/sql.py"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    ]
    assert found == []
    in_store = [n for m in modules().values() if m.folder == "store" for n in ast.walk(m.tree)]
    assert any(
        isinstance(n, ast.Constant) and isinstance(n.value, str) and SQL.match(n.value) for n in in_store
    )


def test_the_modules_of_a_folder_say_what_it_is_for() -> None:
    silent = [name for name in MAY_IMPORT if ast.get_docstring(modules()[name].tree) is None]
    assert silent == []


@pytest.mark.parametrize("part", MAINS)
def test_every_part_of_the_service_has_its_main(part: str) -> None:
    module, _, function = MAINS[part].partition(":")
    assert callable(getattr(importlib.import_module(module), function))
