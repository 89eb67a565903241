"""`weft try`: the pattern of the work tree, on a real server, by a real worker."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from api_site import ADMIN, Site
from git_work import Work

from cli.main import main

PATTERN = """apiVersion: weft/v1
kind: Pattern
metadata: {name: orders}
spec:
  variables: {factor: 2}
  nodes:
    - {id: ask, uses: http, with: {url: 'http://127.0.0.1:9/'}}
    - {id: add, uses: script, with: {file: scripts/add.py, input: '${{ nodes.ask }}'}}
    - {id: told, uses: call, with: {pattern: tell, input: '${{ nodes.add }}'}}
"""
CALLED = """apiVersion: weft/v1
kind: Pattern
metadata: {name: tell}
spec:
  on: {call: {}}
  nodes:
    - {id: say, uses: set, with: {said: '${{ input }}'}}
"""
SCRIPT = "def main(price):\n    return price * 2\n"
BINARY = b"\xff\xfe"

Weft = Callable[..., "Said"]


class Said(NamedTuple):
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def worker(site: Site) -> Iterator[None]:
    with site.worker():
        yield


@pytest.fixture
def work(site: Site, tmp_path: Path) -> Work:
    work = Work(tmp_path / "work", site.reconciler)
    work.commit({"patterns/orders.yaml": PATTERN, "patterns/tell.yaml": CALLED, "scripts/add.py": SCRIPT})
    assert not work.push().refused
    return work


@pytest.fixture
def weft(site: Site, work: Work, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Weft:
    monkeypatch.setenv("WEFT_URL", site.url)
    monkeypatch.setenv("WEFT_TOKEN", ADMIN)
    monkeypatch.chdir(work.folder / "patterns")

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["weft", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return Said(int(left.value.code or 0), said.out, said.err)

    return run


def test_what_stands_in_the_work_tree_runs_and_is_shown_node_by_node(
    work: Work, weft: Weft, worker: None
) -> None:
    work.write(
        {
            "scripts/add.py": SCRIPT.replace("* 2", "* 3"),
            "patterns/tell.yaml": CALLED.replace("said", "heard"),
            "patterns/broken.yaml": "kind: Pattern\nmetadata: {name: broken}\n",
        }
    )
    done = weft("try", "orders", "--stub", "ask=7")
    assert done.code == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "test" in lines[0]
    assert any("stubbed" in line for line in lines)
    assert any(line.strip() == "→ 21" for line in lines)
    assert '= {"heard": 21}' in done.stdout
    assert "completed after" in lines[-1]


def test_it_is_in_the_history_as_a_test_run(site: Site, weft: Weft, worker: None) -> None:
    site.deploy("live")
    site.run("live")
    done = weft("try", "orders", "--stub", "ask=7", "--no-follow", "--json")
    run = json.loads(done.stdout)
    assert (done.code, run["mode"], run["trigger"]) == (0, "test", "manual")
    assert json.loads(weft("log", run["id"], "--follow", "--json").stdout.splitlines()[-1])["event"] == "end"
    listed = json.loads(weft("runs", "--mode", "test", "--roots", "--json").stdout)
    assert [one["id"] for one in listed] == [run["id"]]
    said = weft("log", run["id"]).stdout
    assert "a test run (test)" in said
    assert "stubbed" in said


def test_a_bad_end_gives_the_exit_code_1(weft: Weft, worker: None) -> None:
    error = '{"$error": {"type": "connection", "message": "gone", "retry": false}}'
    done = weft("try", "orders", "--stub", f"ask={error}")
    assert (done.code, "connection: gone" in done.stdout) == (1, True)


def test_problems_are_told_with_file_line_and_column(work: Work, weft: Weft) -> None:
    work.write({"patterns/orders.yaml": PATTERN.replace("nodes.add ", "nodes.ad ")})
    done = weft("try", "orders")
    assert done.code == 1
    assert "The draft has problems:\n  patterns/orders.yaml:9:" in done.stderr
    work.write({"patterns/orders.yaml": PATTERN, "scripts/add.py": None})
    done = weft("try", "orders")
    assert done.code == 1
    assert "patterns/orders.yaml:8:" in done.stderr
    work.write({"patterns/orders.yaml": PATTERN.replace("nodes:", "node:")})
    assert "patterns/orders.yaml:6:" in weft("try", "orders").stderr


def test_a_branch_is_tried_as_it_was_pushed_and_not_the_work_tree(
    work: Work, weft: Weft, worker: None
) -> None:
    work.git("checkout", "--quiet", "-b", "ada/more")
    work.commit({"scripts/add.py": SCRIPT.replace("* 2", "* 4")})
    work.push("ada/more")
    work.write({"scripts/add.py": SCRIPT.replace("* 2", "* 5")})
    done = weft("try", "orders", "--ref", "ada/more", "--stub", "ask=1")
    assert '= {"said": 4}' in done.stdout
    assert weft("try", "orders", "--ref", "ada/less").code == 1


def test_trigger_input_and_variables_may_come_from_files(work: Work, weft: Weft, worker: None) -> None:
    seen = "{id: a, uses: set, with: {i: '${{ input }}', t: '${{ trigger.body }}', v: '${{ vars.factor }}'}}"
    pattern = PATTERN[: PATTERN.index("    - {id: ask")] + f"    - {seen}\n"
    work.write({"patterns/orders.yaml": pattern, "patterns/body.json": '{"body": [1]}'})
    done = weft("try", "orders", "--trigger", "@body.json", "--input", '"x"', "--var", "factor=3")
    assert '= {"i": "x", "t": [1], "v": 3}' in done.stdout, done.stdout + done.stderr


def test_what_is_no_text_is_sent_as_it_is(work: Work, weft: Weft, worker: None) -> None:
    code = "from pathlib import Path\ndef main(_):\n    return len(_)\n"
    work.write({"scripts/add.py": BINARY + code.encode()})
    done = weft("try", "orders", "--stub", "ask=1", "--stub", "add=2")
    assert '= {"said": 2}' in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["orderz"], 1, "no pattern 'orderz'. Did you mean \"orders\"?"),
        (["orders", "--stub", "ask"], 2, "it takes NAME=JSON"),
        (["orders", "--stub", "ask={"], 2, "this is not JSON"),
        (["orders", "--stub", "asks=1"], 2, "stubs.asks"),
        (["orders", "--var", "factors=1"], 2, "variables.factors"),
        (["orders", "--environment", "No"], 2, "environment"),
    ],
)
def test_what_is_asked_wrongly_is_told(weft: Weft, arguments: list[str], code: int, said: str) -> None:
    done = weft("try", *arguments)
    assert done.code == code, done.stderr
    assert said in " ".join(done.stderr.replace("│", " ").split())
