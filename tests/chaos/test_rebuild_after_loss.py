"""What Git says is all that is needed to know what is live, when the database has lost it."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from installation import Installation, deployment, live, pattern
from weft_command import WEFT, environment

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

VERSIONS = "SELECT version_id, pattern, number, commit, author, message, frozen_at FROM freezes ORDER BY 1"
LIVE = (
    "SELECT name, pattern, environment, state, version_id, hook_token FROM deployments"
    " WHERE state <> 'undeployed' ORDER BY name"
)
LOST = "versions, assets, freezes, deployments, revisions, repositories"


def seen(weft: Installation) -> dict[str, Any]:
    """What people see of it: versions, what is live, and the runs of that."""
    items = weft.get("/api/v1/deployments")["items"]
    kept = ("name", "pattern", "state", "version", "webhookUrl", "source")
    runs = [run for run in weft.get("/api/v1/runs?limit=200")["items"] if run["deployment"] != "second"]
    return {
        "versions": weft.rows(VERSIONS),
        "live": weft.rows(LIVE),
        "deployments": [{key: item[key] for key in kept} for item in items],
        "patterns": {name: weft.get(f"/api/v1/patterns/{name}/versions") for name in ("light", "other")},
        "runs": {run["id"]: weft.get(f"/api/v1/runs/{run['id']}") for run in runs},
    }


def rebuild(weft: Installation) -> None:
    command = [*WEFT, "rebuild", "--data", str(weft.data)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def node(mark: int) -> str:
    return f"- {{id: a, uses: set, with: {{mark: {mark}}}}}"


def test_rebuilt_from_git_it_is_what_it_was(weft: Installation) -> None:
    weft.push(live("light", node(1)))
    weft.push(live("light", node(2)) | live("other", node(1)))
    weft.push({"patterns/draft.yaml": pattern("draft", node(7))})
    weft.push(live("light", node(3)) | {"deployments/second.yaml": deployment("second", pattern="light")})
    for name in ("light", "other", "second"):
        for _ in range(3):
            assert weft.request("POST", weft.hook(name), {"a": 1})[0] == 202
    gone = weft.hook("second")
    weft.push({"deployments/second.yaml": None}, "undeploy second")
    weft.git("revert", "--no-edit", "HEAD~1")  # light is at 2 again
    weft.push_head()
    weft.push({"deployments/other.yaml": deployment("other", state="paused")})
    hook = weft.hook("light")
    weft.await_ends()
    before = seen(weft)
    assert {run["status"] for run in before["runs"].values()} == {"completed"}
    assert len(before["runs"]) == 6

    with weft.database() as connection:
        connection.execute(f"TRUNCATE {LOST} RESTART IDENTITY".encode())
    rebuild(weft)
    assert seen(weft) == before
    assert weft.request("POST", hook, {})[0] == 202
    assert weft.request("POST", gone, {})[0] == 404
    assert set(weft.await_ends().values()) == {"completed"}

    # And with the service down, it finds out by itself.
    before = seen(weft)
    with weft.database() as connection:
        connection.execute(f"TRUNCATE {LOST} RESTART IDENTITY".encode())
    weft.stop()
    weft.start()
    after = seen(weft)
    assert after["versions"] == before["versions"]
    for one, other in zip(after["deployments"], before["deployments"], strict=True):
        # The port is another one.
        assert {**one, "webhookUrl": ""} == {**other, "webhookUrl": ""}
    assert after["live"] == before["live"]
