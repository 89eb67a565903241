"""A `weft up --upstream` and a Git server elsewhere, as a team uses them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from git_clone import Clone
from git_server import GitServer, Host
from installation import Installation, installation, live
from weft_command import weft

from reconciler.git.repository import Repository

TOKEN = "token-of-eve"
LOG = "- {id: note, uses: log, with: {message: hello}}"


def files(text: str, **spec: Any) -> dict[str, str | bytes]:
    return dict(live("hello", LOG.replace("hello", text), **spec))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    folder = tmp_path_factory.mktemp("elsewhere")
    host = Host(folder / "host")
    server = GitServer(folder / "server", host)
    yield server
    host.stop()
    server.close()


@pytest.fixture(scope="module")
def clone(elsewhere: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    made = Clone.new(tmp_path_factory.mktemp("clones") / "clone", elsewhere.url())
    made.commit(files("one"))
    made.git("push", "--quiet", "origin", "main")
    return made


@pytest.fixture(scope="module")
def service(elsewhere: GitServer, clone: Clone) -> Iterator[Installation]:
    with installation("--upstream", elsewhere.url(), WEFT_UPSTREAM_EVERY="1s") as found:
        eventually(lambda: is_live(found, 1))
        yield found


def is_live(service: Installation, number: int) -> bool:
    status, found = service.request("GET", "/api/v1/deployments/hello")
    return status == 200 and found["version"]["number"] == number


def commit_and_push(clone: Clone, changed: dict[str, str | bytes]) -> str:
    clone.git("pull", "--quiet", "origin", "main")
    head = clone.commit(changed)
    clone.git("push", "--quiet", "origin", "main")
    return head


def doctor(service: Installation) -> subprocess.CompletedProcess[str]:
    return weft("doctor", environ={"WEFT_DATA": str(service.data)})


def test_a_push_there_is_live_here_and_an_action_here_is_a_commit_there(
    service: Installation, elsewhere: GitServer, clone: Clone
) -> None:
    head = commit_and_push(clone, files("two"))
    eventually(lambda: is_live(service, 2))
    moves = service.get("/api/v1/refs/moves?ref=main&limit=1")["items"]
    assert [(move["new"], move["user"]) for move in moves] == [(head, "upstream")]
    status, done = service.request("POST", "/api/v1/deployments/hello/rollback", {})
    assert (status, is_live(service, 1)) == (200, True)
    eventually(lambda: Repository(elsewhere.repository).refs()["refs/heads/main"] == done["commit"])
    state = service.get("/api/v1/upstream")
    assert state["url"] == elsewhere.url().replace(f"anyone:{TOKEN}@", "")
    assert (state["lastError"], state["diverged"], state["skipped"]) == (None, [], [])
    assert state["lastSyncAt"] is not None


def test_a_bad_commit_there_is_explained_here_and_a_good_one_heals_it(
    service: Installation, clone: Clone
) -> None:
    before = service.get("/api/v1/deployments/hello")["version"]
    bad = files("three")
    bad["patterns/hello.yaml"] = str(bad["patterns/hello.yaml"]).replace("uses: log", "uses: logg")
    commit_and_push(clone, bad)

    def status() -> Any:
        return service.get("/api/v1/deployments/hello")["status"]

    eventually(lambda: status() == "stalled")
    found = service.get("/api/v1/deployments/hello")
    assert found["version"] == before
    assert "patterns/hello.yaml:7:24" in found["conditions"][0]["message"]
    commit_and_push(clone, files("four"))
    eventually(lambda: status() == "ready")
    assert is_live(service, 3)


def test_a_conflict_and_an_upstream_that_is_away_are_told_where_people_look(
    service: Installation, elsewhere: GitServer, clone: Clone
) -> None:
    assert doctor(service).returncode == 0
    away = elsewhere.repository.rename(elsewhere.repository.with_name("away.git"))
    eventually(lambda: service.get("/api/v1/upstream")["lastError"] is not None)
    state = service.get("/api/v1/upstream")
    assert state["failingSince"] is not None
    said = doctor(service)
    assert said.returncode == 1
    assert f"does not do since {state['failingSince'][:10]}" in said.stdout
    listed = weft("deployments", environ={"WEFT_DATA": str(service.data)})
    assert "hello" in listed.stdout
    assert "cannot be read" in listed.stderr
    changed = service.request("POST", "/api/v1/deployments/hello/pause", {})[1]["commit"]
    clone.git("pull", "--quiet", str(away), "main")
    theirs = clone.commit({"deployments/hello.yaml": "# Another view\n"})
    clone.git("push", "--quiet", str(away), "main")
    away.rename(elsewhere.repository)
    eventually(lambda: bool(service.get("/api/v1/upstream")["diverged"]))
    (apart,) = service.get("/api/v1/upstream")["diverged"]
    assert (apart["here"], apart["there"]) == (changed, theirs)
    said = doctor(service)
    assert "main moved here and in the upstream, and conflict in deployments/hello.yaml" in said.stdout
    assert apart["resolve"][1] in said.stdout
    assert service.get("/api/v1/deployments/hello")["state"] == "paused"


def test_what_opens_the_upstream_is_shown_nowhere(service: Installation) -> None:
    said = doctor(service)
    as_json = weft("doctor", "--json", environ={"WEFT_DATA": str(service.data)})
    texts = {
        "the log": (service.folder / "log").read_text(),
        "doctor": said.stdout + said.stderr + as_json.stdout,
        "the API": json.dumps(service.get("/api/v1/upstream")),
        "the database": json.dumps(service.rows("SELECT row_to_json(u)::text FROM upstreams u")),
        "what Git is told": "".join(_written(service.data / "git" / "default.git")),
    }
    assert [place for place, text in texts.items() if TOKEN in text] == []
    failing = [event for event in service.events() if event["event"] == "upstream_failing"]
    reasons = [json.dumps({key: value for key, value in event.items() if key != "time"}) for event in failing]
    assert reasons, "told"
    assert len(reasons) == len(set(reasons)), "and not again at each look, unless it fails in another way"


def _written(repository: Path) -> Iterator[str]:
    return (path.read_text(errors="replace") for path in repository.iterdir() if path.is_file())
