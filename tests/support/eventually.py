"""Waiting for what is bound to happen, without a sleep that is too long or too short."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    look: Callable[[], T],
    *,
    seconds: float = 20.0,
    pause: float = 0.01,
    otherwise: Callable[[], str] = lambda: "",
) -> T:
    """What is found at last. `otherwise`: what to say when it is not."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s. {otherwise()}"
        time.sleep(pause)
    return found
