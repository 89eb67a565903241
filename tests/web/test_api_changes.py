"""Changes over HTTP: pushed by one, approved by another, merged as planned, or refused with every reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_site import Site
from git_work import Work, deployment, pattern

from store.ids import new_id

SETTINGS = """\
apiVersion: weft/v1
kind: Project
metadata: {name: shop}
spec:
  groups: {maintainers: [alice, bob, dora]}
  protect: {main: {approvals: 1, push: [maintainers]}}
"""
FILES = {"patterns/a.yaml": pattern("a", "one"), "deployments/a.yaml": deployment("a")}


@pytest.fixture
def site(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Site]:
    with Site(database_url, redis_url, tmp_path / "git") as site:
        yield site


@pytest.fixture
def work(site: Site, tmp_path: Path) -> Work:
    """`a` is live, main asks for one approval."""
    work = Work(tmp_path / "work", site.reconciler)
    work.commit({**FILES, "weft.yaml": SETTINGS}, "Begin")
    assert not work.push(admin=True).refused
    return work


class Person:
    """A user with a token of a role, over HTTP."""

    def __init__(self, site: Site, user: str, role: str = "editor") -> None:
        text = f"{user}-{new_id()}"
        self.user, self.site, self.token = user, site, text
        site.execute(
            "INSERT INTO tokens (id, organisation, user_name, role, hash) VALUES (%s, 'default', %s, %s, %s)",
            new_id(), user, role, hashlib.sha256(text.encode()).digest(),
        )  # fmt: skip

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self.site.client(self.token) as http:
            return http.request(method, path, **options)

    def does(self, verb: str, branch: str, body: dict[str, Any] | None = None, *, status: int = 200) -> Any:
        answer = self.ask("POST", f"/changes/{branch}/{verb}", json=body or {})
        assert answer.status_code == status, answer.text
        return answer.json()

    def sees(self, branch: str, *, status: int = 200) -> Any:
        answer = self.ask("GET", f"/changes/{branch}")
        assert answer.status_code == status, answer.text
        return answer.json()


def propose(work: Work, branch: str, message: str, *, by: str = "carol", start: str = "main") -> str:
    """A branch that changes what `a` says, pushed. Gives its head."""
    work.git("checkout", "-q", "-B", branch, start)
    head = work.commit({"patterns/a.yaml": pattern("a", message)}, f"Say {message}")
    assert not work.push(branch, pusher=by).refused
    return head


def test_one_proposes_another_approves_and_it_is_merged_as_planned(site: Site, work: Work) -> None:
    head = propose(work, "carol/two", "two")
    alice = Person(site, "alice")
    planned = alice.sees("carol/two")
    assert not planned["mergeable"]
    assert planned["reasons"] == ["it needs 1 approval and has 0"]
    assert alice.does("approve", "carol/two", {"message": "good", "head": head})["approved"] == 1
    done = alice.does("merge", "carol/two", {"message": "At last."})
    assert [s["name"] for s in done["plan"]["deployments"]] == ["a"]
    assert done["plan"]["deployments"] == planned["plan"]["deployments"]
    text = work.git("log", "-1", "--format=%an <%ae>%n%P%n%B", done["commit"], GIT_DIR=str(work.bare)).strip()
    main = work.git("rev-parse", "main")
    assert text == (
        f"alice <alice@weft.test>\n{main} {head}\nMerge carol/two: Say two\n\nAt last.\n\n"
        "Weft-Action: merge\nWeft-Change: carol/two\nApproved-by: alice <alice@weft.test>"
    )
    assert alice.sees("carol/two")["state"] == "merged"
