"""How far a `for-each` is, from what is known of its items. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from schemas.pattern import JSON
from store.spans import SETTLED, SpanStatus

_ITEM = re.compile(r"\[(\d+)\](?:/([^/\[]+))?(.*)", re.DOTALL)


def progress(
    rows: Iterable[tuple[str, SpanStatus]], last: str | None, total: int | None
) -> dict[str, int | None]:
    """`done` and `total` items.

    `rows` are (path behind the container's, such as `[3]/send`; status), `last` is the id of an item's last node.
    An item is done when its last node is, or when one failed and none goes on.
    """
    done: set[int] = set()
    going: set[int] = set()
    for path, status in rows:
        found = _ITEM.match(path)
        if found is None or found[3]:
            continue
        item, node = int(found[1]), found[2]
        if status not in SETTLED:
            going.add(item)
        elif node is None or node == last or status in (SpanStatus.FAILED, SpanStatus.CANCELLED):
            done.add(item)
    return {"done": len(done - going), "total": total}


def total(state: JSON) -> int | None:
    """How many items there are, by what a container notes for itself; None where that does not say it."""
    if isinstance(state, list):
        return len(state)
    if not isinstance(state, Mapping):
        return None
    for key in ("items", "total", "count"):
        value = state.get(key)
        if isinstance(value, list):
            return len(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return total(state["state"]) if "state" in state else None
