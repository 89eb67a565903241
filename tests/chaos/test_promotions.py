"""What is live changes under load: nobody is refused, and every run is of one version from its first node on."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from callers import Callers
from eventually import eventually
from installation import Installation, live, pattern

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]


def files(mark: int) -> dict[str, str]:
    """A pattern that sleeps between two calls of another; all of them carry the mark of their version."""
    own = f"- {{id: own, uses: set, with: {{mark: {mark}, number: '${{{{ version.number }}}}'}}}}"
    call = "- {id: %s, uses: call, with: {pattern: inner}}"
    nodes = [own, call % "first", "- {id: pause, uses: delay, with: {for: 200ms}}", call % "second"]
    marks = "[nodes.own.mark, nodes.first.mark, nodes.second.mark]"
    found = live(
        "outer",
        "\n".join(nodes),
        output={"marks": f"${{{{ {marks} }}}}", "number": "${{ nodes.own.number }}"},
    )
    inner = pattern("inner", f"- {{id: mark, uses: set, with: {{mark: {mark}}}}}", on={"call": {}})
    light = live("light", f"- {{id: own, uses: set, with: {{mark: {mark}}}}}")
    return found | light | {"patterns/inner.yaml": inner}


@dataclass(frozen=True)
class Live:
    """A version that became live between two moments (seconds since the epoch)."""

    version: str
    since: float  # when its transaction began
    certain: float  # when the push that made it live was answered


def promote(weft: Installation, number: int) -> float:
    """The next version by a push, or back to the first by `git revert`. Gives when the push was answered."""
    if number % 2:
        weft.push(files(number + 1))
    else:
        weft.git("revert", "--no-edit", "HEAD")
        weft.push_head()
    return time.time()


def history(weft: Installation, name: str, answered: list[float]) -> list[Live]:
    sql = """
        SELECT r.version_id, extract(epoch FROM r.at)::float8 FROM revisions r
        JOIN deployments d ON d.id = r.deployment_id WHERE d.name = %s ORDER BY r.revision
    """
    rows = weft.rows(sql, [name])
    assert len(rows) == len(answered)
    return [Live(version, at, until) for (version, at), until in zip(rows, answered, strict=True)]


def possible(live: list[Live], sent: float, answered: float) -> set[str]:
    """The versions that were live at some moment between a call and its answer."""
    ends = [following.certain for following in live[1:]] + [float("inf")]
    return {one.version for one, end in zip(live, ends, strict=True) if one.since <= answered and end >= sent}


def test_every_run_has_the_version_that_was_live_when_it_was_accepted(weft: Installation) -> None:
    weft.push(files(1))
    answered = [time.time()]
    urls = [(name, weft.hook(name)) for name in ("light", "light", "light", "outer")]
    with Callers(weft, urls, threads=32) as callers:
        for number in range(1, 9):
            before = len(callers.runs)
            eventually(lambda before=before: len(callers.runs) > before + 100, seconds=30)
            answered.append(promote(weft, number))
    assert (callers.statuses.keys(), callers.cut_off) == ({202}, 0)
    statuses = weft.await_ends(seconds=90)
    assert set(statuses.values()) == {"completed"}

    versions = dict(weft.rows("SELECT id::text, version_id FROM runs WHERE parent_id IS NULL"))
    for name in ("light", "outer"):
        lives = history(weft, name, answered)
        # Every second one is the first again, by its content.
        assert [one.version == lives[0].version for one in lives] == [at % 2 == 0 for at in range(9)]
        for run, call in callers.acknowledged.items():
            if call.name == name:
                assert versions[run] in possible(lives, call.sent, call.answered), (run, call)
    assert len({versions[run] for run in callers.runs}) > 8, "the load met the promotions"

    check_one_version_throughout(weft)


def check_one_version_throughout(weft: Installation) -> None:
    """What a run did is what its version says, and so is what the patterns did that it called."""
    contents = dict(weft.rows("SELECT id, content FROM versions"))
    numbers = dict(weft.rows("SELECT version_id, number FROM freezes"))
    sql = "SELECT id::text, version_id, output, pattern FROM runs WHERE pattern IN ('outer', 'light')"
    for run, version, output, name in weft.rows(sql):
        mark = contents[version]["spec"]["nodes"][0]["with"]["mark"]
        seen = {"marks": [mark] * 3, "number": numbers[version]} if name == "outer" else {"mark": mark}
        assert output == seen, f"{run} of version {numbers[version]} (mark {mark}) gave {output}"
