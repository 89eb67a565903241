"""How far a follower of a run is, as the ids of its events say it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

LONGEST = 60_000
"""Characters of an id that is taken back."""

_TEXT = re.compile(r"(\d{1,18})((?:\.[0-9a-f]{12}-[0-9a-f]{6}-\d{1,9})*)(\.end)?")


@dataclass(slots=True)
class Cursor:
    """Every row up to the number `seq` is told, and of some rows that changed since, or go on, their first lines.

    `lines`: row → (which of its attempts, how many lines). `ended`: there is nothing more to tell at all.

    >>> Cursor.read("7.0123456789ab-00ff00-3").lines
    {'0123456789ab': ('00ff00', 3)}
    """

    seq: int = -1
    lines: dict[str, tuple[str, int]] = field(default_factory=dict)
    ended: bool = False

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Raises ValueError for what is no id of an event."""
        found = _TEXT.fullmatch(text) if len(text) <= LONGEST else None
        if found is None:
            raise ValueError("it takes the id of an event of this run, as it came")
        parts = [part.split("-") for part in found[2].split(".")[1:]]
        return cls(int(found[1]), {row: (begun, int(count)) for row, begun, count in parts}, bool(found[3]))

    def __str__(self) -> str:
        rows = "".join(f".{row}-{begun}-{count}" for row, (begun, count) in self.lines.items())
        return f"{max(self.seq, 0)}{rows}{'.end' if self.ended else ''}"

    def told(self, row: str, begun: str) -> int | None:
        """How many lines of this attempt of a row are told; None: not even that it began."""
        known = self.lines.get(row)
        return known[1] if known is not None and known[0] == begun else None
