"""What the documentation says is so: its tables equal the code, its documents are valid, its commands work."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from live_service import LiveService, live_service

from cli.main import COMMANDS
from cli.settings import SETTINGS
from runner.nodes.kinds import Kinds
from schemas import shape
from schemas.documents import Document, Kind, ParsedFile, parse_file
from schemas.expressions import NAMES
from schemas.functions import FUNCTIONS
from schemas.pattern import FLOW_KEYS
from schemas.rules import AssetState, check
from schemas.secret_values import SECRETS

ROOT = Path(__file__).parent.parent
SCHEMAS = ROOT / "schemas" / "v1"
EXAMPLES = ROOT / "examples-repo"
PAGES = sorted([ROOT / "README.md", EXAMPLES / "README.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLDERS = {
    "Pattern": "patterns/{}.yaml",
    "Deployment": "deployments/{}.yaml",
    "Project": "weft.yaml",
    "Template": "templates/{}.yaml",
    "Connection": "connections/{}.yaml",
    "PatternTest": "tests/{}.yaml",
}


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(page.read_text()) if kind == language]


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of the table whose first column is called `heading`."""
    lines = page.read_text().splitlines()
    (start,) = [at for at, line in enumerate(lines) if line.startswith(f"| {heading} |")]
    table = lines[start + 2 :]
    end = next((at for at, line in enumerate(table) if not line.startswith("|")), len(table))
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in table[:end]]


def code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@cache
def schema(name: str) -> Any:
    return orjson.loads((SCHEMAS / f"{name}.schema.json").read_bytes())


def node_kinds() -> list[str]:
    return list(shape.node_kinds())


def common_keys() -> set[str]:
    return set(schema("nodes")["$defs"]["node"]["properties"])


def relative_links() -> list[tuple[Path, str]]:
    return [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
        if "://" not in target
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_document_in_a_page_is_valid(page: Path) -> None:
    files = {}
    for text in blocks(page, "yaml"):
        found = re.search(r"^kind: (\w+)$.*?name: ([a-z-]+)", text, re.MULTILINE | re.DOTALL)
        if "apiVersion:" in text:
            assert found, f"{page.name} has a document without a name:\n{text}"
            path = FOLDERS[found[1]].format(found[2])
            files[path] = parse_file(path, text.encode())
    assert [str(problem) for file in files.values() for problem in file.problems] == []
    assert [str(problem) for problem in check(_with_examples(files), _present)] == []


def _with_examples(files: dict[str, ParsedFile]) -> dict[str, ParsedFile]:
    """The documents of a page may speak of the examples; those that it has itself give way."""
    known = {_identity(one) for file in files.values() for one in file.documents}
    both = dict(files)
    for file in sorted(set(EXAMPLES.rglob("*.yaml")) - set(EXAMPLES.glob("tests/*"))):
        path = file.relative_to(EXAMPLES).as_posix()
        parsed = parse_file(path, file.read_bytes())
        if known.isdisjoint(map(_identity, parsed.documents)):
            both.setdefault(path, parsed)
    return both


def _identity(document: Document) -> tuple[Kind, str]:
    return document.kind, "" if document.kind is Kind.PROJECT else document.name


def _present(_path: str) -> AssetState:
    return AssetState.PRESENT


def test_the_settings_are_those_that_the_code_reads() -> None:
    listed = rows(ROOT / "docs" / "settings.md", "variable")
    assert [code_in(row[0]) for row in listed] == [[setting.name] for setting in SETTINGS]
    assert [code_in(row[1]) for row in listed] == [
        [setting.flag] if setting.flag else [] for setting in SETTINGS
    ]
    for row, setting in zip(listed, SETTINGS, strict=True):
        plain = row[2].replace("`", "").replace(";", "").replace("(", "").replace(")", "")
        assert plain == setting.default.replace(";", "").replace("(", "").replace(")", ""), setting.name


def test_the_node_kinds_are_those_of_the_schema_and_of_the_workers() -> None:
    listed = [name for row in rows(ROOT / "README.md", "nodes") for name in code_in(row[0])]
    assert sorted(listed) == list(node_kinds())
    in_lists = [name for row in rows(ROOT / "docs" / "patterns.md", "kind") for name in code_in(row[0])]
    assert sorted(in_lists) == sorted(FLOW_KEYS)
    kinds = Kinds()
    try:
        own = set(node_kinds()) - set(kinds.handlers)
    finally:
        kinds.close()
    assert own == {"set", "call", "delay", "wait", "approve", "respond", *FLOW_KEYS}, (
        "the runner performs these itself"
    )


def test_the_triggers_and_common_keys_are_those_of_the_schema() -> None:
    page = ROOT / "docs" / "patterns.md"
    triggers = schema("pattern")["properties"]["spec"]["properties"]["on"]["properties"]
    assert {name for row in rows(page, "trigger") for name in code_in(row[0])} == set(triggers)
    common = {name for row in rows(page, "key") for name in code_in(row[0])}
    assert common == common_keys() - {"id", "name", "uses"}


def test_what_expressions_can_name_and_call_is_listed() -> None:
    page = ROOT / "docs" / "patterns.md"
    assert {name for row in rows(page, "in scope") for name in code_in(row[0])} == {*NAMES, SECRETS}
    listed = {code.partition("(")[0] for row in rows(page, "function") for code in code_in(row[0])}
    assert listed == {"now", *(function.name for function in FUNCTIONS)}


def test_the_keys_of_a_deployment_are_all_shown() -> None:
    shown = blocks(ROOT / "docs" / "deployments.md", "yaml")[0]
    for key in schema("deployment")["properties"]["spec"]["properties"]:
        assert f"  {key}:" in shown, key


def test_the_readme_lists_the_commands_that_there_are() -> None:
    listed = [code.split()[1] for row in rows(ROOT / "README.md", "command") for code in code_in(row[0])]
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"(?:^|`|\| |&& )weft ([a-z-]+)\b", page.read_text(), re.MULTILINE))
    assert named - set(COMMANDS) - {"main"} == set()


def test_every_link_leads_somewhere() -> None:
    assert [
        (page.name, target) for page, target in relative_links() if not (page.parent / target).exists()
    ] == []


def test_the_make_targets_named_in_the_readme_exist() -> None:
    named = set(re.findall(r"make ([a-z]+)`", (ROOT / "README.md").read_text()))
    assert named <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named


@pytest.fixture(scope="module")
def service() -> Iterator[LiveService]:
    with live_service() as found:
        yield found


def run(block: str, folder: Path, service: LiveService, **variables: str) -> str:
    """A block as people would type it, except for the port; gives what it printed."""
    return service.shell(
        block.replace("127.0.0.1:8080", service.url.removeprefix("http://")), folder, **variables
    )


def test_the_first_pattern_of_the_readme_goes_live_runs_and_is_rolled_back(
    service: LiveService, tmp_path: Path
) -> None:
    for text in blocks(ROOT / "README.md", "yaml"):
        path = tmp_path / text.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    push, call, change = blocks(ROOT / "README.md", "sh")
    said = run(push, tmp_path, service)
    live = re.search(r"remote: hello  v1  live in \d+ ms  (http\S+)", said)
    assert live, said
    started = time.monotonic()
    while "completed" not in run(call, tmp_path, service, HOOK=live[1]):
        assert time.monotonic() - started < 20
    said = run(change, tmp_path, service)
    assert "v1 → v2" in said
    assert "v2 → v1" in said
    mistake = (
        "sed -i 's/uses: set/uses: sett/' patterns/hello.yaml; git commit -am Oops; ! git push weft main"
    )
    (shown,) = [text for text in blocks(ROOT / "README.md", "text") if "patterns/hello.yaml:" in text]
    assert shown.strip() in run(mistake, tmp_path, service)


def test_the_examples_can_be_copied_as_their_readme_says(service: LiveService, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples-repo")
    (block,) = blocks(EXAMPLES / "README.md", "sh")
    # Its history is another one than that of the pattern above, so it goes to a branch of its own.
    said = run(block.replace("weft main", "weft main:examples"), tmp_path, service, TOKEN=service.token)
    # What it is told depends on whether the README's commands were run before.
    assert re.search(r"examples: (a merge of this into main: \d|this cannot be merged into main: )", said), (
        said
    )
