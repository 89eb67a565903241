"""What a push hands over once its objects have arrived, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from reconciler.actor import Actor
from reconciler.git.refs import RefUpdate


class PushOutcome(Protocol):
    """`lines` for the pusher's terminal; `refused` is ref → reason for those that did not move."""

    @property
    def lines(self) -> tuple[str, ...]: ...

    @property
    def refused(self) -> Mapping[str, str]: ...


class Receiver(Protocol):
    """Decides whether refs move, and moves them. Called from a thread; serialises by itself."""

    def push(
        self, organisation: str, updates: Sequence[RefUpdate], *, quarantine: Path | None, pusher: Actor
    ) -> PushOutcome: ...
