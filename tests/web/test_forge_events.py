"""`/forge/…`, with the events that forges send: kept when they are answered; a wrong one changes nothing."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
import pytest
from no_tls import NO_TLS
from served import Served
from starlette.applications import Starlette

from reconciler.forges.address import ForgeKind
from store.database import UPSTREAM_ASKED, Database, connect
from web.forge.app import MAX_BODY, ForgeEvents, ForgeGate
from web.problems import EXCEPTION_HANDLERS

DATA = Path(__file__).parents[1] / "data" / "forges"
SECRET = "the-secret-of-the-webhook"
UPSTREAMS = {
    "github": "https://github.com/Codertocat/Hello-World.git",
    "gitlab": "git@gitlab.example:acme/ops/flows.git",
    "gitea": "ssh://git@gitea.example:2222/acme/flows",
}
EVENTS = {
    "github-ping": "ping",
    "github-push": "push",
    "github-pull": "pull_request",
    "gitlab-push": "Push Hook",
    "gitlab-merge": "Merge Request Hook",
    "gitea-push": "push",
    "gitea-pull": "pull_request",
}
TELLING = {
    "github-pull-request-opened": 2,
    "github-pull-request-synchronize": 2,
    "github-pull-request-closed": 2,
    "gitlab-merge-request-open": 7,
    "gitlab-merge-request-update": 7,
    "gitlab-merge-request-merge": 7,
    "gitea-pull-request-opened": 7,
    "gitea-pull-request-synchronized": 7,
    "gitea-pull-request-edited-base": 7,
    "gitea-pull-request-closed": 7,
}
PUSHES = ("github-push", "gitlab-push", "gitea-push")
SILENT = ("github-pull-request-labeled", "gitlab-merge-request-labeled")


def payload(name: str) -> bytes:
    return (DATA / f"{name}.json").read_bytes()


def signed(kind: str, body: bytes, secret: str = SECRET) -> dict[str, str]:
    """As the forge computes it."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "github": {"X-Hub-Signature-256": f"sha256={digest}"},
        "gitlab": {"X-Gitlab-Token": secret},
        "gitea": {"X-Gitea-Signature": digest, "X-Gogs-Signature": digest},
    }[kind]


class ForgeSide:
    """The forge, as far as it sends. Weft mirrors the repository that its examples are about."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def gate(self, kind: str, **changes: Any) -> ForgeGate:
        given = {"organisation": "default", "upstream": UPSTREAMS[kind], "secrets": (SECRET,)}
        return ForgeGate(**(given | changes))

    def send(
        self, name: str, *, secret: str = SECRET, gate: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        body = payload(name)
        kind = name.partition("-")[0]
        return self.post(kind, body, name=EVENTS["-".join(name.split("-")[:2])], secret=secret, gate=gate)

    def post(
        self,
        kind: str,
        body: bytes,
        *,
        name: str,
        secret: str = SECRET,
        gate: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        event = {"github": "X-GitHub-Event", "gitlab": "X-Gitlab-Event", "gitea": "X-Gitea-Event"}[kind]
        sent = {
            "Content-Type": "application/json",
            event: name,
            **signed(kind, body, secret),
            **(headers or {}),
        }
        events = ForgeEvents(self.database, self.gate(kind, **(gate or {})))
        app = Starlette(routes=events.routes, exception_handlers=EXCEPTION_HANDLERS)
        with Served(app) as served:
            url = f"http://127.0.0.1:{served.port}/forge/{kind}"
            return httpx.post(url, content=body, headers=sent, verify=NO_TLS)

    def kept(self) -> list[tuple[Any, ...]]:
        with self.database.connection() as connection:
            return connection.execute(
                "SELECT forge, repository, number, state, events, due_at <= now() FROM pull_requests"
            ).fetchall()


@pytest.fixture
def forge(database_url: str) -> Iterator[ForgeSide]:
    database = Database(database_url, connections=2)
    yield ForgeSide(database)
    database.close()


@pytest.fixture
def asked(database_url: str, forge: ForgeSide) -> Iterator[list[str]]:
    """Organisations whose upstream shall be looked at; read when the test asks for it."""

    class Asked(list[str]):
        def __call__(self) -> list[str]:
            self.extend(one.payload for one in connection.notifies(timeout=0.2))
            return list(self)

    with connect(database_url) as connection:
        connection.execute(f"LISTEN {UPSTREAM_ASKED}".encode())
        yield Asked()


@pytest.mark.parametrize(("name", "number"), TELLING.items())
def test_a_pull_request_is_kept_when_its_event_is_answered(forge: ForgeSide, name: str, number: int) -> None:
    answer = forge.send(name)
    assert answer.status_code == 202, answer.text
    kind = name.partition("-")[0]
    repository = {"github": "codertocat/hello-world", "gitlab": "acme/ops/flows", "gitea": "acme/flows"}[kind]
    assert forge.kept() == [(kind, repository, number, "open", 1, True)]


@pytest.mark.parametrize(
    ("name", "number"), [("opened", 1), ("merged", 1), ("closed", 2), ("labeled", None), ("approved", None)]
)
def test_what_gitlab_really_sent_about_merge_requests(
    forge: ForgeSide, name: str, number: int | None
) -> None:
    body = payload(f"gitlab-recorded-merge-request-{name}")
    gate = {"upstream": "https://gitlab.com/FabioRosado/test-project.git"}
    answer = forge.post("gitlab", body, name="Merge Request Hook", gate=gate)
    assert answer.status_code == 202, answer.text
    row = ("gitlab", "fabiorosado/test-project", number, "open", 1, True)
    assert forge.kept() == ([row] if number else [])


@pytest.mark.parametrize(
    ("kind", "name", "event", "upstream"),
    [
        ("gitlab", "gitlab-recorded-push", "Push Hook", "git@example.com:mike/diaspora.git"),
        ("gitea", "gitea-published-push", "push", "ssh://gitea@localhost:2222/gitea/webhooks.git"),
    ],
)
def test_what_forges_publish_about_pushes(
    forge: ForgeSide, asked: Any, kind: str, name: str, event: str, upstream: str
) -> None:
    body, gate = payload(name), {"upstream": upstream}
    wrong = forge.post(kind, body, name=event, gate=gate, secret="not-the-secret-of-the-webhook")
    assert (wrong.status_code, asked()) == (401, [])
    assert forge.post(kind, body, name=event, gate=gate).status_code == 202
    assert asked() == ["default"]


@pytest.mark.parametrize("name", PUSHES)
def test_a_push_asks_for_a_look_at_the_upstream(forge: ForgeSide, asked: Any, name: str) -> None:
    answer = forge.send(name)
    assert (answer.status_code, answer.json()["does"]) == (202, "the upstream is looked at now")
    assert asked() == ["default"]
    assert forge.kept() == []


@pytest.mark.parametrize("name", [*PUSHES, *TELLING])
def test_a_wrong_signature_is_401_and_changes_nothing(forge: ForgeSide, asked: Any, name: str) -> None:
    answer = forge.send(name, secret="not-the-secret-of-the-webhook")
    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:weft:problem:not-signed"
    assert "WEFT_FORGE_SECRET" in answer.json()["detail"]
    assert SECRET not in answer.text
    assert (forge.kept(), asked()) == ([], [])


@pytest.mark.parametrize("kind", ForgeKind)
def test_what_is_not_signed_is_not_read(forge: ForgeSide, kind: str) -> None:
    assert forge.post(kind, b"{not JSON", name="push", secret="another-secret-it-is").status_code == 401
    assert forge.post(kind, b"{not JSON", name="push").status_code == 400


def test_of_two_secrets_either_will_do(forge: ForgeSide) -> None:
    both = {"secrets": ("the-secret-that-comes", SECRET)}
    assert forge.send("github-push", gate=both).status_code == 202
    assert forge.send("github-push", secret="the-secret-that-comes", gate=both).status_code == 202


def test_a_ping_says_that_all_is_right(forge: ForgeSide) -> None:
    answer = forge.send("github-ping", gate={"upstream": "https://github.com/octocoders/hello-world"})
    assert (answer.status_code, answer.json()["does"]) == (200, "the secret and the repository are right")


@pytest.mark.parametrize("name", SILENT)
def test_what_changes_no_plan_does_nothing(forge: ForgeSide, name: str) -> None:
    answer = forge.send(name)
    assert answer.status_code == 202
    assert answer.json()["does"].startswith("nothing: ")
    assert forge.kept() == []


def test_other_events_do_nothing(forge: ForgeSide) -> None:
    answer = forge.post("github", payload("github-push"), name="star")
    assert answer.status_code == 202
    assert answer.json() == {
        "event": "star",
        "does": "nothing: Weft acts on pushes, and on pull requests whose plan may change",
    }


@pytest.mark.parametrize("name", ["github-push", "github-pull-request-opened", "github-ping", "gitlab-push"])
def test_an_event_of_another_repository_is_refused(forge: ForgeSide, asked: Any, name: str) -> None:
    answer = forge.send(name, gate={"upstream": "https://github.com/acme/flows"})
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith("This installation mirrors acme/flows, and this is about ")
    assert (forge.kept(), asked()) == ([], [])


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"upstream": None}, "set WEFT_UPSTREAM "),
        ({"secrets": ()}, "set WEFT_FORGE_SECRET "),
        ({"upstream": "/flows.git"}, "does not end in the owner and name"),
    ],
)
def test_what_is_not_set_is_said(forge: ForgeSide, gate: dict[str, Any], said: str) -> None:
    answer = forge.send("github-push", gate=gate)
    assert answer.status_code == 404
    assert said in answer.json()["detail"]


def test_a_form_is_read_as_well(forge: ForgeSide) -> None:
    body = urlencode({"payload": payload("github-pull-request-opened").decode()}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = forge.post("github", body, name="pull_request", headers=headers)
    assert answer.status_code == 202, answer.text
    assert len(forge.kept()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"number": "2"},
        {"number": True},
        {"number": 0},
        {"number": 2**31},
        {"number": None},
        {"repository": None},
    ],
    ids=str,
)
def test_a_malformed_event_is_refused(forge: ForgeSide, change: dict[str, Any]) -> None:
    body = orjson.dumps(orjson.loads(payload("github-pull-request-opened")) | change)
    answer = forge.post("github", body, name="pull_request")
    assert answer.status_code == (403 if "repository" in change else 400)
    assert forge.kept() == []


@pytest.mark.parametrize("body", [b"[]", b"", b"null", b"\xff", b"payload=1&payload"])
def test_what_is_no_json_object_is_refused(forge: ForgeSide, body: bytes) -> None:
    assert forge.post("gitea", body, name="push").status_code == 400


def test_an_event_without_its_name_is_refused(forge: ForgeSide) -> None:
    answer = forge.post("github", payload("github-push"), name="push", headers={"X-GitHub-Event": ""})
    assert answer.status_code == 202
    assert "nothing" in answer.text


def test_a_huge_event_is_refused(forge: ForgeSide) -> None:
    body = b"[" + b" " * MAX_BODY + b"]"
    answer = forge.post("github", body, name="push")
    assert answer.status_code == 413
    assert "5,242,880 bytes" in answer.json()["detail"]


def test_other_methods_and_forges_are_refused(forge: ForgeSide) -> None:
    app = Starlette(
        routes=ForgeEvents(forge.database, forge.gate("github")).routes, exception_handlers=EXCEPTION_HANDLERS
    )
    with Served(app) as served:
        url = f"http://127.0.0.1:{served.port}/forge"
        assert httpx.get(f"{url}/github", verify=NO_TLS).status_code == 405
        assert httpx.post(f"{url}/bitbucket", verify=NO_TLS).status_code == 404
