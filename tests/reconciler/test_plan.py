"""What a plan says before anything happens, and that it is what happens."""

import pytest
from git_work import Work, deployment, pattern

from reconciler.differences.fields import fields
from reconciler.git.errors import UnknownRevisionError
from reconciler.reconciler import Reconciler
from reconciler.steps import Action
from store.database import Database
from store.deployments import all_deployments

SCHEDULED = pattern("daily").replace("on: {webhook: {}, call: {}}", 'on: {schedule: [{cron: "0 9 * * *"}]}')


def actions(work: Work, base: str | None = None, head: str | None = None) -> dict[str, str]:
    return {step.name: str(step.action) for step in work.reconciler.plan("default", base, head).steps}


@pytest.fixture
def story(work: Work) -> Work:
    """On main: a, b and daily live. On `next`: a changed, b gone, c new, daily paused."""
    work.commit(
        {
            "patterns/a.yaml": pattern("a"),
            "patterns/b.yaml": pattern("b"),
            "patterns/daily.yaml": SCHEDULED,
            "deployments/a.yaml": deployment("a"),
            "deployments/b.yaml": deployment("b"),
            "deployments/daily.yaml": deployment("daily"),
        }
    )
    work.push()
    work.git("checkout", "--quiet", "-b", "next")
    work.commit(
        {
            "patterns/a.yaml": pattern("a", "changed"),
            "deployments/b.yaml": None,
            "deployments/c.yaml": deployment("c", "daily"),
            "deployments/daily.yaml": deployment("daily", state="paused"),
        }
    )
    work.push("next")
    return work


def test_the_plan_of_a_branch_is_what_its_merge_does(story: Work, database: Database) -> None:
    expected = {"a": "change", "b": "undeploy", "c": "create", "daily": "change"}
    assert actions(story, head="next") == expected
    assert actions(story, base="main", head="next") == expected
    plan = story.reconciler.plan("default", None, "next")
    assert plan.summary == "1 created, 2 changed, 1 undeployed"
    steps = {step.name: step for step in plan.steps}
    assert steps["a"].versions == "v1 → v2"
    assert [change.path for change in steps["a"].changes] == ["nodes.say.with.message"]
    assert [change.text for change in steps["daily"].changes] == ["state: active → paused"]
    assert len(steps["c"].next_fires) == 3
    assert all(at.hour == 9 for at in steps["c"].next_fires)
    story.git("checkout", "--quiet", "main")
    story.git("merge", "--quiet", "--no-ff", "--no-edit", "next")
    story.push()
    with database.connection() as connection:
        live = all_deployments(connection, "default")
    assert {name: found.state for name, found in live.items()} == {
        "a": "active", "b": "undeployed", "c": "active", "daily": "paused",
    }  # fmt: skip
    for step in plan.steps:
        version = live[step.name].version
        assert version is not None
        if step.action != Action.UNDEPLOY:
            assert step.version_to is not None
            assert (version.version_id, version.number) == (step.version_to.id, step.version_to.number)
    assert set(actions(story, head="next").values()) == {"unchanged"}


def test_the_plan_of_what_is_live_is_that_nothing_changes(story: Work, database: Database) -> None:
    assert set(actions(story).values()) == {"unchanged"}
    fresh = Reconciler(database, story.bare.parent, installation_key=b"k" * 32, public_url="http://weft")
    assert {str(step.action) for step in fresh.plan("default", None, None).steps} == {"unchanged"}


def test_a_plan_can_look_back(story: Work) -> None:
    assert actions(story, base="next", head="main") == {
        "a": "change", "b": "create", "c": "undeploy", "daily": "change",
    }  # fmt: skip


def test_a_plan_writes_nothing(story: Work, database: Database) -> None:
    def stored() -> list[object]:
        tables = ("repositories", "freezes", "versions", "deployments", "revisions")
        with database.connection() as connection:
            return [
                connection.execute(f"SELECT t::text FROM {table} t".encode()).fetchall() for table in tables
            ]

    before = stored()
    story.reconciler.plan("default", None, "next")
    assert stored() == before


def test_a_revision_that_is_not_there_is_named(story: Work) -> None:
    with pytest.raises(UnknownRevisionError, match="There is no commit nowhere"):
        story.reconciler.plan("default", None, "nowhere")


def test_what_a_side_branch_alone_has_is_compared_field_by_field(story: Work) -> None:
    [step] = [s for s in story.reconciler.plan("default", "next", "main").steps if s.name == "a"]
    assert [change.text for change in step.changes] == ["node `say`: with.message: changed → hello"]


def test_a_branch_that_is_merged_already_changes_nothing_whatever_came_after_it(story: Work) -> None:
    story.git("branch", "early", "main")
    story.git("checkout", "--quiet", "main")
    story.git("merge", "--quiet", "--no-ff", "--no-edit", "next")
    story.push("main", "early")
    assert set(actions(story, head="early").values()) == {"unchanged"}


def test_a_tag_of_a_branchs_name_does_not_stand_in_for_it(story: Work) -> None:
    story.git("tag", "next", "main")
    story.push("refs/tags/next")
    assert set(actions(story, head="next").values()) != {"unchanged"}


def test_callers_that_change_with_a_pattern_are_named(work: Work) -> None:
    files = {"patterns/a.yaml": pattern("a"), "patterns/b.yaml": pattern("b", calls="a")}
    work.commit(files | {f"deployments/{n}.yaml": deployment(n) for n in "ab"})
    work.commit({"patterns/c.yaml": pattern("c", calls="a@1"), "patterns/d.yaml": pattern("d", calls="b")})
    work.push()
    work.git("checkout", "--quiet", "-b", "side")
    work.commit({"patterns/a.yaml": pattern("a", "changed")})
    assert work.push("side").lines[1:-1] == (
        "a  v1 → v2  changed",
        "    node `say`: with.message: hello → changed",
        "    callers that change with it: b (deployment b), d (nothing live)",
        "b  v1 → v2  changed",
        "    called pattern a changed",
        "    callers that change with it: d (nothing live)",
    )


def test_values_that_json_strains_at_are_live_once_and_stay_unchanged(work: Work, database: Database) -> None:
    variables = '{big: 9007199254740993, one: 1.0, tiny: 1.0e-7, none: null, text: "\U0001f600\t"}'
    work.commit({"patterns/a.yaml": pattern("a"), "deployments/a.yaml": deployment("a", variables=variables)})
    assert not work.push().refused
    fresh = Reconciler(database, work.bare.parent, installation_key=b"k" * 32, public_url="http://weft")
    assert [str(step.action) for step in fresh.rebuild("default").plan.steps] == ["unchanged"]


@pytest.mark.parametrize(
    ("before", "after", "texts"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 1.0}, ["a: 1 → 1.0"]),
        ({"a": True}, {"a": 1}, ["a: true → 1"]),
        ({"a": 1}, {}, ["a removed (was 1)"]),
        ({}, {"a": None}, ["a added: null"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ["a.c: 2 → 3"]),
        ({"n": [{"id": 1}, {"id": 1, "v": 1}]}, {"n": [{"id": 1}, {"id": 1, "v": 2}]}, ["n.1.v: 1 → 2"]),
        ({"n": [{"id": 1}]}, {"n": [{"id": 1}, {"id": 1}]}, ['n: [{"id": 1}] → [{"id": 1}, {"id": 1}]']),
        ({"a": "x" * 99}, {"a": []}, [f"a: {'x' * 59}… → []"]),
        ({"a": "x" * 99 + "a"}, {"a": "x" * 99 + "b"}, [f"a: …{'x' * 15}a → …{'x' * 15}b"]),
        ({"a": "one\ntwo\n"}, {"a": "one\nthree\nfour\n"}, ["a: 2 lines added, 1 removed"]),
        ({"a": "x\ny"}, {"a": "y\nx"}, ["a: the same lines in another order"]),
        ({"a": "\x1b[2J"}, {"a": "\u202ex"}, ['a: "\\u001b[2J" → "\\u202ex"']),
        ({"a": ""}, {"a": " "}, ['a: "" → " "']),
        ({"a": "1"}, {"a": 1}, ['a: "1" → 1']),
    ],
)
def test_differences_are_told_field_by_field(before: object, after: object, texts: list[str]) -> None:
    assert [field.told("", "").text for field in fields(before, after)] == texts
