"""Secrets over real HTTP: their names are shown, their values go in and never come out."""

import base64
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from api_site import ADMIN, Site

VALUE = "correct horse/battery staple+"


def put(site: Site, name: str, value: str = VALUE, **more: Any) -> httpx.Response:
    return site.http.put(f"/secrets/{name}", json={"value": value, **more})


def test_a_secret_is_set_listed_used_and_deleted(site: Site) -> None:
    made = put(site, "TOKEN")
    assert made.status_code == 200, made.text
    secret = made.json()
    assert secret == {
        "name": "TOKEN", "environment": None, "source": "stored", "version": 1,
        "updatedAt": secret["updatedAt"], "updatedBy": "admin",
    }  # fmt: skip
    assert site.http.get("/secrets").json() == {"items": [secret], "next": None, "unavailable": []}
    assert site.secrets.get("default", "production", "TOKEN") == VALUE
    again = put(site, "TOKEN", "other")
    assert again.json()["version"] == 2
    assert site.secrets.get("default", "production", "TOKEN") == "other"
    gone = site.http.delete("/secrets/TOKEN")
    assert gone.status_code == 200
    assert gone.json() == again.json()
    assert site.http.get("/secrets").json()["items"] == []
    assert site.secrets.remembered("default", "production", "TOKEN") is None


def test_an_environments_secret_is_another_one(site: Site) -> None:
    put(site, "TOKEN", "for all")
    put(site, "TOKEN", "for staging", environment="staging")
    put(site, "OTHER", environment="production")
    assert site.secrets.get("default", "staging", "TOKEN") == "for staging"
    assert site.secrets.get("default", "production", "TOKEN") == "for all"

    def listed(**query: str) -> list[tuple[str, str | None]]:
        items = site.http.get("/secrets", params=query).json()["items"]
        return [(item["name"], item["environment"]) for item in items]

    assert listed() == [("OTHER", "production"), ("TOKEN", None), ("TOKEN", "staging")]
    assert listed(environment="staging") == [("TOKEN", None), ("TOKEN", "staging")]
    assert site.http.delete("/secrets/TOKEN", params={"environment": "staging"}).status_code == 200
    assert listed() == [("OTHER", "production"), ("TOKEN", None)]
    missing = site.http.delete("/secrets/OTHER")
    assert missing.status_code == 404
    assert missing.json()["detail"] == (
        "No secret OTHER is stored for all environments. There is one for the environment production."
    )


def test_what_others_keep_is_listed_and_cannot_be_deleted_here(
    site: Site, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "git" / "secrets" / "staging").mkdir(parents=True)
    (tmp_path / "git" / "secrets" / "staging" / "FILE").write_text(VALUE)
    monkeypatch.setenv("WEFT_SECRET_VARIABLE", VALUE)
    items = site.http.get("/secrets").json()["items"]
    assert [(one["name"], one["environment"], one["source"]) for one in items] == [
        ("FILE", "staging", "file"),
        ("VARIABLE", None, "variable"),
    ]
    refused = site.http.delete("/secrets/VARIABLE")
    assert refused.status_code == 404
    assert "outside of Weft (variable): delete it there" in refused.json()["detail"]


def test_everybody_reads_names_and_admins_alone_write(site: Site) -> None:
    put(site, "TOKEN")
    for role in ("viewer", "editor", "operator"):
        with site.client(site.token(role)) as client:
            assert [one["name"] for one in client.get("/secrets").json()["items"]] == ["TOKEN"]
            answers = [
                client.put("/secrets/TOKEN", json={"value": "x"}),
                client.delete("/secrets/TOKEN"),
                client.post("/secrets/rotate"),
            ]
        assert [answer.status_code for answer in answers] == [403] * 3
    assert site.secrets.get("default", "production", "TOKEN") == VALUE


def test_another_organisation_has_secrets_of_its_own(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_SECRET_VARIABLE", VALUE)
    put(site, "TOKEN")
    with site.client(site.token("admin", organisation="acme")) as client:
        assert client.get("/secrets").json()["items"] == []
        assert client.delete("/secrets/TOKEN").status_code == 404
        assert client.put("/secrets/TOKEN", json={"value": "acme's"}).status_code == 200
        assert client.post("/secrets/rotate").json() == {"secrets": 1, "keyChanged": False}
    assert site.secrets.get("default", "production", "TOKEN") == VALUE
    assert site.secrets.get("acme", "production", "TOKEN") == "acme's"


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("TOKEN", {}, "value: it takes text that is not empty"),
        ("TOKEN", {"value": ""}, "value: it takes text that is not empty"),
        ("TOKEN", {"value": 7}, "value: it takes text that is not empty"),
        ("TOKEN", {"value": ["hunter2"]}, "value: it takes text that is not empty"),
        ("TOKEN", {"value": "hunter2" * 9_363}, "value: it takes at most 65,536 bytes"),
        (
            "TOKEN",
            {"value": "hunter2", "environment": "Not One"},
            "environment: it takes a name such as staging",
        ),
        ("TOKEN", {"value": "hunter2", "environment": ""}, "environment: it takes a name such as staging"),
        ("TOKEN", {"value": "hunter2", "enviroment": "x"}, 'Did you mean "environment"'),
        ("7UP", {"value": "hunter2"}, "no digit first"),
        ("a-b", {"value": "hunter2"}, "no digit first"),
        ("x" * 101, {"value": "hunter2"}, "at most 100 characters"),
    ],
)
def test_what_is_wrong_is_said_without_the_value(site: Site, name: str, body: Any, said: str) -> None:
    answer = site.http.put(f"/secrets/{name}", json=body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert "hunter2" not in answer.text
    assert site.http.get("/secrets").json()["items"] == []


def test_the_largest_value_and_the_longest_name_are_taken(site: Site) -> None:
    name, value = "_" + "x" * 99, "é" * 32_768
    assert put(site, name, value).status_code == 200
    assert site.secrets.get("default", "production", name) == value


def test_a_secret_may_be_called_rotate(site: Site) -> None:
    assert put(site, "rotate").status_code == 200
    assert site.http.post("/secrets/rotate").json() == {"secrets": 1, "keyChanged": False}
    assert site.http.delete("/secrets/rotate").status_code == 200


def test_keys_that_do_not_open_refuse_writing_and_say_why(site: Site) -> None:
    put(site, "TOKEN")
    site.execute("UPDATE secret_keys SET sealed_by = 'another'")
    site.secrets.forget()
    for answer in (put(site, "OTHER"), site.http.post("/secrets/rotate")):
        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:weft:problem:secrets-unreadable"
        assert "WEFT_SECRETS_KEY_OLD" in answer.json()["detail"]
    assert [one["name"] for one in site.http.get("/secrets").json()["items"]] == ["TOKEN"]


def test_no_answer_no_log_and_no_other_column_has_the_value(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    answers = [
        put(site, "TOKEN"),
        put(site, "TOKEN", environment="No!"),
        site.http.put("/secrets/TOKEN", json={VALUE[:8]: VALUE}),
        site.http.put("/secrets/TOKEN", content=f'{{"value": "{VALUE}'),
        site.http.get("/secrets"),
        site.http.post("/secrets/rotate"),
        site.http.delete("/secrets/TOKEN"),
    ]
    put(site, "TOKEN")
    tables = [name for (name,) in site.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert "secrets" in tables
    rows = [str(site.execute(f"SELECT t::text FROM {table} t")) for table in tables]
    told = "".join([caplog.text, *(answer.text for answer in answers), *rows])
    for spelling in (
        VALUE,
        quote(VALUE, safe=""),
        base64.b64encode(VALUE.encode()).decode(),
        VALUE.encode().hex(),
    ):
        assert spelling not in told
    assert ADMIN not in told
