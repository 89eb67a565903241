"""Pull requests get their plan: a real repository as the upstream, real PostgreSQL, and a forge's API as it is."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from forge_site import BOT, TOKEN, Failure, ForgeSite, Pull
from git_work import ENVIRONMENT, Work, deployment, pattern

from reconciler.forges.loop import Mirrored, PullRequestLoop
from reconciler.forges.opening import open_forge
from reconciler.forges.teller import Teller
from reconciler.forges.telling import MARKER
from reconciler.git.refs import ABSENT, RefUpdate
from reconciler.git.repository import Repository
from reconciler.reconciler import Reconciler
from reconciler.upstream.remote import Remote
from store.database import Database
from store.forge import Place, PullRequest, add_event, list_pull_requests

LIVE = {"patterns/hello.yaml": pattern("hello"), "deployments/hello.yaml": deployment("hello")}
FORGES = ("github", "gitlab", "gitea")
HEADS = {"github": "refs/pull/{}/head", "gitea": "refs/pull/{}/head", "gitlab": "refs/merge-requests/{}/head"}


class Upstream:
    """A repository that Weft mirrors, the forge that keeps it, and the controller's thread, turned by hand."""

    def __init__(
        self, folder: Path, work: Work, database: Database, reconciler: Reconciler, kind: str
    ) -> None:
        self.kind, self.work, self.database, self.reconciler = kind, work, database, reconciler
        self.bare = folder / "upstream.git"
        subprocess.run(
            ["git", "init", "-q", "--bare", str(self.bare)], env=ENVIRONMENT, check=True, capture_output=True
        )
        work.commit(LIVE, "Say hello")
        self.main()

    def main(self) -> None:
        """What is on main is live in Weft, as after a sync."""
        self.work.push("main")
        self.work.git("push", "-q", str(self.bare), "main")

    def propose(self, site: ForgeSite, files: dict[str, str | None], number: int = 1) -> str:
        """A new commit of the pull request's branch, known to the forge and its Git."""
        self.work.git("checkout", "-q", "-B", f"pull-{number}")
        head = self.work.commit(files, "Propose")
        self.work.git("push", "-q", "-f", str(self.bare), f"HEAD:{HEADS[self.kind].format(number)}")
        self.work.git("checkout", "-q", "main")
        site.pulls[number] = Pull(head=head)
        return head

    def event(self, site: ForgeSite, number: int = 1) -> None:
        with self.database.connection() as connection:
            add_event(connection, Place("default", self.kind, site.repository), number)

    def loop(self, site: ForgeSite, token: str | None = TOKEN) -> PullRequestLoop:
        place = Mirrored(organisation="default", upstream=site.url, api=site.api)
        remote = Remote(str(self.bare))
        teller = Teller(self.database, self.reconciler, remote, "default")
        return PullRequestLoop(self.database, teller, partial(open_forge, token=token), place)

    def work_off(self, site: ForgeSite, **options: Any) -> float:
        return self.loop(site, **options).tick(threading.Event())

    def row(self) -> PullRequest:
        with self.database.connection() as connection:
            (row,) = list_pull_requests(connection, "default", 10)
        return row

    def due_now(self) -> None:
        """The time has come that somebody waits for."""
        with self.database.connection() as connection:
            connection.execute(
                "UPDATE pull_requests SET due_at = now(), claimed = false WHERE due_at IS NOT NULL"
            )

    def private_refs(self) -> str:
        return subprocess.run(
            ["git", "for-each-ref", "--format=%(refname)", "refs/weft"],
            cwd=self.work.bare, env=ENVIRONMENT, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip


@pytest.fixture
def make(tmp_path: Path, work: Work, database: Database, reconciler: Reconciler) -> Callable[[str], Upstream]:
    return lambda kind: Upstream(tmp_path, work, database, reconciler, kind)


@pytest.fixture
def kind() -> str:
    """What is not about a forge's protocol is shown with one of them."""
    return "github"


everywhere = pytest.mark.parametrize("kind", FORGES)


@pytest.fixture
def upstream(make: Callable[[str], Upstream], kind: str) -> Upstream:
    return make(kind)


@pytest.fixture
def site(kind: str) -> Iterator[ForgeSite]:
    with ForgeSite(kind) as found:
        yield found


CHANGED = {"patterns/hello.yaml": pattern("hello", "good morning")}
GAVE_UP = {"github": "error", "gitlab": "failed", "gitea": "error"}
FAILED = {"github": "failure", "gitlab": "failed", "gitea": "failure"}


@everywhere
def test_a_pull_request_gets_one_comment_that_is_edited_and_a_status(
    upstream: Upstream, site: ForgeSite, kind: str
) -> None:
    first = upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.work_off(site)
    (comment,) = site.of_bot()
    assert comment.startswith(f"{MARKER}\n**Weft plan:** 1 changed")
    assert "| `hello` | v1 → " in comment
    assert site.status(first) == ("success", "1 changed")
    assert [one["state"] for one in site.statuses] == ["pending", "success"]
    if kind != "gitlab":
        assert site.statuses[-1]["url"].startswith("http://forge.test/acme/flows/pull/1#issuecomment-")

    upstream.work.git("checkout", "-q", "pull-1")
    second = upstream.propose(site, {"deployments/second.yaml": deployment("second", "hello")})
    upstream.event(site)
    upstream.work_off(site)
    (comment,) = site.of_bot()
    assert "1 created" in comment
    assert "second" in comment
    assert site.status(second) == ("success", "1 created, 1 changed")
    row = upstream.row()
    assert (row.state, row.head, row.due_at, row.error, row.attempts) == ("open", second, None, None, 0)


@everywhere
def test_the_same_event_twice_makes_one_comment(upstream: Upstream, site: ForgeSite) -> None:
    upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.event(site)
    upstream.work_off(site)
    upstream.event(site)
    upstream.work_off(site)
    assert len(site.of_bot()) == 1
    assert site.asked("POST") - site.asked_for_statuses() == 1
    assert (upstream.row().state, upstream.row().error) == ("open", None)


@everywhere
def test_a_comment_of_somebody_else_with_the_marker_is_left_alone(
    upstream: Upstream, site: ForgeSite
) -> None:
    for number in range(8):  # the list has more than one page
        site.said("mallory", f"{MARKER}\nAll is well, {number}")
    upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.work_off(site)
    assert len(site.of_bot()) == 1
    assert [one["body"] for one in site.comments if one["author"] == "mallory"] == [
        f"{MARKER}\nAll is well, {number}" for number in range(8)
    ]


@everywhere
def test_our_own_comment_is_found_again_when_the_row_is_lost(upstream: Upstream, site: ForgeSite) -> None:
    site.said("ada", "What does this do?")
    for number in range(4):
        site.said("ada", f"Ping {number}")
    site.said(BOT, f"{MARKER}\nan old plan")
    upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.work_off(site)
    (comment,) = site.of_bot()
    assert "1 changed" in comment


def test_a_comment_that_was_deleted_is_written_anew(upstream: Upstream, site: ForgeSite) -> None:
    upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.work_off(site)
    site.comments.clear()
    upstream.event(site)
    upstream.work_off(site)
    assert len(site.of_bot()) == 1


def test_a_controller_killed_between_the_comment_and_noting_it_leaves_one_comment(
    upstream: Upstream, site: ForgeSite
) -> None:
    class Killed(BaseException):
        pass

    def keep(*_: object) -> None:
        raise Killed

    upstream.propose(site, CHANGED)
    upstream.event(site)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reconciler.forges.teller.keep_comment", keep)
        with pytest.raises(Killed):
            upstream.work_off(site)
    assert len(site.of_bot()) == 1
    assert upstream.row().comment is None
    upstream.work_off(site)
    assert site.asked("POST") - site.asked_for_statuses() == 1, "it is claimed, until the lease is over"
    upstream.due_now()
    upstream.work_off(site)
    assert len(site.of_bot()) == 1
    assert upstream.row().due_at is None


def test_an_answer_that_never_came_does_not_make_a_second_comment(
    upstream: Upstream, site: ForgeSite
) -> None:
    site.failures.append(Failure("POST .*(comments|notes)", 0, after=lambda: None))
    upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.work_off(site)
    row = upstream.row()
    assert row.error is not None
    assert (row.attempts, row.state) == (1, "open")
    upstream.due_now()
    upstream.work_off(site)
    assert len(site.of_bot()) == 1
    assert upstream.row().error is None


@pytest.mark.parametrize("status", [500, 502, 429])
def test_what_fails_for_a_moment_is_tried_again(upstream: Upstream, site: ForgeSite, status: int) -> None:
    site.failures.append(Failure("GET .*(pulls|merge_requests)/1", status))
    head = upstream.propose(site, CHANGED)
    upstream.event(site)
    pause = upstream.work_off(site)
    assert pause == pytest.approx(5.0 if status != 429 else 30.0, abs=1.0)
    assert f"status {status}" in str(upstream.row().error)
    assert site.of_bot() == []
    upstream.due_now()
    upstream.work_off(site)
    assert len(site.of_bot()) == 1
    assert site.status(head)[1] == "1 changed"


def test_what_the_forge_says_with_control_characters_can_be_kept(upstream: Upstream, site: ForgeSite) -> None:
    site.failures.append(Failure("GET", 502, body={"message": "bad\0 gateway\x1b[2J"}))
    upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.work_off(site)
    assert "502 (bad gateway [2J)" in str(upstream.row().error)


def test_a_rate_limit_is_waited_out(upstream: Upstream, site: ForgeSite, database: Database) -> None:
    site.failures.append(Failure("GET", 429, {"Retry-After": "120"}))
    upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.work_off(site)
    with database.connection() as connection:
        (wait,) = (
            connection.execute("SELECT extract(epoch FROM due_at - now()) FROM pull_requests").fetchone()
            or ()
        )
    assert float(wait) == pytest.approx(120, abs=3)


@everywhere
def test_what_a_token_may_not_do_is_given_up_with_a_reason(
    upstream: Upstream, site: ForgeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site.failures.append(Failure("POST .*(comments|notes)", 403, body={"message": "Must have write access"}))
    head = upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.work_off(site)
    row = upstream.row()
    assert (row.state, row.due_at) == ("given-up", None)
    assert site.status(head) == (
        GAVE_UP[site.kind],
        "Weft could not tell its plan and gave up; its log says why",
    )
    assert "403 (Must have write access)" in str(row.error)
    assert "WEFT_UPSTREAM_TOKEN" in str(row.error)
    assert [one.message for one in caplog.records if one.levelname == "ERROR"] == ["plan_not_told"]
    upstream.event(site)
    upstream.work_off(site)
    assert len(site.of_bot()) == 1
    assert upstream.row().state == "open"


def test_a_token_that_is_wrong_or_missing_is_said_and_shown_nowhere(
    upstream: Upstream, site: ForgeSite, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.propose(site, CHANGED)
    for token, said in (("a-wrong-secret", "the token is not valid"), (None, "set WEFT_UPSTREAM_TOKEN")):
        upstream.event(site)
        upstream.work_off(site, token=token)
        assert said in str(upstream.row().error)
    assert site.comments == []
    told = f"{upstream.row()} {[vars(one) for one in caplog.records]}"
    assert "a-wrong-secret" not in told


@everywhere
def test_files_with_problems_are_a_failure_that_names_them(
    upstream: Upstream, site: ForgeSite, kind: str
) -> None:
    head = upstream.propose(
        site, {"patterns/hello.yaml": pattern("hello").replace("uses: log", "uses: logg")}
    )
    upstream.event(site)
    upstream.work_off(site)
    (comment,) = site.of_bot()
    assert "would be refused: 2 problems in 2 files" in comment
    assert "patterns/hello.yaml:7:" in comment
    state, description = site.status(head)
    assert state == FAILED[kind]
    assert description.startswith("2 problems in 2 files: deployments/hello.yaml:")


def test_what_the_gate_would_refuse_is_a_failure(upstream: Upstream, site: ForgeSite, kind: str) -> None:
    head = upstream.propose(site, {"deployments/hello.yaml": None, "patterns/hello.yaml": None})
    upstream.event(site)
    upstream.work_off(site)
    assert "would undeploy 1 of 1 deployments" in site.of_bot()[0]
    assert site.status(head)[0] == FAILED[kind]


def test_a_conflict_is_a_failure_and_the_plan_comes_when_it_is_over(
    upstream: Upstream, site: ForgeSite, kind: str
) -> None:
    head = upstream.propose(site, CHANGED)
    upstream.work.commit({"patterns/hello.yaml": pattern("hello", "good evening")}, "Say it otherwise")
    upstream.main()
    upstream.event(site)
    upstream.work_off(site)
    (comment,) = site.of_bot()
    assert "conflicts with" in comment
    assert "patterns/hello.yaml" in comment
    assert site.status(head)[0] == FAILED[kind]

    upstream.work.commit(LIVE, "Say it as before")
    upstream.main()
    upstream.work_off(site)
    (comment,) = site.of_bot()
    assert "1 changed (merged into " in comment
    assert site.status(head) == ("success", "1 changed")


def test_a_plan_that_is_the_same_after_the_default_branch_has_moved_is_not_told_again(
    upstream: Upstream, site: ForgeSite
) -> None:
    upstream.propose(site, {"README.md": "Read me\n"})
    upstream.work.commit({"other.txt": "1"}, "Move on")
    upstream.main()
    upstream.event(site)
    upstream.work_off(site)
    asked = len(site.requests)
    upstream.work_off(site)
    assert len(site.requests) == asked, "nothing is due"
    upstream.work.commit({"other.txt": "2"}, "Move on again")
    upstream.main()
    upstream.work_off(site)
    assert [one.split()[0] for one in site.requests[asked:]] in ([], ["PATCH", "POST"], ["PUT", "POST"])


def test_a_pull_request_into_another_branch_is_nobodys_business(upstream: Upstream, site: ForgeSite) -> None:
    head = upstream.propose(site, CHANGED)
    site.pulls[1].base = "develop"
    upstream.event(site)
    upstream.work_off(site)
    assert (site.comments, site.statuses) == ([], [])
    site.pulls[1].base = "main"
    upstream.event(site)
    upstream.work_off(site)
    assert site.status(head) == ("success", "1 changed")
    site.pulls[1].base = "develop"
    upstream.event(site)
    upstream.work_off(site)
    assert "goes to `develop`, not to `main`" in site.of_bot()[0]


def test_an_event_before_the_first_look_at_the_upstream_waits_for_that(
    upstream: Upstream, site: ForgeSite
) -> None:
    head = upstream.propose(site, CHANGED)
    site.pulls[1].base = "trunk"
    bare, main = Repository(upstream.work.bare), "refs/heads/main"
    at = bare.refs()[main]
    bare.update_refs([RefUpdate(ref=main, old=at, new=ABSENT)])
    upstream.event(site)
    upstream.work_off(site)
    assert "has not been mirrored yet" in str(upstream.row().error)
    Repository(upstream.work.bare).update_refs([RefUpdate(ref="refs/heads/trunk", old=ABSENT, new=at)])
    Repository(upstream.work.bare).set_default_ref("refs/heads/trunk")
    upstream.due_now()
    upstream.work_off(site)
    assert site.status(head) == ("success", "1 changed")


def test_what_is_wrong_on_main_already_is_no_fault_of_a_pull_request(
    upstream: Upstream, site: ForgeSite
) -> None:
    upstream.work.commit({"deployments/bad.yaml": deployment("bad", "nowhere")}, "Come in past the gate")
    upstream.work.git("push", "-q", str(upstream.work.bare), "main")
    upstream.reconciler.reconcile("default")
    head = upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.work_off(site)
    assert site.status(head)[0] == "success", site.of_bot()
    assert "1 changed" in site.of_bot()[0]


@everywhere
def test_a_closed_one_is_forgotten(upstream: Upstream, site: ForgeSite, kind: str) -> None:
    upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.work_off(site)
    assert upstream.private_refs() == f"refs/weft/pulls/{kind}/1\n"
    said = site.of_bot()
    site.pulls[1].open = False
    upstream.event(site)
    upstream.work_off(site)
    assert (upstream.row().state, upstream.row().due_at) == ("closed", None)
    assert upstream.private_refs() == ""
    upstream.work.commit({"patterns/hello.yaml": pattern("hello", "good evening")}, "Say it otherwise")
    upstream.main()
    upstream.work_off(site)
    assert site.of_bot() == said


def test_one_that_weft_fails_at_ends_nothing_else(
    upstream: Upstream, site: ForgeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def proposed(*_: object) -> None:
        raise RecursionError("too deep")

    upstream.propose(site, CHANGED)
    upstream.event(site)
    with monkeypatch.context() as patch:
        patch.setattr(upstream.reconciler, "proposed", proposed)
        upstream.work_off(site)
    assert (upstream.row().state, upstream.row().due_at) == ("given-up", None)
    assert "Weft failed at this (RecursionError)" in str(upstream.row().error)
    assert "pull_request_broken" in [one.message for one in caplog.records]
    upstream.event(site)
    upstream.work_off(site)
    assert len(site.of_bot()) == 1


def test_a_forge_that_cannot_be_opened_ends_nothing_else(upstream: Upstream, site: ForgeSite) -> None:
    upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.work_off(site, token="möglich")  # no header can hold it
    assert (upstream.row().state, upstream.row().due_at) == ("given-up", None)
    assert "Weft failed at this (UnicodeEncodeError)" in str(upstream.row().error)


def test_a_head_that_git_does_not_have_yet_is_waited_for(upstream: Upstream, site: ForgeSite) -> None:
    upstream.propose(site, CHANGED)
    site.pulls[1].head = "a" * 40
    upstream.event(site)
    upstream.work_off(site)
    assert "names aaaaaaaaaa as its head" in str(upstream.row().error)
    assert site.comments == []


def test_an_app_that_cannot_ask_who_it_is_finds_its_comment(upstream: Upstream, site: ForgeSite) -> None:
    site.is_app = True
    site.said("mallory", f"{MARKER}\nAll is well")
    site.said(BOT, f"{MARKER}\nan old plan")
    upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.work_off(site)
    assert len(site.of_bot()) == 1
    assert "1 changed" in site.of_bot()[0]


def test_an_event_that_comes_while_its_plan_is_told_is_not_lost_and_not_doubled(
    upstream: Upstream, site: ForgeSite
) -> None:
    def event() -> None:
        upstream.event(site)
        upstream.work_off(site)  # another controller finds nothing to do

    upstream.propose(site, CHANGED)
    upstream.event(site)
    site.failures.append(Failure("GET .*comments", 0, meanwhile=event))
    upstream.work_off(site)
    upstream.work_off(site)
    assert len(site.of_bot()) == 1
    row = upstream.row()
    assert (row.events, row.told_events, row.due_at) == (2, 2, None)


@everywhere
def test_what_happened_while_nobody_took_events_is_found_at_the_next_start(
    upstream: Upstream, site: ForgeSite
) -> None:
    for number in range(1, 5):
        upstream.propose(site, CHANGED, number)
        upstream.event(site, number)
    upstream.work_off(site)
    upstream.propose(site, {"patterns/hello.yaml": pattern("hello", "good evening")}, 1)
    site.pulls[2].open = False
    upstream.propose(site, CHANGED, 5)
    with upstream.database.connection() as connection:
        connection.execute("UPDATE pull_requests SET state = 'given-up', head = NULL WHERE number = 4")
    loop = upstream.loop(site)
    assert loop.catch_up() is None
    with upstream.database.connection() as connection:
        asked = [(row.number, row.is_asked) for row in list_pull_requests(connection, "default", 10)]
    assert sorted(asked) == [(1, True), (2, True), (3, False), (4, False), (5, True)]
    loop.tick(threading.Event())
    assert [len(site.of_bot(number)) for number in (1, 3, 5)] == [1, 1, 1]
    requests = len(site.requests)
    loop.catch_up()
    assert len(site.requests) == requests
    assert upstream.loop(site).catch_up() is None
    assert upstream.loop(site).tick(threading.Event()) == pytest.approx(30, abs=1)


def test_nothing_is_said_anywhere_before_the_first_event(upstream: Upstream, site: ForgeSite) -> None:
    upstream.propose(site, CHANGED)
    assert upstream.loop(site).catch_up() is None
    assert site.requests == []


def test_a_list_that_does_not_come_is_asked_for_again(
    upstream: Upstream, site: ForgeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.propose(site, CHANGED)
    upstream.event(site)
    upstream.work_off(site)
    upstream.propose(site, CHANGED, 2)
    loop = upstream.loop(site)
    monkeypatch.setattr("reconciler.forges.loop.LIST_AGAIN", 0.0)
    site.failures.append(Failure(r"GET .*/pulls\?", 503))
    loop.catch_up()
    loop.catch_up()
    loop.tick(threading.Event())
    assert len(site.of_bot(2)) == 1


def test_two_controllers_make_one_comment(upstream: Upstream, site: ForgeSite) -> None:
    upstream.propose(site, CHANGED)
    for _ in range(3):
        upstream.event(site)
        threads = [threading.Thread(target=upstream.work_off, args=[site]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(site.of_bot()) == 1


def test_the_loop_hears_of_an_event_at_once(upstream: Upstream, site: ForgeSite) -> None:
    upstream.propose(site, CHANGED)
    loop, stop = upstream.loop(site), threading.Event()
    thread = threading.Thread(target=loop.run, args=[stop])
    thread.start()
    try:
        eventually(lambda: "listener" in {one.name for one in threading.enumerate()})
        upstream.event(site)
        eventually(lambda: len(site.of_bot()) == 1 and upstream.row().due_at is None, seconds=10)
    finally:
        stop.set()
        loop.close()
        thread.join()
