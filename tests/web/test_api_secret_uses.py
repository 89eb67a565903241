"""Who used a secret: over HTTP, on the command line, and in the log of a run. And what test runs get of secrets."""

from __future__ import annotations

from typing import Any

import pytest
from api_site import ADMIN, Site
from running import Running, sweeper
from weft_command import weft_here

CODE = "def main(given):\n    return {'got': given, 'length': len(given)}\n"
USES = {"id": "a", "uses": "script", "with": {"code": CODE, "input": "${{ secrets.TOKEN }}"}}
OTHER = {"id": "b", "uses": "script", "with": {"code": CODE, "input": "plain"}}


def weft(site: Site, *arguments: str) -> str:
    done = weft_here(*arguments, environ={"WEFT_URL": site.url, "WEFT_TOKEN": ADMIN})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def runs(site: Site, redis_url: str) -> list[str]:
    """Three that used a secret, the first one first."""
    running = Running(site.database, redis_url)
    running.deploy("orders", [USES, OTHER])
    site.http.put("/secrets/TOKEN", json={"value": "correct horse"})
    with site.worker(), sweeper(running):
        return [str(running.run("orders")["id"]) for _ in range(3)]


def test_uses_are_listed_page_by_page_the_newest_first(site: Site, runs: list[str]) -> None:
    first = site.http.get("/secrets/TOKEN/uses", params={"limit": 2}).json()
    rest = site.http.get("/secrets/TOKEN/uses", params={"cursor": first["next"]}).json()
    assert [use["run"] for use in first["items"] + rest["items"]] == runs[::-1]
    assert rest["next"] is None
    use = first["items"][0]
    assert use == {
        "run": runs[2], "node": "a", "pattern": "orders", "deployment": "orders", "environment": "production",
        "at": use["at"],
    }  # fmt: skip
    assert site.http.get("/secrets/TOKEN/uses", params={"environment": "staging"}).json()["items"] == []
    assert site.http.get("/secrets/OTHER/uses").json()["items"] == []


def test_whoever_may_look_may_see_uses_of_their_own_organisation(site: Site, runs: list[str]) -> None:
    with site.client(site.token("viewer")) as viewer:
        assert len(viewer.get("/secrets/TOKEN/uses").json()["items"]) == 3
    with site.client(site.token("admin", organisation="other")) as stranger:
        assert stranger.get("/secrets/TOKEN/uses").json()["items"] == []
    with site.client(None) as nobody:
        assert nobody.get("/secrets/TOKEN/uses").status_code == 401


@pytest.mark.parametrize(
    ("path", "status"),
    [("TOKEN/uses?cursor=x", 422), ("TOKEN/uses?x=1", 422), ("a-b/uses", 404), ("%00/uses", 404)],
)
def test_what_is_asked_wrongly_is_refused(site: Site, path: str, status: int) -> None:
    assert site.http.get(f"/secrets/{path}").status_code == status


def test_a_run_names_the_secrets_of_each_node_and_never_shows_them(site: Site, runs: list[str]) -> None:
    nodes: list[dict[str, Any]] = site.http.get(f"/runs/{runs[0]}").json()["nodes"]
    assert [node.get("secrets") for node in nodes] == [["TOKEN"], None]
    assert nodes[0]["output"] == {"got": "***", "length": 13}
    log = weft(site, "log", runs[0])
    assert "secrets: TOKEN" in log
    assert "correct horse" not in log


def test_the_command_lists_uses(site: Site, runs: list[str]) -> None:
    lines = weft(site, "secret", "uses", "TOKEN", "--limit", "2").splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["RUN", "NODE", "PATTERN", "ENVIRONMENT"],
        [runs[2], "a", "orders", "production"],
        [runs[1], "a", "orders", "production"],
    ]
    assert weft(site, "secret", "uses", "OTHER") == "No run used OTHER.\n"
    assert f'"run": "{runs[0]}"' in weft(site, "secret", "uses", "TOKEN", "--json")
