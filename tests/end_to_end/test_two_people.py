"""Two people with tokens of their own, who use `weft`, `git` and HTTP as people do, against a `weft up`."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from git_clone import git_environment
from installation import Installation, installation, live
from weft_command import weft

LOG = "- {id: note, uses: log, with: {message: hello}}"
SETTINGS = """\
apiVersion: weft/v1
kind: Project
metadata: {name: shop}
spec:
  groups: {maintainers: [alice]}
  protect:
    main: {push: [maintainers]}
    tags: {"*/production": {push: [maintainers]}}
"""
FILES = live("hello", LOG) | {"weft.yaml": SETTINGS}


class Person:
    """One with a token, and a clone of the repository."""

    def __init__(self, service: Installation, name: str, role: str, folder: Path) -> None:
        self.service = service
        self.folder = folder / name
        made = admin(service, "token", "create", "--user", name, "--role", role)
        self.token = made.stdout.strip()
        found = re.search(r"weft token revoke (\S+)", made.stderr)
        assert found, made.stderr
        self.id = found[1]

    def url(self) -> str:
        return f"http://me:{self.token}@{self.service.address}/git/default.git"

    def clone(self) -> None:
        self.folder.parent.mkdir(exist_ok=True)
        subprocess.run(
            ["git", "clone", "-q", self.url(), str(self.folder)],
            env=git_environment(self.folder.parent), check=True, capture_output=True,
        )  # fmt: skip

    def commit(self, files: dict[str, str]) -> str:
        for path, text in files.items():
            (self.folder / path).write_text(text)
        self.git("commit", "-qam", "Change")
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str, fails: bool = False) -> str:
        """What Git said on both of its outputs."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=git_environment(self.folder.parent),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def weft(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {"WEFT_URL": f"http://{self.service.address}", "WEFT_TOKEN": self.token}
        return weft(*arguments, environ=environ)

    def status(self, path: str = "runs") -> int:
        url = f"http://{self.service.address}/api/v1/{path}"
        return httpx.get(url, headers={"Authorization": f"Bearer {self.token}"}, trust_env=False).status_code


def admin(service: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`weft` on the machine that has the data folder."""
    done = weft(*arguments, environ={"WEFT_DATA": str(service.data)})
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def service() -> Iterator[Installation]:
    with installation() as found:
        found.push(FILES)
        yield found


@pytest.fixture(scope="module")
def alice(service: Installation, tmp_path_factory: pytest.TempPathFactory) -> Person:
    person = Person(service, "alice", "editor", tmp_path_factory.mktemp("people"))
    person.clone()
    return person


@pytest.fixture(scope="module")
def carol(service: Installation, tmp_path_factory: pytest.TempPathFactory) -> Person:
    person = Person(service, "carol", "editor", tmp_path_factory.mktemp("people"))
    person.clone()
    return person


def test_a_push_to_a_protected_branch_is_refused_with_the_way_to_propose_it(
    service: Installation, alice: Person, carol: Person
) -> None:
    changed = live("hello", LOG.replace("hello", "changed"))
    head = carol.commit(changed)
    said = carol.git("push", "origin", "main", fails=True)
    assert (
        "remote: refs/heads/main is protected by weft.yaml: maintainers (alice) and admins may push there; "
        in said
    )
    assert (
        "! [remote rejected] main -> main (protected by weft.yaml: maintainers (alice) and admins may" in said
    )
    propose = re.search(r"remote:   (git push origin \S+)", said)
    assert propose, said
    said = carol.git(*propose[1].split()[1:])
    assert "carol/my-change: a merge of this into main: 1 changed" in said
    assert "hello" in said
    alice.git("pull", "-q", "origin", "carol/my-change")
    assert re.search(r"hello  v1 → v2  live in \d+ ms", alice.git("push", "origin", "main"))
    newest = service.get("/api/v1/refs/moves?ref=main&limit=1")["items"][0]
    assert (newest["new"], newest["user"]) == (head, "alice")
    assert service.get("/api/v1/deployments/hello/revisions")["items"][0]["actor"] == "alice"


def test_a_protected_tag_is_moved_by_those_who_may_and_by_admins(
    service: Installation, alice: Person, carol: Person
) -> None:
    carol.git("tag", "hello/production")
    carol.git("tag", "hello/staging")
    said = carol.git("push", "origin", "hello/production", "hello/staging", fails=True)
    assert "refs/tags/hello/production is protected" in said
    assert "hello/staging (not moved, because refs/tags/hello/production was refused)" in said
    carol.git("push", "origin", "hello/staging")
    alice.git("tag", "hello/production")
    alice.git("push", "origin", "hello/production")
    assert "is protected" in carol.git("push", "origin", "--delete", "hello/production", fails=True)
    root = f"http://admin:{service.token}@{service.address}/git/default.git"
    carol.git("push", root, "--delete", "hello/production")
    listed = admin(service, "pushes", "hello/production").stdout.splitlines()
    assert [line.split()[1:] for line in listed[1:]] == [
        ["admin", "tags/hello/production", alice.git("rev-parse", "HEAD")[:10], "-"],
        ["alice", "tags/hello/production", "-", alice.git("rev-parse", "HEAD")[:10]],
    ]
    found = json.loads(carol.weft("pushes", "--json", "--limit", "2").stdout)
    assert [one["user"] for one in found] == ["admin", "alice"]


def test_what_may_not_be_pushed_may_not_be_done_by_an_action(
    service: Installation, alice: Person, carol: Person
) -> None:
    before = service.get("/api/v1/refs/moves?ref=main")["items"]
    refused = carol.weft("pause", "hello")
    assert refused.returncode == 1
    assert (
        "refs/heads/main is protected by weft.yaml: maintainers (alice) and admins may push" in refused.stderr
    )
    assert "git push origin HEAD:refs/heads/carol/my-change" in refused.stderr
    assert service.get("/api/v1/refs/moves?ref=main")["items"] == before
    assert alice.weft("pause", "hello").returncode == 0
    admin(service, "resume", "hello")
    newest = service.get("/api/v1/refs/moves?ref=main&limit=2")["items"]
    assert [move["user"] for move in newest] == ["admin", "alice"]
    alice.git("pull", "-q", "origin", "main")
    assert alice.git("log", "-2", "--format=%an").split() == ["admin", "alice"]


def test_a_viewer_reads_and_neither_pushes_nor_makes_tokens(service: Installation, tmp_path: Path) -> None:
    vic = Person(service, "vic", "viewer", tmp_path)
    vic.clone()
    vic.commit(live("hello", LOG.replace("hello", "vic")))
    assert "403" in vic.git("push", "origin", "HEAD:refs/heads/vic/my-change", fails=True)
    refused = vic.weft("token", "create", "--user", "vic", "--role", "admin")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "This needs the role admin; vic is viewer." in refused.stderr
    assert vic.weft("token", "list").returncode == 1
    assert vic.weft("deployments").returncode == 0


def test_a_revoked_and_an_expired_token_open_nothing(service: Installation, tmp_path: Path) -> None:
    eve = Person(service, "eve", "editor", tmp_path)
    eve.clone()
    assert eve.status() == 200
    assert admin(service, "token", "revoke", eve.id).stdout == "eve's token (editor) is taken back.\n"
    assert eve.status() == 401
    assert "Authentication failed" in eve.git("fetch", fails=True)
    assert "unknown or has expired" in eve.weft("runs").stderr
    short = admin(
        service, "token", "create", "--user", "eve", "--role", "editor", "--expires", "300ms", "--json"
    )
    eve.token = json.loads(short.stdout)["token"]
    service.rows("SELECT pg_sleep(0.35)")
    assert eve.status() == 401
    assert "expired" in admin(service, "token", "list").stdout
    gone = weft("token", "revoke", eve.id, environ={"WEFT_DATA": str(service.data)})
    assert gone.returncode == 1
    assert "weft token list" in gone.stderr
    mistaken = weft("token", "revoke", eve.token, environ={"WEFT_DATA": str(service.data)})
    assert mistaken.returncode == 2
    assert eve.token not in mistaken.stderr


def test_what_is_wrong_with_a_token_that_is_asked_for_is_said(service: Installation) -> None:
    environ = {"WEFT_DATA": str(service.data)}
    wrong = ("--user", "Ada Lovelace", "--role", "owner", "--expires", "soon")
    said = weft("token", "create", *wrong, environ=environ)
    assert said.returncode == 2
    for line in (
        "  user: a name has",
        "  role: it takes one of viewer, editor, operator, admin",
        "  expires: it takes",
    ):
        assert line in said.stderr


def test_no_token_is_in_a_list_the_log_or_the_data_folder(
    service: Installation, alice: Person, carol: Person
) -> None:
    listed = admin(service, "token", "list").stdout + admin(service, "token", "list", "--json").stdout
    log = (service.folder / "log").read_text()
    logs = [path.read_text(errors="replace") for path in (service.data / "log").rglob("*") if path.is_file()]
    for person in (alice, carol):
        assert person.id in listed
        for text in (
            listed,
            log,
            *logs,
            json.dumps(service.rows("SELECT row_to_json(t)::text FROM tokens t")),
        ):
            assert person.token not in text


def test_who_pushed_is_still_known_after_a_rebuild(service: Installation) -> None:
    before = service.get("/api/v1/refs/moves?limit=200")
    admin(service, "rebuild")
    assert service.get("/api/v1/refs/moves?limit=200") == before
    assert {one["user"] for one in before["items"]} >= {"admin"}


@pytest.fixture(scope="module")
def reviewed(service: Installation, alice: Person, carol: Person) -> str:
    """From here on main takes reviewed changes alone. Gives its commit."""
    alice.git("checkout", "-q", "main")
    alice.git("pull", "-q", "origin", "main")
    head = alice.commit({"weft.yaml": SETTINGS.replace("main: {", "main: {approvals: 1, ")})
    alice.git("push", "-q", "origin", "main")
    carol.git("fetch", "-q", "origin")
    return head


def proposed(person: Person, branch: str, word: str) -> tuple[str, str]:
    """A branch of main as it is, pushed. Gives its head, and what the push said."""
    person.git("fetch", "-q", "origin")
    person.git("checkout", "-q", "-B", branch, "origin/main")
    head = person.commit(live("hello", LOG.replace("hello", word)))
    return head, person.git("push", "-f", "origin", branch)


def test_one_proposes_and_the_other_approves_and_merges(
    service: Installation, alice: Person, carol: Person, reviewed: str
) -> None:
    alice.git("commit", "--allow-empty", "-qm", "No")
    said = alice.git("push", "origin", "main", fails=True)
    assert "it takes changes with 1 approval; only admins may push there; alice may not." in said
    assert "remote:   git push origin HEAD:refs/heads/alice/my-change" in said
    assert "remote:   weft approve alice/my-change" in said
    assert alice.weft("pause", "hello").returncode == 1

    head, said = proposed(carol, "carol/reviewed", "reviewed")
    assert "carol/reviewed: a merge of this into main: 1 changed" in said
    url = f"http://{service.address}/api/v1/changes/carol/reviewed"
    assert f"remote: review it: weft change carol/reviewed   {url}" in said
    listed = alice.weft("changes").stdout
    assert re.search(rf"carol/reviewed +open +0 of 1 +{head[:10]} .* carol, .*Change", listed)
    shown = alice.weft("change", "carol/reviewed", "--diff").stdout
    for line in (
        "Missing    it needs 1 approval and has 0",
        "v2 → v3  changed",
        "+    - {id: note, uses: log",
    ):
        assert line in shown
    own = carol.weft("approve", "carol/reviewed")
    assert own.returncode == 1
    assert "carol pushed it: authors do not approve their own change" in own.stderr
    early = alice.weft("merge", "carol/reviewed")
    assert (early.returncode, "  it needs 1 approval and has 0" in early.stderr) == (1, True)
    approved = alice.weft("approve", "carol/reviewed", "-m", "well done", "--head", head)
    assert approved.stdout == (
        f"carol/reviewed is approved at {head[:10]}; approvals: 1 of 1\nmerge it: weft merge carol/reviewed\n"
    )
    planned = json.loads(alice.weft("change", "carol/reviewed", "--json").stdout)
    merged = alice.weft("merge", "carol/reviewed")
    assert merged.returncode == 0, merged.stderr

    alice.git("checkout", "-q", "main")
    alice.git("fetch", "-q", "origin")
    assert merged.stdout.startswith(f"main is at {alice.git('rev-parse', 'origin/main')[:10]}\n1 changed")
    assert alice.git("log", "-1", "--format=%an%n%P%n%B", "origin/main").strip() == (
        f"alice\n{reviewed} {head}\nMerge carol/reviewed: Change\n\n"
        "Weft-Action: merge\nWeft-Change: carol/reviewed\nApproved-by: alice <alice@127.0.0.1>"
    )
    version = service.get("/api/v1/deployments/hello")["version"]
    assert version["id"] == planned["plan"]["deployments"][0]["version"]["to"]["id"]
    assert service.get("/api/v1/refs/moves?ref=main&limit=1")["items"][0]["user"] == "alice"
    assert alice.weft("changes").stdout == "No change is open: push a branch to propose one.\n"
    assert "merged" in alice.weft("changes", "--all").stdout
    assert "\nBy " not in alice.weft("change", "carol/reviewed").stdout


def test_an_admin_does_not_approve_a_change_of_their_own_either(
    service: Installation, carol: Person, reviewed: str
) -> None:
    proposed(carol, "roots", "roots")
    carol.git("push", f"http://x:{service.token}@{service.address}/git/default.git", "roots:by-root")
    own = weft("approve", "by-root", environ={"WEFT_DATA": str(service.data)})
    assert own.returncode == 1
    assert "admin pushed it: authors do not approve their own change, be they admins or not." in own.stderr
    assert carol.weft("close", "by-root", "-m", "no").stdout.startswith("by-root is closed at ")
    assert carol.weft("close", "roots").returncode == 0


def test_what_was_approved_is_merged_or_nothing(alice: Person, carol: Person, reviewed: str) -> None:
    first, _ = proposed(carol, "carol/sly", "honest")
    assert alice.weft("approve", "carol/sly").returncode == 0
    second = carol.commit(live("hello", LOG.replace("hello", "sly")))
    carol.git("push", "-q", "origin", "carol/sly")
    refused = alice.weft("merge", "carol/sly")
    assert refused.returncode == 1
    assert f"  alice approved {first[:10]}, the branch is at {second[:10]} now" in refused.stderr
    shown = alice.weft("change", "carol/sly").stdout
    assert f"(does not count: alice approved {first[:10]}, the branch is at {second[:10]} now)" in shown
    # Closed, it is opened again by the next push; back at what was approved, it is merged.
    assert carol.weft("close", "carol/sly").returncode == 0
    assert "carol closed it; a push to carol/sly opens it again" in alice.weft("merge", "carol/sly").stderr
    carol.git("push", "-q", "-f", "origin", f"{first}:carol/sly")
    assert alice.weft("merge", "carol/sly").returncode == 0
    # Whoever comes too late conflicts with it.
    carol.git("checkout", "-q", "-B", "carol/late", reviewed)
    carol.commit(live("hello", LOG.replace("hello", "late")))
    assert "this cannot be merged into main" in carol.git("push", "origin", "carol/late")
    late = alice.weft("approve", "carol/late")
    assert (late.returncode, "conflicts with" in late.stderr) == (1, True)
