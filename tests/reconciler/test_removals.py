"""A commit that would undeploy too much is not believed, unless its message says that it is meant."""

import pytest
from git_work import Work, deployment, pattern

from reconciler.git.repository import Repository
from reconciler.reconciler import Reconciler
from reconciler.removals import TRAILER, allows_removal, too_many_removals
from reconciler.steps import Action, Binding, Step
from store.database import Database
from store.deployments import all_deployments

ALLOWED = f"Remove them\n\nThey are no longer needed.\n\n{TRAILER}\n"
BINDING = Binding(pattern="p", environment="production", state="active", version=None, spec={"pattern": "p"})


def shop(count: int) -> dict[str, str]:
    return {"patterns/p.yaml": pattern("p")} | {
        f"deployments/d{n:02}.yaml": deployment(f"d{n:02}", "p") for n in range(count)
    }


def without(count: int) -> dict[str, None]:
    return {f"deployments/d{n:02}.yaml": None for n in range(count)}


def states(database: Database) -> list[tuple[str, str | None]]:
    """State, and why it is stalled, of every deployment."""
    with database.connection() as connection:
        rows = all_deployments(connection, "default")
    reasons = [[c.reason for c in row.conditions if c.type == "Stalled"] for row in rows.values()]
    return [(row.state, (why or [None])[0]) for row, why in zip(rows.values(), reasons, strict=True)]


def behind_the_gate(work: Work) -> None:
    """The default branch moves as an upstream moves it."""
    work.transfer([work.git("rev-parse", "main")], work.bare / "objects")
    Repository(work.bare).update_refs([work.update("main")])


@pytest.mark.parametrize(
    ("removed", "total", "held"),
    [
        *[(0, 0, False), (1, 1, False), (2, 2, False), (2, 7, False), (3, 3, True), (3, 11, True)],
        *[(3, 12, False), (10, 39, True), (10, 40, False), (11, 44, True), (11, 1000, True)],
    ],
)
def test_more_than_ten_or_a_quarter_is_too_much_but_one_or_two_never(
    removed: int, total: int, held: bool
) -> None:
    steps = [
        Step(name=f"d{n}", action=Action.UNDEPLOY if n < removed else Action.UNCHANGED, before=BINDING)
        for n in range(total)
    ]
    assert (too_many_removals(steps, 0, nothing_left=False) is not None) is held
    assert (too_many_removals(steps, 0, nothing_left=True) is not None) is (removed > 0)
    # Those that no step was made for count as much as those with one.
    assert (too_many_removals(steps[:removed], total - removed, nothing_left=False) is not None) is held


def test_what_is_not_live_does_not_count() -> None:
    gone = Binding(pattern="p", environment="production", state="undeployed", version=None, spec={})
    steps = [Step(name=f"d{n}", action=Action.UNDEPLOY, before=BINDING) for n in range(3)]
    steps += [Step(name=f"e{n}", action=Action.UNCHANGED, before=gone) for n in range(50)]
    assert too_many_removals(steps, 0, nothing_left=False) is not None


@pytest.mark.parametrize(
    ("message", "allowed"),
    [
        (ALLOWED, True),
        ("Remove\n\nSigned-off-by: Ada\nweft-allow-removal:  YES", True),
        ("Remove\r\n\r\nWeft-Allow-Removal: yes\r\n", True),
        ("Remove", False),
        ("Remove\n\nWeft-Allow-Removal: no", False),
        ("Remove\n\nWeft-Allow-Removal: yes please", False),
        ("Remove\n\nWeft-Allow-Removal: yes\n\nSigned-off-by: Ada", False),
        ("Write Weft-Allow-Removal: yes to allow it", False),
        ("", False),
    ],
)
def test_the_trailer_stands_on_a_line_of_its_own_in_the_last_paragraph(message: str, allowed: bool) -> None:
    assert allows_removal(message) is allowed


def test_a_push_that_removes_too_much_is_refused_and_says_what_to_write(
    work: Work, database: Database
) -> None:
    work.commit(shop(20))
    work.push()
    work.commit(without(12))
    outcome = work.push()
    assert outcome.refused == {"refs/heads/main": "1 problem in 1 file"}
    assert outcome.lines == (
        "1 problem in 1 file:",
        "deployments:1:1: This commit would undeploy 12 of 20 deployments: d00, d01, d02, d03, d04 and 7 more. "
        "[mass-removal] Bring the files back, or end the last commit's message with the line "
        "`Weft-Allow-Removal: yes` (git commit --amend).",
    )
    assert states(database) == [("active", None)] * 20
    work.git("commit", "--quiet", "--amend", "-m", ALLOWED)
    assert len(work.push().lines) == 12
    assert states(database) == [("undeployed", None)] * 12 + [("active", None)] * 8


def test_an_emptied_repository_is_refused_however_few_deployments_there_were(
    work: Work, database: Database
) -> None:
    work.commit({})
    assert not work.push().refused
    work.commit(shop(1))
    work.push()
    work.commit({"patterns/p.yaml": None, "deployments/d00.yaml": None})
    [_, line] = work.push().lines
    assert "would undeploy 1 of 1 deployments: d00. It holds no documents at all. [mass-removal]" in line
    work.git("commit", "--quiet", "--amend", "--allow-empty", "-m", ALLOWED)
    assert not work.push().refused
    assert states(database) == [("undeployed", None)]


def test_a_removal_that_came_in_behind_the_gate_stops_nothing(work: Work, database: Database) -> None:
    work.commit(shop(8))
    work.push()
    work.commit(without(4))
    behind_the_gate(work)
    plan = work.reconciler.reconcile("default").plan
    assert plan is not None
    assert plan.summary == "4 unchanged, 4 stalled"
    held, same = [("active", "mass-removal")] * 4, [("active", None)] * 4
    assert states(database) == held + same
    # Other pushes go through and leave it as it is, also for a process that has just started.
    work.commit({"patterns/q.yaml": pattern("q"), "deployments/q.yaml": deployment("q")})
    assert not work.push().refused
    fresh = Reconciler(database, work.bare.parent, installation_key=b"k" * 32, public_url="http://weft")
    assert fresh.plan("default", None, None).summary == "5 unchanged, 4 stalled"
    assert states(database) == [*held, *same, ("active", None)]
    # One that would remove another is refused, one that is meant goes through, one comes back by its file.
    work.commit({"deployments/d04.yaml": None})
    assert work.push().refused
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    work.commit({"deployments/d00.yaml": deployment("d00", "p")})
    work.push()
    assert states(database) == [same[0], *held[1:], *same, same[0]]
    # However many others there are by now, what was held stays so.
    work.commit({f"deployments/e{n}.yaml": deployment(f"e{n}", "p") for n in range(9)})
    assert not work.push().refused
    work.commit({"patterns/q.yaml": pattern("q", "two")})
    assert not work.push().refused
    assert states(database)[:4] == [same[0], *held[1:]]


def test_a_held_removal_is_done_once_a_commit_says_that_it_is_meant(work: Work, database: Database) -> None:
    work.commit(shop(8))
    work.push()
    work.commit(without(4))
    behind_the_gate(work)
    work.reconciler.reconcile("default")
    work.commit({}, ALLOWED)
    assert len(work.push().lines) == 4
    assert states(database) == [("undeployed", None)] * 4 + [("active", None)] * 4


def test_a_branch_that_removes_too_much_is_told_so_and_its_plan_shows_it(work: Work) -> None:
    work.commit(shop(8))
    work.push()
    work.git("checkout", "--quiet", "-b", "side")
    work.commit(without(4))
    outcome = work.push("side")
    assert not outcome.refused
    assert outcome.lines[0] == "side: a merge of this into main would be refused, 1 problem in 1 file:"
    assert "[mass-removal]" in outcome.lines[1]
    plan = work.reconciler.plan("default", None, "side")
    assert plan.summary == "4 unchanged, 4 stalled"
    assert (
        plan.as_text()
        .splitlines()[1]
        .startswith("d00  v1  stalled: This commit would undeploy 4 of 8 deploym")
    )
