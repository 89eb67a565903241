"""Tokens and who moved refs, over real HTTP."""

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_site import ADMIN, Site
from git_work import Work, pattern

from store.accounts import find_token
from web.auth import digest_of


def create(site: Site, user: str = "alice", role: str = "editor", **more: Any) -> dict[str, Any]:
    answer = site.http.post("/tokens", json={"user": user, "role": role, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def status(site: Site, token: str) -> int:
    with site.client(token) as client:
        return client.get("/runs").status_code


def test_a_token_is_shown_once_and_kept_as_a_hash(site: Site) -> None:
    made = create(site)
    token = made.pop("token")
    assert token.startswith("weft_")
    assert len(token) > 40
    assert status(site, token) == 200
    assert site.http.get("/tokens").json() == {"items": [made], "next": None}
    assert made == {
        "id": made["id"], "user": "alice", "role": "editor", "createdAt": made["createdAt"], "createdBy": "admin",
        "expiresAt": None, "expired": False,
    }  # fmt: skip
    assert token not in repr(site.execute("SELECT t::text FROM tokens t"))
    assert site.execute("SELECT hash FROM tokens") == [(digest_of(token),)]
    assert digest_of(token).hex() not in site.http.get("/tokens").text


def test_only_admins_create_list_and_revoke(site: Site) -> None:
    made = create(site)
    for role in ("viewer", "editor", "operator"):
        with site.client(site.token(role)) as client:
            answers = [
                client.post("/tokens", json={"user": "eve", "role": "admin"}),
                client.get("/tokens"),
                client.delete(f"/tokens/{made['id']}"),
            ]
        assert [answer.status_code for answer in answers] == [403] * 3
    assert status(site, made["token"]) == 200
    assert site.execute("SELECT * FROM tokens WHERE user_name = 'eve'") == []


def test_a_token_does_what_its_role_may(site: Site) -> None:
    site.deploy("orders")
    for role, expected in (("viewer", 403), ("editor", 403), ("operator", 202), ("admin", 202)):
        made = create(site, user=f"a-{role}", role=role)
        with site.client(made["token"]) as client:
            answer = client.post("/deployments/orders/runs", json={})
        assert answer.status_code == expected
        if expected == 202:
            assert answer.json()["actor"] == f"a-{role}"


def test_a_revoked_token_is_refused_at_once(site: Site) -> None:
    made, other = create(site), create(site)
    assert status(site, made["token"]) == 200
    gone = site.http.delete(f"/tokens/{made['id']}")
    assert gone.status_code == 200
    assert gone.json() == {key: value for key, value in made.items() if key != "token"}
    assert status(site, made["token"]) == 401
    assert status(site, other["token"]) == 200
    assert site.http.delete(f"/tokens/{made['id']}").status_code == 404


def test_a_look_up_that_was_under_way_does_not_bring_a_revoked_token_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(site)
    read, go_on = threading.Event(), threading.Event()

    def slowly(*arguments: Any) -> Any:
        found = find_token(*arguments)
        read.set()
        go_on.wait(10)
        return found

    monkeypatch.setattr("web.auth.find_token", slowly)
    asking = threading.Thread(target=site.authenticator.by_token, args=[made["token"]])
    asking.start()
    assert read.wait(10)
    site.http.delete(f"/tokens/{made['id']}")
    go_on.set()
    asking.join()
    assert site.authenticator.by_token(made["token"]) is None


@pytest.mark.parametrize("expires", ["1s", "30d", "2099-01-01T00:00:00Z", "2099-01-01T00:00:00+05:30"])
def test_an_expiry_is_a_duration_or_a_time(site: Site, expires: str) -> None:
    made = create(site, expires=expires)
    assert made["expiresAt"].endswith("Z")
    assert status(site, made["token"]) == 200


def test_an_expired_token_is_refused_and_listed_as_such(site: Site) -> None:
    made = create(site, expires="200ms")
    site.execute("SELECT pg_sleep(0.25)")
    assert status(site, made["token"]) == 401
    [listed] = site.http.get("/tokens").json()["items"]
    assert listed["expired"] is True


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({}, ["user", "role"]),
        ({"user": "Ada Lovelace", "role": "editor"}, ["user"]),
        ({"user": "a/b", "role": "root"}, ["user", "role"]),
        ({"user": 7, "role": ["editor"]}, ["user", "role"]),
        ({"user": "ada", "role": "editor", "expires": "soon"}, ["expires"]),
        ({"user": "ada", "role": "editor", "expires": "2099-01-01T00:00:00"}, ["expires"]),
        ({"user": "ada", "role": "editor", "expires": "2001-01-01T00:00:00Z"}, ["expires"]),
        ({"user": "ada", "role": "editor", "expires": "0s"}, ["expires"]),
        ({"user": "ada", "role": "editor", "expires": 30}, ["expires"]),
        ({"user": "ada", "role": "editor", "expire": "30d"}, ["expire"]),
    ],
)
def test_all_that_is_wrong_is_said_and_nothing_is_made(site: Site, body: Any, paths: list[str]) -> None:
    answer = site.http.post("/tokens", json=body)
    assert answer.status_code == 422
    assert [problem["path"] for problem in answer.json()["problems"]] == paths
    assert site.execute("SELECT * FROM tokens") == []


def test_tokens_are_paged_newest_first(site: Site) -> None:
    ids = [create(site, user=f"user{number}")["id"] for number in range(5)]
    first = site.http.get("/tokens", params={"limit": 3}).json()
    second = site.http.get("/tokens", params={"limit": 3, "cursor": first["next"]}).json()
    assert [one["id"] for one in (*first["items"], *second["items"])] == ids[::-1]
    assert second["next"] is None


def test_an_organisation_has_its_own_tokens(site: Site) -> None:
    made = create(site)
    with site.client(site.token("admin", organisation="other")) as client:
        assert [one["user"] for one in client.get("/tokens").json()["items"]] == ["admin"]
        assert client.delete(f"/tokens/{made['id']}").status_code == 404
        theirs = client.post("/tokens", json={"user": "zoe", "role": "viewer"}).json()
    assert status(site, made["token"]) == 200
    assert site.execute("SELECT organisation FROM tokens WHERE id = %s", theirs["id"]) == [("other",)]


def test_a_token_given_as_its_id_is_not_repeated(site: Site) -> None:
    made = create(site)
    answer = site.http.delete(f"/tokens/{made['token']}")
    assert answer.status_code == 404
    assert made["token"] not in answer.text


def listed(client: httpx.Client, **query: Any) -> list[tuple[Any, ...]]:
    items = client.get("/refs/moves", params=query).json()["items"]
    return [(one["ref"], one["old"], one["new"], one["user"]) for one in items]


def test_who_moved_refs_is_listed_newest_first(site: Site, tmp_path: Path) -> None:
    work = Work(tmp_path / "work", site.reconciler)
    one = work.commit({"patterns/a.yaml": pattern("a")})
    work.push(pusher="alice")
    two = work.commit({"patterns/a.yaml": pattern("a", "two")})
    work.git("tag", "main")
    work.push("main", "refs/tags/main", pusher="bob")
    work.push(":refs/tags/main", pusher="carol")
    main, tag = "refs/heads/main", "refs/tags/main"
    expected = [
        (tag, two, None, "carol"), (tag, None, two, "bob"), (main, one, two, "bob"), (main, None, one, "alice")
    ]  # fmt: skip
    with site.client(site.token("viewer")) as client:
        assert listed(client) == expected
        assert listed(client, ref="main") == expected
        assert listed(client, ref=main) == expected[2:]
        assert listed(client, ref="nowhere") == []
        first = client.get("/refs/moves", params={"limit": 3}).json()
        assert listed(client, limit=3, cursor=first["next"]) == expected[3:]
        assert client.get("/refs/moves", params={"ref": "a b"}).status_code == 422
        assert client.get("/refs/moves", params={"ref": "a\0"}).status_code == 422
    with site.client(site.token("admin", organisation="other")) as client:
        assert listed(client) == []
    assert ADMIN not in repr(site.execute("SELECT m::text FROM ref_moves m"))
