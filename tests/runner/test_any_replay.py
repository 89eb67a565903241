"""Any pattern that ended somehow, run once more from anywhere: what is done stays, all else is done."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from any_patterns import CALLS, FATES, every_finally_ran, patterns, still_open, the_journal_says_the_same
from any_replays import Expected
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from simulation import Fate, World

from runner.engine import End, Stopped
from runner.program import compile_pattern, written_path
from schemas.pattern import Pattern
from store.run_reads import Done
from store.runs import RunStatus
from store.spans import SpanStatus
from web.api.again import Place, kept_rows, parse_path

WELL = Fate(mended=True)
"""Nothing fails but what takes too long."""

BAD = (SpanStatus.FAILED, SpanStatus.CANCELLED)


class Shape(Enum):
    FAILED = "behind what failed"
    NODE = "a node, as the journal names it"
    EVERY = "that node in all rounds and items"
    TURN = "the innermost round or item that the node is in"


class Again(NamedTuple):
    shape: Shape
    pick: int
    fate: Fate | None  # None: all goes well


STREAKS = st.builds(lambda first, many: frozenset(range(first, first + many)), CALLS, st.integers(0, 12))
"""So many calls that fail one after another that a container fails, and is tried again."""

BAD_FATES = st.builds(
    lambda fate, streak, keeps: replace(fate, fails=fate.fails | streak, keeps=keeps),
    FATES,
    STREAKS,
    st.booleans(),
)

AGAIN = st.builds(Again, st.sampled_from(Shape), st.integers(0, 1000), st.none() | BAD_FATES)


@settings(
    max_examples=int(os.environ.get("WEFT_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
)
@given(patterns(), BAD_FATES, st.lists(AGAIN, min_size=1, max_size=3))
def test_any_run_can_be_run_once_more_and_that_one_too(
    written: Pattern, fate: Fate, replays: list[Again]
) -> None:
    outputs = {node.id: f"${{{{ nodes.{node.id} }}}}" for node in written.nodes}
    pattern = replace(written, output=outputs)
    world = World(pattern, fate)
    world.run()
    for again in replays:
        world = _replayed(world, again)


def _replayed(old: World, again: Again) -> World:
    start = _start(old, again)
    rows = [Done(path, span.status, span.attempt) for path, span in old.journal().items()]
    kept = kept_rows(rows, old.pattern.nodes, start or None)
    _what_is_kept_is_what_is_done(old, kept, start)
    new = old.once_more(kept, again.fate or WELL)
    begun = dict(new.durable)
    new.run()
    _it_came_to_one_end(new)
    first = new.before[0] if new.before else new.durable
    assert {path: first[path] for path in begun} == begun, "done again, though it was kept"
    _what_was_begun_anew_was_cleaned_up(new, first.keys() - begun.keys())
    if again.fate is None:
        _all_is_well(new, kept)
        if start and new.ends[0].status is RunStatus.COMPLETED and not isinstance(_end(new), Stopped):
            _ran(first.keys() - begun.keys(), start)
    return new


def _end(world: World) -> End:
    assert world.end is not None
    return world.end[0]


def _start(world: World, again: Again) -> Place:
    """Empty: behind what failed."""
    completed = world.ends[0].status is RunStatus.COMPLETED
    paths = sorted(world.journal())
    if not paths or (again.shape is Shape.FAILED and not completed):
        return ()
    place = parse_path(paths[again.pick % len(paths)])
    assert place is not None
    turns = [at for at, segment in enumerate(place) if segment.turn is not None]
    if again.shape is Shape.TURN and turns:
        return place[: turns[-1] + 1]
    if again.shape is Shape.EVERY:
        return tuple(segment._replace(turn=None) for segment in place)
    return place


def _what_is_kept_is_what_is_done(world: World, kept: dict[str, str], start: Place) -> None:
    journal = world.journal()
    expected = Expected(journal=journal, program=compile_pattern(world.pattern), start=start)
    assert len(set(kept.values())) == len(kept)
    assert all(_stripped(old) == _stripped(new) for old, new in kept.items())
    assert not start or not [path for path in kept if expected.is_redone(path)]
    if not expected.names_an_attempt_before_the_last():
        assert kept == expected.paths()


def _it_came_to_one_end(world: World) -> None:
    [end] = world.ends
    assert end.error is None or json.loads(end.error)["type"] != "internal_error", end.error
    assert world.again == []
    assert not still_open(world)
    for journal in (*world.before, world.durable):
        every_finally_ran(world, journal)
    the_journal_says_the_same(world, end.status)


def _what_was_begun_anew_was_cleaned_up(world: World, paths: set[str]) -> None:
    program = compile_pattern(world.pattern)
    for path in paths:
        blocks = program.by_path[written_path(path)].blocks
        if ("finally",) not in blocks:
            continue
        last = [step.node.id for step in blocks["finally",].steps]
        for called in world.called:
            place = re.fullmatch(rf"({re.escape(path)}(?:~\d+)?/)(\w+).*", called)
            if place and place[2] not in last:
                assert place[1] + last[0] in world.called


def _all_is_well(world: World, kept: dict[str, str]) -> None:
    """Behind what went well comes what a run gives in which all does."""
    reference = World(world.pattern, WELL)
    reference.run()
    journal = world.before[0] if world.before else world.durable
    bad = [path for path in kept.values() if journal[path].status in BAD]
    bad += [path for path, span in reference.journal().items() if span.status in BAD]
    if not bad:
        assert world.ends[0].status is RunStatus.COMPLETED, world.ends[0].error
        assert world.ends[0].output == reference.ends[0].output


def _ran(paths: set[str], start: Place) -> None:
    wanted = "/".join(
        re.escape(segment.id) + (r"(\[\d+\])?" if segment.turn is None else rf"\[{segment.turn}\]")
        for segment in start
    )
    assert any(re.match(rf"{wanted}(/|$)", _stripped(path)) for path in paths), (start, sorted(paths))


def _stripped(path: str) -> str:
    return re.sub(r"~\d+", "", path)
