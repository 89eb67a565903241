"""What a process need not look at again is what another, which knows nothing yet, finds unchanged."""

import random

import pytest
from git_work import Work, deployment, pattern

from reconciler.landing import land, view_of
from reconciler.recollection import Recollection
from reconciler.session import Sessions
from store.database import Database
from store.repositories import repository_state

NAMES = ("a", "b", "c", "d", "e")
PATTERNS = {"a": "", "b": "a", "c": "b", "d": "", "e": "d@1"}  # with what each calls
KINDS = ("pattern", "source", "state", "remove", "elsewhere", "broken")

Files = dict[str, str | bytes | None]


def edits(rng: random.Random, work: Work) -> Files:
    """One to three changes: of patterns, of deployments' sources and states, of the files that hold them."""
    files: Files = {}
    for name in rng.sample(NAMES, rng.randint(1, 3)):
        path = f"deployments/{name}.yaml"
        match rng.choices(KINDS, weights=(5, 5, 2, 2, 1, 1))[0]:
            case "pattern":
                files[f"patterns/{name}.yaml"] = pattern(name, rng.choice("xyz"), calls=PATTERNS[name])
            case "source":
                source = rng.choice(("{branch: main}", "{branch: side}", "{tag: live}", "{version: 1}"))
                files[path] = deployment(name, source=source)
            case "state":
                files[path] = deployment(name, state=rng.choice(("active", "paused")))
            case "remove" if (work.folder / path).exists():
                files[path] = None
            case "elsewhere":
                files[path] = deployment(name, of=rng.choice(NAMES))
            case "broken":
                files[f"patterns/{name}.yaml"] = "apiVersion: weft/v1\nkind: Pattern\nspec: {}\n"
            case _:
                files[path] = deployment(name)
    return files


def move_something(rng: random.Random, work: Work) -> None:
    """Another branch or the tag, to a commit that main had."""
    commit = rng.choice(work.git("rev-list", "main").split())
    ref = rng.choice(("refs/heads/side", "refs/tags/live"))
    work.git("update-ref", ref, commit)
    work.push(ref)


def past_the_gate(work: Work) -> None:
    """Main as it is here, as an upstream's commits come, good or bad."""
    work.git("tag", "--force", "carrier", "main")
    head = work.git("rev-parse", "main")
    work.push("refs/tags/carrier")
    work.server_git("update-ref", "refs/heads/main", head)
    work.reconciler.reconcile("default")


def left_to_do(work: Work, database: Database) -> list[str]:
    """What a process that has just started would write: nothing, when all that moved was seen."""
    with Sessions(database, work.bare.parent).open("default") as session:
        known = Recollection().recall(session, repository_state(session.connection, "default"))
        plan = land(known, view_of(known, session.repository, session.refs, session.default_ref)).plan
        return [f"{step.name}: {step.action}" for step in plan.steps if step.writes]


@pytest.mark.parametrize("seed", range(4))
def test_a_process_that_remembers_makes_live_what_one_that_does_not_would(
    seed: int, work: Work, database: Database
) -> None:
    rng = random.Random(seed)
    files: Files = {f"patterns/{name}.yaml": pattern(name, calls=PATTERNS[name]) for name in NAMES}
    work.commit({**files, **{f"deployments/{name}.yaml": deployment(name) for name in NAMES}})
    work.git("branch", "side")
    work.git("tag", "live")
    work.git("tag", "carrier")
    work.push("main", "side", "refs/tags/live")
    landed = 0
    for _ in range(25):
        if rng.random() < 0.5:
            move_something(rng, work)
            assert left_to_do(work, database) == []
        before = work.git("rev-parse", "main")
        work.commit(edits(rng, work))
        if rng.random() < 0.2:
            past_the_gate(work)
        elif work.push().refused:
            work.git("reset", "--quiet", "--hard", before)
            continue
        landed += 1
        assert left_to_do(work, database) == []
    assert landed > 5
