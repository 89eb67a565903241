"""Any pattern, whatever befalls it, comes to exactly one end, and does nothing twice that is known to be done."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from any_patterns import FATES, every_finally_ran, patterns, still_open, the_journal_says_the_same
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from simulation import Fate, World

from schemas.pattern import Pattern

ANY = settings(
    max_examples=int(os.environ.get("WEFT_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
)


@ANY
@given(patterns(), FATES, st.booleans())
def test_any_pattern_comes_to_one_end_whatever_befalls_it(pattern: Pattern, fate: Fate, keeps: bool) -> None:
    world = World(pattern, replace(fate, keeps=keeps))
    world.run()
    [end] = world.ends
    assert world.again == [], "done twice, though its result was durable"
    assert not still_open(world)
    assert len(world.taken) == len(set(world.taken)), "an event was taken twice"
    assert not [one for one in world.called_runs.values() if one.ends > world.now and not one.dropped]
    for journal in (*world.before, world.durable):
        every_finally_ran(world, journal)
    the_journal_says_the_same(world, end.status)


@ANY
@given(patterns(), FATES)
def test_a_run_goes_the_same_way_whether_its_worker_kept_it_or_reads_its_journal(
    pattern: Pattern, fate: Fate
) -> None:
    kept, read = (World(pattern, replace(fate, keeps=keeps), alone=True) for keeps in (True, False))
    kept.run()
    read.run()
    assert _told(kept) == _told(read)


def _told(world: World) -> Any:
    [end] = world.ends
    rows = {path: (span.status, span.attempt, span.output) for path, span in world.durable.items()}
    return end.status, end.output, sorted(world.called), world.taken, rows
