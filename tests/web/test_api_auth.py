"""Who may do what, over real HTTP."""

import httpx
import pytest
from api_site import ADMIN, Site

from web.auth import ADMIN as ADMIN_IDENTITY
from web.auth import Authenticator, Role

PATHS = ("/deployments", "/deployments/x", "/runs", "/patterns", "/plan", "/nothing", "/runs/no-uuid")
AUTHORIZATIONS = ("", "Bearer", "Bearer wrong-token", "Basic YTpi", f"Token {ADMIN}", "Bearer \xff")


def test_without_a_good_token_every_path_is_401_and_says_where_tokens_are(site: Site) -> None:
    with site.client(None) as client:
        answers = [client.get(path) for path in PATHS]
        for authorization in AUTHORIZATIONS:
            headers = {"Authorization": authorization.encode("latin-1")}
            answers.append(client.get("/runs", headers=headers))
    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith('Bearer realm="Weft"')
        assert answer.headers["content-type"] == "application/problem+json"
        assert "admin-token" in answer.json()["detail"]
        assert ADMIN not in answer.text


def test_the_scheme_is_read_without_regard_to_case(site: Site) -> None:
    with httpx.Client(headers={"Authorization": f"bearer  {ADMIN}"}) as client:
        assert client.get(f"{site.url}/api/v1/runs").status_code == 200


def test_a_token_works_until_it_expires(site: Site) -> None:
    good = site.token("viewer", expires="+ interval '1 hour'")
    stale = site.token("viewer", expires="- interval '1 second'")
    with site.client(good) as client:
        assert client.get("/runs").status_code == 200
    with site.client(stale) as client:
        assert client.get("/runs").status_code == 401


def test_an_expiry_counts_at_once_although_tokens_are_remembered(site: Site) -> None:
    token = site.token("viewer", expires="+ interval '300 milliseconds'")
    assert site.authenticator.by_token(token) is not None
    site.execute("SELECT pg_sleep(0.35)")
    assert site.authenticator.by_token(token) is None


def test_a_token_that_is_taken_back_is_refused_within_seconds(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = site.token("viewer")
    monkeypatch.setattr("web.auth.CACHE_SECONDS", 0.2)
    assert site.authenticator.by_token(token) is not None
    site.execute("DELETE FROM tokens")
    site.execute("SELECT pg_sleep(0.25)")
    assert site.authenticator.by_token(token) is None


def test_the_hash_of_a_token_is_not_a_token(site: Site) -> None:
    site.token("admin")
    [(stored,)] = site.execute("SELECT encode(hash, 'hex') FROM tokens")
    assert site.authenticator.by_token(stored) is None


def test_the_admin_token_is_kept_nowhere_in_clear(site: Site) -> None:
    assert site.authenticator.by_token(ADMIN) == ADMIN_IDENTITY
    assert ADMIN not in repr(vars(site.authenticator))
    assert site.execute("SELECT * FROM tokens") == []
    assert Authenticator(site.database, None).by_token(ADMIN) is None


def test_starting_a_run_needs_an_operator_and_reading_it_a_viewer(site: Site) -> None:
    site.deploy("orders")
    for role in ("viewer", "editor"):
        with site.client(site.token(role)) as client:
            refused = client.post("/deployments/orders/runs", json={})
            assert refused.status_code == 403
            assert f"{role} is {role}" in refused.json()["detail"]
            assert client.get("/deployments/orders").status_code == 200
    assert site.execute("SELECT id FROM runs") == []
    for role in ("operator", "admin"):
        with site.client(site.token(role)) as client:
            started = client.post("/deployments/orders/runs", json={})
            assert started.status_code == 202
            assert client.get(f"/runs/{started.json()['id']}").json()["actor"] == role


def test_a_viewer_neither_cancels_nor_retries(site: Site) -> None:
    site.deploy("orders")
    run = site.run("orders")
    with site.client(site.token("viewer")) as client:
        assert client.post(f"/runs/{run}/cancel").status_code == 403
        assert client.post(f"/runs/{run}/retry", json={}).status_code == 403


def test_the_roles_are_in_order() -> None:
    assert [[role.includes(other) for other in Role] for role in Role] == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]


def test_another_organisation_sees_and_touches_nothing(site: Site) -> None:
    site.deploy("orders")
    run = site.run("orders")
    with site.client(site.token("admin", organisation="other")) as client:
        for path in ("/runs", "/deployments", "/patterns"):
            assert client.get(path).json() == {"items": [], "next": None}
        paths = (f"/runs/{run}", "/deployments/orders", "/deployments/orders/revisions")
        for path in (*paths, "/patterns/orders/versions", "/patterns/orders/versions/1"):
            assert client.get(path).status_code == 404
        for path in (f"/runs/{run}/cancel", f"/runs/{run}/retry", "/deployments/orders/runs"):
            assert client.post(path, json={}).status_code == 404
        assert client.get("/runs", params={"parent": run}).json()["items"] == []
        assert client.get("/runs", params={"deployment": "orders"}).json()["items"] == []
    [(status, cancelled)] = site.execute("SELECT status, cancelled FROM runs")
    assert (status, cancelled) == ("pending", False)


def test_names_are_the_organisation_s_own(site: Site) -> None:
    site.deploy("orders")
    site.deploy("orders", organisation="other")
    mine, theirs = site.run("orders"), site.run("orders", organisation="other")
    with site.client(site.token("viewer", organisation="other")) as client:
        assert [run["id"] for run in client.get("/runs?deployment=orders").json()["items"]] == [theirs]
    assert [run["id"] for run in site.http.get("/runs").json()["items"]] == [mine]
