"""How soon a process that died is started again. Pure: times come in as arguments."""

from __future__ import annotations

from dataclasses import dataclass

STEADY = 5.0  # seconds: who lived that long does not die "again and again"
PROVEN = 1.0  # seconds: a worker that lived that long has freed the runs of those it replaces
LONGEST = 5.0  # seconds between two attempts


@dataclass(frozen=True, kw_only=True)
class Deaths:
    """What happened in one place so far. `owed` are the dead workers whose runs nobody has freed for sure."""

    in_a_row: int = 0
    owed: tuple[str, ...] = ()

    def and_now(self, worker_id: str | None, lived: float) -> Deaths:
        """The record after one more death, of a process that lived `lived` seconds."""
        owed = self.owed if lived < PROVEN else ()
        return Deaths(
            in_a_row=1 if lived >= STEADY else self.in_a_row + 1,
            owed=owed if worker_id is None else (*owed, worker_id),
        )

    @property
    def delay(self) -> float:
        """Seconds until the next start: none after the first death, then 0.1, 0.2, 0.4 … 5."""
        return 0.0 if self.in_a_row < 2 else min(LONGEST, 0.1 * 2.0 ** min(self.in_a_row - 2, 10))
