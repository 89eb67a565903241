"""Changes over HTTP: pushed by one, approved by another, merged as planned, or refused with every reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_site import Site
from git_work import Work, deployment, pattern

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
def work(site: Site, tmp_path: Path) -> Work:
    """`a` is live, main asks for one approval."""
    work = Work(tmp_path / "work", site.reconciler)
    work.commit({**FILES, "weft.yaml": SETTINGS}, "Begin")
    assert not work.push(admin=True).refused
    return work


class Person:
    """A user with a token of a role, over HTTP."""

    def __init__(self, site: Site, user: str, role: str = "editor") -> None:
        self.user, self.site, self.token = user, site, site.token(role, user=user)

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


def read(site: Site, *path: str) -> Any:
    answer = site.http.get("/".join(path))
    assert answer.status_code == 200, answer.text
    return answer.json()


def log(work: Work, revision: str, form: str) -> str:
    return work.git("log", "-1", f"--format={form}", revision, GIT_DIR=str(work.bare)).strip()


def main(work: Work) -> str:
    """The server's."""
    return work.git("rev-parse", "main", GIT_DIR=str(work.bare))


def advance(work: Work, files: Mapping[str, str | None], message: str = "Meanwhile") -> str:
    """A commit of an admin's on main, whatever branch was checked out."""
    work.git("fetch", "-q", str(work.bare), "main")
    work.git("checkout", "-q", "-B", "main", "FETCH_HEAD")
    head = work.commit(files, message)
    assert not work.push("main", pusher="root", admin=True).refused
    return head


def test_one_proposes_another_approves_and_what_is_live_after_the_merge_is_the_plan(
    site: Site, work: Work
) -> None:
    head = propose(work, "carol/two", "two")
    base, alice = main(work), Person(site, "alice")
    planned = alice.sees("carol/two")
    assert (planned["state"], planned["head"], planned["base"]) == ("open", head, base)
    assert (planned["mergeable"], planned["reasons"]) == (False, ["it needs 1 approval and has 0"])
    assert planned["authors"] == ["carol", "Ada <ada@example.org>"]
    assert [commit["id"] for commit in planned["commits"]] == [head]
    assert '-    - {id: say, uses: log, with: {message: "one"}}\n+' in planned["diff"]
    approved = alice.does("approve", "carol/two", {"message": "good", "head": head[:10]})
    assert (approved["approved"], approved["required"]) == (1, 1)
    assert alice.sees("carol/two")["mergeable"] is True

    done = alice.does("merge", "carol/two", {"message": "At last."})

    assert done["ref"] == "refs/heads/main"
    assert done["commit"] == main(work)
    assert done["plan"]["deployments"] == planned["plan"]["deployments"]
    assert log(work, "main", "%an <%ae>%n%cn%n%P%n%B") == (
        f"alice <alice@weft.test>\nalice\n{base} {head}\nMerge carol/two: Say two\n\nAt last.\n\n"
        "Weft-Action: merge\nWeft-Change: carol/two\nApproved-by: alice <alice@weft.test>"
    )
    assert read(site, "deployments/a")["version"]["number"] == 2
    assert read(site, "deployments/a/revisions")["items"][0]["actor"] == "alice"
    newest = read(site, "refs/moves?ref=main&limit=1")["items"][0]
    assert (newest["old"], newest["new"], newest["user"]) == (base, done["commit"], "alice")
    merged = alice.sees("carol/two")
    assert (merged["state"], merged["mergeable"], merged["plan"], merged["diff"]) == (
        "merged",
        False,
        None,
        "",
    )
    refused = alice.does("merge", "carol/two", status=409)
    assert refused["reasons"] == [f"main has {head[:10]} already"]
    work.reconciler.rebuild("default")
    assert read(site, "deployments/a")["version"]["number"] == 2


def test_a_merge_numbers_only_what_main_holds_in_the_end(site: Site, work: Work) -> None:
    propose(work, "x", "between")
    work.commit({"patterns/a.yaml": pattern("a", "in the end")})
    assert "a  v1 → v2  changed" in work.push("x", pusher="carol").lines
    alice = Person(site, "alice")
    alice.does("approve", "x")
    done = alice.does("merge", "x")
    assert done["plan"]["deployments"][0]["version"]["to"]["number"] == 2
    assert read(site, "patterns/a/versions")["items"][0]["number"] == 2


def test_a_push_says_where_to_review_it(site: Site, work: Work) -> None:
    work.git("checkout", "-q", "-b", "carol/ä#1")
    work.commit({"patterns/a.yaml": pattern("a", "two")})
    line = work.push("carol/ä#1", pusher="carol").lines[-1]
    said, url = line.split("   ")
    assert said == "review it: weft change carol/ä#1"
    assert url == "http://weft.test/api/v1/changes/carol/%C3%A4%231"
    assert Person(site, "carol").sees(url.partition("/changes/")[2])["branch"] == "carol/ä#1"


@pytest.mark.parametrize(
    ("user", "role", "said"),
    [
        (
            "carol",
            "editor",
            "carol pushed it: authors do not approve their own change, be they admins or not",
        ),
        ("carol", "admin", "carol pushed it: authors do not"),
        ("Carol", "admin", "Carol pushed it: authors do not"),
        ("ada", "admin", "ada is the author of "),
        ("ada@example.org", "admin", "ada@example.org is the author of "),
        (
            "dave",
            "editor",
            "by weft.yaml, maintainers (alice, bob, dora) and admins may approve and merge; dave may",
        ),
        ("ALICE", "editor", "by weft.yaml, maintainers (alice, bob, dora)"),
        ("alice", "viewer", "This needs the role editor; alice is viewer."),
    ],
)
def test_who_may_not_approve(site: Site, work: Work, user: str, role: str, said: str) -> None:
    propose(work, "x", "two")
    assert said in Person(site, user, role).does("approve", "x", status=403)["detail"]
    assert site.execute("SELECT count(*) FROM approvals") == [(0,)]


def test_who_may_not_push_may_not_merge_however_approved_it_is(site: Site, work: Work) -> None:
    propose(work, "x", "two")
    Person(site, "alice").does("approve", "x")
    for user, role in (("carol", "editor"), ("dave", "editor"), ("alice", "viewer")):
        Person(site, user, role).does("merge", "x", status=403)
    # An author who is in the group merges what others approved.
    propose(work, "y", "three", by="bob")
    Person(site, "alice").does("approve", "y")
    Person(site, "bob").does("merge", "y")


def test_a_direct_push_and_an_action_are_refused_with_the_way_to_propose_it(site: Site, work: Work) -> None:
    work.commit({"patterns/a.yaml": pattern("a", "two")})
    before = main(work)
    expected = (
        "refs/heads/main is protected by weft.yaml: it takes changes with 1 approval; only admins may push there;"
        " alice may not.",
        "Propose it as a branch of your own instead; the push prints what it would do:",
        "  git push origin HEAD:refs/heads/alice/my-change",
        "Then maintainers (alice, bob, dora) and admins may approve it, but none of its authors;"
        " 1 approval is needed to merge it:",
        "  weft approve alice/my-change",
        "  weft merge alice/my-change",
    )
    assert work.push("main", pusher="alice").lines == expected
    refused = Person(site, "alice").ask("POST", "/deployments/a/pause", json={})
    assert (refused.status_code, refused.json()["detail"]) == (403, "\n".join(expected))
    assert main(work) == before
    assert not work.push("main", pusher="root", admin=True).refused


def test_an_approval_is_stale_after_another_push_and_right_again_for_the_same_commit(
    site: Site, work: Work
) -> None:
    first = propose(work, "x", "two")
    alice = Person(site, "alice")
    alice.does("approve", "x")
    second = work.commit({"patterns/a.yaml": pattern("a", "sly")})
    work.push("x", pusher="carol")
    stale = f"alice approved {first[:10]}, the branch is at {second[:10]} now"
    assert alice.does("merge", "x", status=409)["reasons"] == ["it needs 1 approval and has 0", stale]
    [approval] = alice.sees("x")["approvals"]
    assert (approval["user"], approval["counts"], approval["why"]) == ("alice", False, stale)
    # What was approved is approved, whatever lay between.
    work.git("reset", "-q", "--hard", first)
    work.push("x", pusher="carol")
    assert alice.sees("x")["mergeable"] is True
    # Whoever brings it there is an author of it, however.
    work.commit({}, "Bob's own")
    work.push("x", pusher="alice")
    work.git("reset", "-q", "--hard", first)
    work.push("x", pusher="carol")
    assert alice.does("merge", "x", status=409)["reasons"][1] == (
        "alice pushed it, and authors do not approve their own change"
    )


def test_an_approval_holds_while_main_moves_unless_the_plan_does(site: Site, work: Work) -> None:
    head = propose(work, "x", "two")
    alice = Person(site, "alice")
    alice.does("approve", "x")
    advance(work, {"patterns/b.yaml": pattern("b"), "deployments/b.yaml": deployment("b")})
    assert alice.sees("x")["mergeable"] is True
    advance(work, {"deployments/a.yaml": deployment("a", variables="{limit: 3}")})
    refused = alice.does("merge", "x", status=409)
    other = "the plan is not the one alice approved: main, or what is live, has changed since"
    assert refused["reasons"] == ["it needs 1 approval and has 0", other]
    assert (refused["type"], refused["status"]) == ("urn:weft:problem:not-mergeable", 409)
    assert refused["detail"] == f"x cannot be merged: it needs 1 approval and has 0; {other}."
    assert alice.sees("x")["head"] == head
    alice.does("approve", "x")
    alice.does("merge", "x")
    assert read(site, "deployments/a")["version"]["number"] == 2


def test_a_conflict_is_told_and_there_is_nothing_to_approve(site: Site, work: Work) -> None:
    head = propose(work, "x", "two")
    live = advance(work, {"patterns/a.yaml": pattern("a", "another")})
    alice = Person(site, "alice")
    both = f"{head[:10]} conflicts with {live[:10]} in patterns/a.yaml: merge or rebase it first"
    assert both in alice.does("approve", "x", status=409)["detail"]
    assert alice.does("merge", "x", status=409)["reasons"][0] == both
    seen = alice.sees("x")
    assert (seen["plan"], seen["mergeable"]) == (None, False)
    assert '+    - {id: say, uses: log, with: {message: "two"}}' in seen["diff"]


def test_what_the_gate_refuses_is_neither_approved_nor_merged(site: Site, work: Work) -> None:
    work.git("checkout", "-q", "-b", "x")
    work.commit({"patterns/a.yaml": pattern("a", calls="nowhere")})
    work.push("x", pusher="carol")
    alice = Person(site, "alice")
    assert "unknown-pattern" in alice.does("approve", "x", status=409)["detail"]
    refused = alice.does("merge", "x", status=409)
    assert refused["reasons"][0] == "merged, it would have 1 problem"
    assert [problem["code"] for problem in refused["problems"]] == ["unknown-pattern"]
    seen = alice.sees("x")
    assert (seen["plan"], [problem["path"] for problem in seen["problems"]]) == (None, ["patterns/a.yaml"])


def test_a_closed_change_is_opened_by_a_push_even_of_the_same_commit(site: Site, work: Work) -> None:
    head = propose(work, "x", "two")
    carol, alice = Person(site, "carol"), Person(site, "alice")
    assert carol.does("close", "x", {"message": "not now"})["state"] == "closed"
    closed = "carol closed it; a push to x opens it again"
    for verb in ("approve", "close"):
        assert alice.does(verb, "x", status=409)["detail"] == f"{closed}."
    assert alice.does("merge", "x", status=409)["reasons"][0] == closed
    assert [one["branch"] for one in read(site, "changes")["items"]] == []
    work.commit({}, "More")
    work.push("x", pusher="carol")
    assert alice.sees("x")["state"] == "open"
    carol.does("close", "x")
    work.push(":x", pusher="carol")
    assert alice.sees("x", status=404)["detail"] == "There is no branch x: push it first."
    work.push("x", pusher="carol")
    assert alice.sees("x")["state"] == "open"
    # A clock that was set back between the two does not keep another commit closed.
    carol.does("close", "x")
    site.execute("UPDATE closures SET at = now() + interval '1 hour'")
    work.commit({}, "Still more")
    work.push("x", pusher="carol")
    assert alice.sees("x")["state"] == "open"
    site.execute("UPDATE closures SET at = now()")
    carol.does("close", "x")
    for commit in (head, "x@{1}"):
        work.git("reset", "-q", "--hard", commit)
        work.push("x", pusher="carol")
    assert alice.sees("x")["state"] == "open"


def test_nobody_ceases_to_be_an_author_by_what_others_do_to_the_branch(site: Site, work: Work) -> None:
    def own(user: str, branch: str) -> str:
        return str(Person(site, user, "admin").does("approve", branch, status=403)["detail"])

    # Alice pretends that Bob wrote it.
    forged = {"GIT_AUTHOR_NAME": "bob", "GIT_AUTHOR_EMAIL": "bob@example.org"}
    work.git("checkout", "-q", "-b", "x")
    work.write({"patterns/a.yaml": pattern("a", "two")})
    work.git("commit", "-qam", "Bob's idea", **forged)
    work.push("x", pusher="alice")
    assert own("alice", "x").startswith("alice pushed it")
    assert own("bob", "x").startswith("bob is the author of ")
    # Carol pushes more on top, Dora deletes it and brings it back, under this name and another.
    work.commit({"patterns/a.yaml": pattern("a", "three")})
    work.push("x", pusher="carol")
    assert own("alice", "x").startswith("alice pushed it")
    work.push(":x", pusher="dora")
    work.git("branch", "y", "x")
    work.push("x", "y", pusher="dora")
    for branch in ("x", "y"):
        for user in ("alice", "carol", "dora"):
            assert own(user, branch).startswith(f"{user} pushed it")
    # What main has had since is nobody's change any more.
    advance(work, {"patterns/b.yaml": pattern("b")})
    work.git("checkout", "-q", "-B", "x", "main")
    work.push("x", pusher="alice")
    work.commit({"patterns/a.yaml": pattern("a", "four")})
    work.push("x", pusher="carol")
    assert Person(site, "alice").does("approve", "x")["approved"] == 1


def test_an_approval_counts_by_the_settings_of_the_merge(site: Site, work: Work) -> None:
    propose(work, "x", "two")
    Person(site, "bob").does("approve", "x")
    root = Person(site, "root", "admin")
    root.does("approve", "x")
    advance(work, {"weft.yaml": SETTINGS.replace("bob, ", "").replace("approvals: 1", "approvals: 2")})
    alice = Person(site, "alice")
    assert alice.does("merge", "x", status=409)["reasons"] == [
        "it needs 2 approvals and has 1",
        "by weft.yaml, maintainers (alice, dora) and admins may approve and merge; bob may not",
    ]
    root.does("approve", "x")
    assert alice.sees("x")["approved"] == 1
    assert alice.does("approve", "x")["approved"] == 2
    alice.does("merge", "x")
    assert log(work, "main", "%(trailers:key=Approved-by,valueonly)").splitlines() == [
        "alice <alice@weft.test>",
        "root <root@weft.test>",
    ]


def test_a_change_does_not_bring_the_rules_that_it_is_judged_by(site: Site, work: Work) -> None:
    work.git("checkout", "-q", "-b", "x")
    work.commit({"weft.yaml": None})
    work.push("x", pusher="carol")
    assert Person(site, "carol").does("merge", "x", status=403)
    assert Person(site, "alice").sees("x")["required"] == 1


def test_without_a_rule_whoever_may_push_merges_and_reviews_are_free(site: Site, work: Work) -> None:
    advance(work, {"weft.yaml": None})
    propose(work, "x", "two")
    assert "authors do not" in Person(site, "carol").does("approve", "x", status=403)["detail"]
    Person(site, "dave").does("approve", "x")
    Person(site, "vic", "viewer").does("merge", "x", status=403)
    Person(site, "carol").does("merge", "x")
    assert log(work, "main", "%(trailers:key=Approved-by,valueonly)") == "dave <dave@weft.test>"


def test_while_the_settings_have_problems_only_admins_have_a_say(site: Site, work: Work) -> None:
    propose(work, "x", "two")
    work.git("checkout", "-q", "main")
    work.commit({"weft.yaml": "kind: ["})
    work.transfer([work.git("rev-parse", "main")], work.bare / "objects")
    work.git("update-ref", "refs/heads/main", work.git("rev-parse", "main"), GIT_DIR=str(work.bare))
    said = Person(site, "alice").does("merge", "x", status=403)["detail"]
    assert said == "while weft.yaml:2 has problems, only admins may approve and merge; alice may not."


def shop(work: Work) -> None:
    advance(
        work,
        {"patterns/p.yaml": pattern("p")}
        | {f"deployments/d{n}.yaml": deployment(f"d{n}", "p") for n in range(6)},
    )


def without(count: int) -> dict[str, str | None]:
    return {f"deployments/d{n}.yaml": None for n in range(count)}


def test_a_mass_removal_is_merged_when_a_commit_of_the_branch_means_it(site: Site, work: Work) -> None:
    shop(work)
    work.git("checkout", "-q", "-b", "x")
    work.commit(without(5), "Remove them")
    work.push("x", pusher="carol")
    alice = Person(site, "alice")
    assert "mass-removal" in alice.does("approve", "x", status=409)["detail"]
    assert alice.does("merge", "x", {"message": "Weft-Allow-Removal: yes"}, status=409)["reasons"] == [
        "it needs 1 approval and has 0"
    ]
    work.commit({}, "They are no longer needed\n\nWeft-Allow-Removal: yes")
    work.commit({"patterns/b.yaml": pattern("b")}, "Something else")
    lines = work.push("x", pusher="carol").lines
    assert lines[0] == "x: a merge of this into main: 2 unchanged, 5 undeployed"
    alice.does("approve", "x")
    done = alice.does("merge", "x")
    assert [step["action"] for step in done["plan"]["deployments"]] == ["undeploy"] * 5
    assert log(work, "main", "%(trailers:key=Weft-Allow-Removal,valueonly)") == "yes"


def test_a_mass_removal_is_merged_when_whoever_merges_means_it(site: Site, work: Work) -> None:
    shop(work)
    advance(work, {"weft.yaml": None})
    work.git("checkout", "-q", "-b", "x")
    work.commit(without(5), "Remove them")
    work.push("x", pusher="carol")
    carol = Person(site, "carol")
    for message in ("", "Weft-Allow-Removal: yes, or so", "Weft-Allow-Removal: yes\n\nnot really"):
        refused = carol.does("merge", "x", {"message": message}, status=409)
        assert [problem["code"] for problem in refused["problems"]] == ["mass-removal"]
    carol.does("merge", "x", {"message": "We mean it.\n\nWeft-Allow-Removal: yes"})
    assert log(work, "main", "%(trailers:key=Weft-Allow-Removal,valueonly)") == "yes"
    assert len(read(site, "deployments")["items"]) == 2


def test_words_in_a_message_are_no_trailers(site: Site, work: Work) -> None:
    propose(work, "x", "two")
    alice = Person(site, "alice")
    alice.does("approve", "x")
    alice.does("merge", "x", {"message": "Approved-by: the king <king@weft.test>"})
    assert log(work, "main", "%(trailers:key=Approved-by,valueonly)") == "alice <alice@weft.test>"


def test_a_branch_may_be_called_like_a_verb(site: Site, work: Work) -> None:
    for branch in ("x/approve", "merge"):
        propose(work, branch, branch)
    alice = Person(site, "alice")
    for branch in ("x/approve", "x%2Fapprove", "merge"):
        assert alice.sees(branch)["subject"] == f"Say {branch.replace('%2F', '/')}"
    assert "no branch x:" in alice.does("approve", "x", status=404)["detail"]
    alice.does("approve", "x/approve")
    alice.does("merge", "x/approve")
    assert alice.ask("POST", "/changes/x/approve/and", json={}).status_code == 405


def test_changes_are_listed_by_state_and_page_by_page(site: Site, work: Work) -> None:
    for name in "abcde":
        propose(work, f"carol/{name}", name)
    alice = Person(site, "alice")
    alice.does("approve", "carol/b")
    alice.does("close", "carol/c")
    alice.does("approve", "carol/d")
    alice.does("merge", "carol/d")

    def names(query: str) -> list[str]:
        return [one["branch"].removeprefix("carol/") for one in read(site, f"changes{query}")["items"]]

    assert names("") == ["a", "b", "e"]
    assert names("?state=merged") == ["d"]
    assert names("?state=closed") == ["c"]
    assert names("?state=all") == list("abcde")
    first = read(site, "changes?state=all&limit=2")
    assert (len(first["items"]), first["next"]) == (2, "carol/b")
    assert names("?state=all&limit=3&cursor=carol/b") == ["c", "d", "e"]
    assert read(site, "changes?limit=3")["next"] is None
    # Since the merge b conflicts: what was approved of it cannot be merged any more.
    [one] = [one for one in read(site, "changes")["items"] if one["branch"] == "carol/b"]
    assert (one["approved"], one["required"], one["authors"]) == (0, 1, ["carol", "Ada <ada@example.org>"])
    assert site.http.get("/changes?state=closd").status_code == 422
    assert alice.sees("main", status=404)["detail"] == "main is the default branch: what it has is live."


def test_a_diff_shows_what_moved_and_is_cut_at_a_mebibyte(site: Site, work: Work) -> None:
    advance(work, {"notes.md": "".join(f"line {n}\n" for n in range(50)), "data.bin": "\0"})
    work.git("checkout", "-q", "-b", "x")
    work.git("mv", "notes.md", "docs.md")
    work.commit({"data.bin": "\0\1", "latin.txt": b"caf\xe9\n"})
    work.push("x", pusher="carol")
    alice = Person(site, "alice")
    seen = alice.sees("x")
    assert "rename from notes.md\nrename to docs.md\n" in seen["diff"]
    assert "Binary files a/data.bin and b/data.bin differ\n" in seen["diff"]
    assert "+caf\ufffd\n" in seen["diff"]
    assert seen["diffTruncated"] is False
    work.commit({f"large{n}.txt": f"{n} is a large file\n" * 40_000 for n in range(3)})
    work.push("x", pusher="carol")
    seen = alice.sees("x")
    assert seen["diffTruncated"] is True
    assert 1_000_000 < len(seen["diff"]) <= 1024 * 1024
    assert seen["diff"].endswith("large file\n")
    assert alice.does("approve", "x")["approved"] == 1


def test_what_is_merged_is_what_was_looked_at(site: Site, work: Work) -> None:
    propose(work, "x", "two")
    alice, before = Person(site, "alice"), main(work)
    alice.does("approve", "x")
    refused = alice.does("merge", "x", {"head": before}, status=409)
    assert refused["reasons"] == [f"x is at {work.git('rev-parse', 'x')[:10]} now, and not at {before[:10]}"]
    assert main(work) == before


def test_a_branch_that_a_deployment_follows_is_a_change_like_any_other(site: Site, work: Work) -> None:
    head = propose(work, "staging", "two")
    advance(work, {"deployments/s.yaml": deployment("s", "a", source="{branch: staging}")})
    work.git("checkout", "-q", "staging")
    work.commit({"patterns/a.yaml": pattern("a", "three")})
    lines = work.push("staging", pusher="carol").lines
    assert re.search(r"^s  \S+ → \S+  live in ", lines[0])
    assert lines[1].startswith("staging: a merge of this into main: 1 changed, 1 unchanged")
    alice = Person(site, "alice")
    assert [commit["id"] for commit in alice.sees("staging")["commits"]][1] == head
    alice.does("approve", "staging")
    planned = alice.sees("staging")["plan"]["deployments"]
    assert alice.does("merge", "staging")["plan"]["deployments"] == planned
    assert [read(site, f"deployments/{name}")["version"]["number"] for name in "as"] == [2, 2]
    assert work.git("rev-parse", "staging", GIT_DIR=str(work.bare)) == work.git("rev-parse", "staging")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"head": "0" * 40}, 409),
        ({"head": "main"}, 422),
        ({"head": 7}, 422),
        ({"message": 7}, 422),
        ({"mesage": ""}, 422),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    site: Site, work: Work, body: dict[str, Any], status: int
) -> None:
    propose(work, "x", "two")
    alice, before = Person(site, "alice"), main(work)
    for verb in ("approve", "merge", "close"):
        alice.does(verb, "x", body, status=status)
    assert main(work) == before
    assert alice.sees("x")["state"] == "open"
    assert site.execute("SELECT count(*) FROM approvals") == [(0,)]


def test_merges_and_pushes_to_main_at_once_make_one_line_of_commits(site: Site, work: Work) -> None:
    advance(work, {f"patterns/p{n}.yaml": pattern(f"p{n}") for n in range(6)} | {
        f"deployments/p{n}.yaml": deployment(f"p{n}") for n in range(6)
    })  # fmt: skip
    alice, bob = Person(site, "alice"), Person(site, "bob")
    start = main(work)
    for n in range(6):
        work.git("checkout", "-q", "-B", f"x{n}", start)
        work.commit({f"patterns/p{n}.yaml": pattern(f"p{n}", "merged")})
        work.push(f"x{n}", pusher="carol")
        alice.does("approve", f"x{n}")
    answers: list[Any] = []

    def merge(n: int) -> None:
        answers.append(bob.ask("POST", f"/changes/x{n}/merge", json={}))

    def pause(n: int) -> None:
        answers.append(site.http.post(f"/deployments/p{n}/pause", json={}))

    with ThreadPoolExecutor(8) as pool:
        for n in range(6):
            pool.submit(merge, n)
            pool.submit(pause, (n + 1) % 6)

    said = [answer.json() for answer in answers]
    done = [one for one in said if "commit" in one]
    line = work.git("rev-list", "--first-parent", f"{start}..main", GIT_DIR=str(work.bare)).split()
    assert sorted(line) == sorted(one["commit"] for one in done)
    assert all("the plan is not the one alice approved" in one["detail"] for one in said if one not in done)
    for n in range(6):
        merged = alice.sees(f"x{n}")["state"] == "merged"
        found = read(site, f"deployments/p{n}")
        assert (found["state"], found["version"]["number"]) == ("paused", 2 if merged else 1)
