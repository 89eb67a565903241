"""What a case says in place of nodes, and how often each was asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

from schemas.stubs import Fails, Gives, Stub, pick

_ROUND: Final = re.compile(r"\[(\d+)\]")
_CONTAINER_ATTEMPT: Final = re.compile(r"~\d+")


class Stubs:
    """`written` by the node's path in the test: the ids of the calls that lead to it, and its own."""

    def __init__(self, written: Mapping[str, Stub]) -> None:
        self._written = written
        self._asked: Counter[str] = Counter()

    def __contains__(self, node: str) -> bool:
        return node in self._written

    def take(self, node: str, path: str) -> Gives | Fails:
        """What counts this time. `path`: where the node stands at run time, with the rounds of the loops."""
        place = _CONTAINER_ATTEMPT.sub("", path)
        tried = self._asked[place]
        self._asked[place] += 1
        return pick(self._written[node], [int(at) for at in _ROUND.findall(place)], tried)
