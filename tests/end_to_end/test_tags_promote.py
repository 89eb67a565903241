"""A tour with nothing but `git` and `curl`: tags promote and roll back, and no run notices while it goes on."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_service import LiveService, live_service

PATTERN = """\
apiVersion: weft/v1
kind: Pattern
metadata: {{name: {name}}}
spec:
  on: {{webhook: {{}}}}
  output: {{asleep: "${{{{ nodes.nap.word }}}}", awake: "${{{{ nodes.end.word }}}}"}}
  nodes:
    - id: nap
      uses: script
      with: {{file: scripts/nap.py, input: {{word: {word}}}}}
    - {{id: pause, uses: delay, with: {{for: 2s}}}}
    - {{id: end, uses: set, with: {{word: {word}}}}}
"""
NAP = """\
import time

def main(input):
    time.sleep(0.5)
    return input
"""
WORDS = ("one", "two", "three")
GOING_ON = ("pending", "running", "waiting")


class Shell:
    """A clone, and commands typed in it."""

    def __init__(self, service: LiveService, folder: Path) -> None:
        self.service = service
        self.folder = folder
        host = service.url.removeprefix("http://")
        self(f"git init -q -b main && git remote add weft http://weft:{service.token}@{host}/git/default.git")

    def __call__(self, command: str) -> str:
        return self.service.shell(command, self.folder)

    def commit(self, files: dict[str, str]) -> None:
        for path, text in files.items():
            (self.folder / path).parent.mkdir(exist_ok=True)
            (self.folder / path).write_text(text)
        self("git add . && git commit -qm 'Change something'")

    def push(self, arguments: str) -> list[str]:
        """What the server says about it, with the times taken out."""
        said = re.findall(r"^remote: (\S.*?) *$", self(f"git push weft {arguments}"), re.MULTILINE)
        return [re.sub(r"live in \d+ ms", "live", line) for line in said]

    def get(self, path: str) -> Any:
        auth = f"-H 'Authorization: Bearer {self.service.token}'"
        return json.loads(self(f"curl -sSf {auth} {self.service.url}/api/v1/{path}"))

    def start(self, hook: str) -> str:
        """The id of a run."""
        return str(json.loads(self(f"curl -sSf -X POST {hook}"))["run"]["id"])

    def ended(self, run: str) -> Any:
        started = time.monotonic()
        while (found := self.get(f"runs/{run}"))["status"] in GOING_ON:
            assert time.monotonic() - started < 30, found
            time.sleep(0.1)
        return found


def deployment(name: str, source: str) -> dict[str, str]:
    head = f"apiVersion: weft/v1\nkind: Deployment\nmetadata: {{name: {name}}}\n"
    return {f"deployments/{name}.yaml": f"{head}spec:\n  pattern: {name}\n  source: {source}\n"}


def pattern(name: str, word: str) -> dict[str, str]:
    return {f"patterns/{name}.yaml": PATTERN.format(name=name, word=word), "scripts/nap.py": NAP}


@pytest.fixture(scope="module")
def service() -> Iterator[LiveService]:
    with live_service() as found:
        yield found


@pytest.fixture(scope="module")
def shell(service: LiveService, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(service, tmp_path_factory.mktemp("tour"))


def test_a_tag_moves_to_and_fro_and_runs_end_as_they_began(shell: Shell) -> None:
    shell.commit(pattern("order-intake", "one") | deployment("order-intake", "{branch: main}"))
    (first,) = shell.push("main")
    hook = first.split()[-1]
    for number, word in enumerate(WORDS[1:], 2):
        shell.commit(pattern("order-intake", word))
        assert shell.push("main") == [f"order-intake  v{number - 1} → v{number}  live"]
    versions = {one["number"]: one["id"] for one in shell.get("patterns/order-intake/versions")["items"]}
    assert list(versions) == [3, 2, 1]

    begun: dict[str, int] = {}

    def move(commands: str, push: str, before: int, after: int) -> None:
        """Runs that begin before it are still going on after it."""
        mine = {shell.start(hook): before for _ in range(2)}
        shell(commands)
        assert shell.push(push) == [f"order-intake  v{before} → v{after}  live"]
        assert {shell.get(f"runs/{run}")["status"] in GOING_ON for run in mine} == {True}
        begun.update(mine)
        version = shell.get("deployments/order-intake")["version"]
        assert (version["number"], version["id"]) == (after, versions[after])

    shell.commit(deployment("order-intake", "{tag: order-intake/production}"))
    move("git tag order-intake/production HEAD~2", "main order-intake/production", 3, 2)
    move("git tag -f order-intake/production HEAD~1", "-f order-intake/production", 2, 3)
    move("git tag -f -a -m back order-intake/production HEAD~2", "-f order-intake/production", 3, 2)
    begun[shell.start(hook)] = 2

    for run, number in begun.items():
        found, word = shell.ended(run), WORDS[number - 1]
        assert found["version"] == {"id": versions[number], "number": number}
        assert (found["status"], found["output"]) == ("completed", {"asleep": word, "awake": word})
    shown = shell.get("deployments/order-intake/revisions")["items"]
    assert [one["version"]["number"] for one in shown] == [2, 3, 2, 3, 2, 1]


def test_the_highest_version_is_live_and_deleting_its_tag_goes_back(shell: Shell) -> None:
    shell.commit(pattern("billing", "one") | deployment("billing", "{tags: billing/v*}"))
    refused = shell.push("main || true")
    assert refused[1].startswith("deployments/billing.yaml:6:3: No tag matches billing/v*. [no-tag-matches]")
    shell("git tag billing/v1.9.0")
    (first,) = shell.push("main billing/v1.9.0")
    assert re.match(r"billing  v1  live  http://\S+/hooks/", first)
    shell.commit(pattern("billing", "two"))
    assert shell.push("main") == ["billing  v2  frozen, not deployed"]
    shell("git tag -a -m release billing/v1.10.0")
    assert shell.push("billing/v1.10.0") == ["billing  v1 → v2  live"]
    shell("git tag billing/v1.11.0-rc.1")
    assert shell.push("billing/v1.11.0-rc.1") == ["nothing that is live has changed"]
    assert shell.push("--delete billing/v1.10.0") == ["billing  v2 → v1  live"]
    (stalled,) = shell.push("--delete billing/v1.9.0")
    assert stalled.startswith("billing  v1  stalled: Of the tags that match billing/v* only pre-releases are")
    found = shell.get("deployments/billing")
    assert (found["status"], found["state"], found["version"]["number"]) == ("stalled", "active", 1)
    assert found["source"] == {"tags": "billing/v*"}
    assert "billing/v1.11.0-rc.1" in next(
        one["message"] for one in found["conditions"] if one["type"] == "Stalled"
    )
    assert shell.push("billing/v1.10.0 billing/v1.9.0") == ["billing  v1 → v2  live"]
