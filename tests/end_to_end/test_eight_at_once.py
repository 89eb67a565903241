"""Eight people promote, roll back and push at once: one line of history, and every answer is true."""

from __future__ import annotations

import random
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from git_clone import Clone
from git_work import deployment, pattern
from live_service import LiveService, live_service

CLIENTS, TOGETHER = 8, 50
VERSIONS = 4
PINNED = ("left", "right")  # of pattern `one`, by number
TAGGED = "tagged"  # of pattern `one`, by a tag
FOLLOWING = "following"  # of pattern `two`, with what main holds

LOST_THE_RACE = re.compile(r"fetch first|non-fast-forward|moved meanwhile|cannot lock ref")


@dataclass(frozen=True)
class Done:
    """What somebody was told: this deployment went from one version to another; None: to the same it had."""

    number: int
    user: str
    ref: str
    name: str
    versions: tuple[int, int] | None


class Client:
    """A user with a token and a clone. `done` and `refused` are what it was told."""

    def __init__(self, service: LiveService, number: int, folder: Path) -> None:
        self.first, self.user, self.rng = number, f"user{number}", random.Random(number)
        self.done: list[Done] = []
        self.refused: list[int] = []
        token = service.shell(
            f"weft token create --user {self.user} --role editor 2>/dev/null", folder
        ).strip()
        headers = {"Authorization": f"Bearer {token}"}
        self.http = httpx.Client(base_url=f"{service.url}/api/v1", headers=headers, timeout=60)
        host = service.url.removeprefix("http://")
        self.clone = Clone.of(folder / self.user, f"http://{self.user}:{token}@{host}/git/default.git")

    def work(self) -> None:
        for number in range(self.first, TOGETHER, CLIENTS):
            self.act(number)

    def act(self, number: int) -> None:
        version, pinned = self.rng.randint(1, VERSIONS), self.rng.choice(PINNED)
        anyone = self.rng.choice((*PINNED, TAGGED))
        match self.rng.choice(("promote", "back to", "back", "tag", "push")):
            case "promote":
                self.ask(number, anyone, "promote", {"version": version})
            case "back to":
                self.ask(number, pinned, "rollback", {"to": version})
            case "back":
                self.ask(number, anyone, "rollback", {})
            case "tag":
                self.push_tag(number)
            case _:
                self.push_change(number)

    def ask(self, number: int, name: str, action: str, body: dict[str, Any]) -> None:
        answer = self.http.post(f"/deployments/{name}/{action}", json={**body, "message": said(number)})
        told = answer.json()
        if answer.status_code != 200:
            assert answer.status_code == 409, told
            assert re.search(r"is set to v\d already|nothing to go back to", told["detail"]), told
            self.refused.append(number)
            return
        [step] = told["plan"]["deployments"] or [None]
        assert told["ref"] == ("refs/tags/live" if name == TAGGED else "refs/heads/main")
        went = (step["version"]["from"]["number"], step["version"]["to"]["number"]) if step else None
        assert went is None or went[1] == body.get("version", body.get("to", went[1]))
        self.done.append(Done(number, self.user, told["ref"], name, went))

    def push_tag(self, number: int) -> None:
        self.clone.git("fetch", "--quiet", "origin", "main")
        commits = self.clone.git("rev-list", "FETCH_HEAD", "--", "patterns/one.yaml").split()
        self.clone.git("tag", "--force", "--annotate", "live", "-m", said(number), self.rng.choice(commits))
        while not self.pushed(number, TAGGED, "--force", "refs/tags/live"):
            pass

    def push_change(self, number: int) -> None:
        self.clone.git("pull", "--quiet", "--rebase", "origin", "main")
        self.clone.commit({"patterns/two.yaml": pattern("two", f"by {number}")}, said(number))
        while not self.pushed(number, FOLLOWING, "refs/heads/main"):
            self.clone.git("fetch", "--quiet", "origin", "main")
            self.clone.git("rebase", "--quiet", "-X", "theirs", "FETCH_HEAD")

    def pushed(self, number: int, name: str, *arguments: str) -> bool:
        """Whether it was faster than the others; whatever else stands in its way is an error."""
        command = ["git", "push", "origin", *arguments]
        push = subprocess.run(command, cwd=self.clone.path, capture_output=True, text=True, check=False)
        if push.returncode != 0:
            assert LOST_THE_RACE.search(push.stderr), push.stderr
            return False
        found = re.search(rf"^remote: {name}  v(\d+) → v(\d+)  live", push.stderr, re.MULTILINE)
        went = (int(found[1]), int(found[2])) if found else None
        self.done.append(Done(number, self.user, arguments[-1], name, went))
        return True


def said(number: int) -> str:
    return f"This is number {number}."


@pytest.fixture(scope="module")
def service() -> Iterator[LiveService]:
    with live_service() as found:
        yield found


def begin(service: LiveService, folder: Path) -> Clone:
    """All of it live in the first versions, and main's clone of the admin."""
    host = service.url.removeprefix("http://")
    clone = Clone.new(folder / "admin", f"http://admin:{service.token}@{host}/git/default.git")
    for version in range(1, VERSIONS + 1):
        clone.commit({"patterns/one.yaml": pattern("one", f"version {version}")}, f"Version {version}")
    clone.git("tag", "live", "main~1")
    sources = dict.fromkeys(PINNED, "{version: 1}") | {TAGGED: "{tag: live}"}
    files = {f"deployments/{name}.yaml": deployment(name, "one", source=at) for name, at in sources.items()}
    files |= {"patterns/two.yaml": pattern("two"), "deployments/following.yaml": deployment(FOLLOWING, "two")}
    clone.commit({**files}, "Deploy")
    clone.git("push", "--quiet", "origin", "live", "main~1:refs/heads/main")
    clone.git("push", "--quiet", "origin", "main")
    return clone


Get = Callable[[str], Any]


@pytest.mark.chaos
def test_fifty_at_once(service: LiveService, tmp_path: Path) -> None:
    admin = begin(service, tmp_path)
    start = admin.head()
    clients = [Client(service, number, tmp_path) for number in range(CLIENTS)]
    with ExitStack() as open_, ThreadPoolExecutor(CLIENTS) as pool:
        for client in clients:
            open_.enter_context(client.http)
        list(pool.map(Client.work, clients, timeout=120))
        check(admin, start, clients)


def check(admin: Clone, start: str, clients: list[Client]) -> None:
    done = [one for client in clients for one in client.done]
    refused = {number for client in clients for number in client.refused}
    assert sorted([*(one.number for one in done), *refused]) == list(range(TOGETHER))
    assert len({one.name for one in done}) == 4

    def get(path: str) -> Any:
        return clients[0].http.get(path).raise_for_status().json()

    admin.git("fetch", "--quiet", "--force", "origin", "main", "refs/tags/live:refs/tags/live")
    admin.git("reset", "--quiet", "--hard", "FETCH_HEAD")
    assert_linear_and_complete(admin, start, done, get)
    assert_true(done, get)
    assert_live(admin, get)


def assert_linear_and_complete(admin: Clone, start: str, done: list[Done], get: Get) -> None:
    """What was accepted is in the history once, in its author's name; what was refused is not."""
    assert admin.git("rev-list", "--merges", f"{start}..main") == ""
    log = admin.git("log", "--format=%B", f"{start}..main")
    on_main = sorted(one.number for one in done if one.ref == "refs/heads/main")
    assert sorted(map(int, re.findall(r"This is number (\d+)\.", log))) == on_main
    assert int(admin.git("rev-list", "--count", f"{start}..main")) == len(on_main)
    for ref in ("refs/heads/main", "refs/tags/live"):
        moves = get(f"/refs/moves?limit=200&ref={ref}")["items"][::-1]
        assert all(one["new"] == other["old"] for one, other in pairwise(moves))
        told = Counter(one.user for one in done if one.ref == ref)
        assert Counter(move["user"] for move in moves if move["user"] != "admin") == told


def assert_true(done: list[Done], get: Get) -> None:
    """Each answer stands in its deployment's history, from what came before it."""
    for name in (*PINNED, TAGGED, FOLLOWING):
        revisions = get(f"/deployments/{name}/revisions?limit=200")["items"][::-1]
        numbers = [one["version"]["number"] for one in revisions]
        went = [ends for ends in pairwise(numbers) if ends[0] != ends[1]]
        assert Counter(went) == Counter(one.versions for one in done if one.name == name and one.versions)


def assert_live(admin: Clone, get: Get) -> None:
    """What is live is what the head says."""
    live = {one["name"]: one["version"]["number"] for one in get("/deployments")["items"]}
    for name in PINNED:
        assert f"source: {{version: {live[name]}}}" in (admin.path / f"deployments/{name}.yaml").read_text()
    assert f'"version {live[TAGGED]}"' in admin.git("show", "live^{}:patterns/one.yaml")
    newest = get("/patterns/two/versions")["items"][0]
    assert live[FOLLOWING] == newest["number"]
    assert newest["commit"] == admin.git("log", "-1", "--format=%H", "--", "patterns/two.yaml")
    assert {step["action"] for step in get("/plan")["deployments"]} == {"unchanged"}
