"""Where a deployment takes its version from, and what happens when that is lost."""

from collections.abc import Callable

from git_work import Work, deployment, pattern

from reconciler.git.repository import Repository
from store.database import Database
from store.deployments import Deployment
from store.repositories import repository_state
from store.versions import list_versions, load_version

Read = Callable[[str], Deployment]


def follow(work: Work, source: str) -> None:
    work.commit({"deployments/hello.yaml": deployment("hello", source=source)})


def number(deployment: Deployment) -> int | None:
    return deployment.version.number if deployment.version else None


def test_a_number_a_commit_and_a_shortened_commit_name_old_versions(
    work: Work, live: Read, history: list[str]
) -> None:
    for source, expected in (
        ("{version: 2}", 2),
        (f"{{commit: {history[0]}}}", 1),
        (f"{{commit: '{history[1][:10]}'}}", 2),
    ):
        follow(work, source)
        assert not work.push().refused
        assert number(live()) == expected
        work.commit({"patterns/hello.yaml": pattern("hello", f"newer than {source}")})
        work.push()
        assert number(live()) == expected


def test_a_tag_promotes_and_rolls_back(work: Work, live: Read, history: list[str]) -> None:
    work.git("tag", "hello/production", history[0])
    follow(work, "{tag: hello/production}")
    work.push("main", "refs/tags/hello/production")
    assert number(live()) == 1
    work.git("tag", "--force", "--annotate", "-m", "promote", "hello/production", history[2])
    assert work.push("refs/tags/hello/production").lines[0].startswith("hello  v1 → v3  live in")
    assert live().commit == history[2]
    work.git("tag", "--force", "hello/production", history[1])
    work.push("refs/tags/hello/production")
    assert (number(live()), live().revision) == (2, 3)


def test_a_deleted_tag_leaves_its_deployment_stalled_on_what_was_live(
    work: Work, live: Read, history: list[str]
) -> None:
    work.git("tag", "prod", history[1])
    follow(work, "{tag: prod}")
    work.push("main", "refs/tags/prod")
    outcome = work.push(":refs/tags/prod")
    assert outcome.lines == (
        "hello  v2  stalled: There is no tag prod. Push it (again), or follow another source.",
    )
    hello = live()
    assert (hello.state, number(hello), hello.stalled, hello.revision) == ("active", 2, True, 1)
    ready, stalled = hello.conditions
    assert (ready.type, ready.status, stalled.type, stalled.status) == ("Ready", False, "Stalled", True)
    assert stalled.reason == "tag-not-found"
    # Other pushes go through and leave it as it is; pausing works although it is stalled.
    work.commit({"patterns/other.yaml": pattern("other")})
    assert work.push().lines == ("other  v1  frozen, not deployed",)
    work.commit({"deployments/hello.yaml": deployment("hello", source="{tag: prod}", state="paused")})
    assert work.push().lines[0].startswith("hello  v2  stalled")
    assert (live().state, live().revision) == ("paused", 2)
    assert work.push("refs/tags/prod").lines == ("hello  v2  no longer stalled",)
    assert (live().stalled, live().revision) == (False, 2)


def test_a_branch_is_followed_and_a_bad_commit_there_replaces_nothing(
    work: Work, live: Read, database: Database, history: list[str]
) -> None:
    work.git("branch", "staging")
    follow(work, "{branch: staging}")
    work.push("main", "staging")
    assert number(live()) == 3
    work.git("checkout", "--quiet", "staging")
    good = work.commit(
        {
            "patterns/hello.yaml": pattern("hello", "staged", calls="other"),
            "patterns/other.yaml": pattern("other"),
        }
    )
    assert work.push("staging").lines[0].startswith(f"hello  v3 → {live().version.version_id[:10]}  live in")
    staged = live()
    assert (number(staged), staged.version.commit) == (None, good)
    with database.connection() as connection:
        content = load_version(connection, staged.version.version_id)
        assert content is not None
        assert load_version(connection, content.calls["other"]) is not None
    bad = work.commit({"patterns/other.yaml": "kind: ["})
    outcome = work.push("staging")
    assert not outcome.refused
    assert outcome.lines[0].startswith("hello  ")
    assert "stalled: The pattern hello of commit" in outcome.lines[0]
    stalled = live()
    assert (stalled.version, stalled.revision, stalled.stalled) == (staged.version, staged.revision, True)
    assert stalled.tried_commit == bad
    work.git("checkout", "--quiet", "main")
    work.git("merge", "--quiet", "--no-ff", "--no-edit", good)
    work.push()
    with database.connection() as connection:
        numbered = list_versions(connection, "default", "hello")[0]
    assert (numbered.number, numbered.version_id) == (4, staged.version.version_id)
    assert number(live()) == 4


def test_a_deployment_file_that_cannot_be_read_undeploys_nothing(
    work: Work, live: Read, database: Database, history: list[str]
) -> None:
    follow(work, "{branch: main}")
    work.push()
    work.commit({"deployments/hello.yaml": "kind: [", "patterns/hello.yaml": pattern("hello", "four")})
    work.transfer([work.git("rev-parse", "main")], work.bare / "objects")
    # The default branch moves behind the gate's back, as an upstream does it.
    Repository(work.bare).update_refs([work.update("main")])
    done = work.reconciler.reconcile("default")
    assert done.problems
    hello = live()
    assert (hello.state, number(hello), hello.stalled) == ("active", 3, True)
    assert "deployments/hello.yaml:2:1: " in hello.conditions[1].message
    # A push of something else neither hides nor heals that.
    work.git("tag", "other")
    work.push("refs/tags/other")
    with database.connection() as connection:
        state = repository_state(connection, "default")
    assert state is not None
    assert (state.applied_commit == state.tried_commit, len(state.problems)) == (False, 1)
    follow(work, "{branch: main}")
    work.push()
    assert (number(live()), live().stalled) == (4, False)
