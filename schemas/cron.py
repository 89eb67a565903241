"""Cron lines: which times of a wall clock they name. The only place that knows croniter."""

from __future__ import annotations

import re
import threading
from datetime import datetime
from functools import lru_cache
from typing import Final

from croniter import CroniterBadDateError, CroniterError, croniter

NICKNAMES: Final = {
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
    "@MONTHLY": "0 0 1 * *",
    "@WEEKLY": "0 0 * * 0",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@HOURLY": "0 * * * *",
}

_FIELD: Final = re.compile(r"[0-9*/,#?LA-Za-z-]+")
_WORDS: Final = frozenset(
    {"L"}
    | {"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
    | {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
)
_LONGEST: Final = 200
_KNOWN: Final = 8
"""Answers that a line remembers: many schedules with the same one ask the same at the same time."""
_HOURS: Final = frozenset(range(24))
_START: Final = datetime(2024, 1, 1)


class CronLine:
    """A line that was checked. For several threads at once."""

    def __init__(self, cron: str) -> None:
        """Raises ValueError or CroniterError for what is no cron line."""
        fields = expanded(cron).split()
        self._walkers = [
            croniter(" ".join(one), _START, second_at_beginning=len(one) == 6) for one in _either(fields)
        ]
        self._lock = threading.Lock()
        self._known: dict[datetime, datetime | None] = {}
        hours = self._walkers[0].expanded[1]
        self.in_every_hour = hours == ["*"] or _HOURS.issubset(hours)
        """Whether it names times in each of the 24 hours."""

    def after(self, wall: datetime) -> datetime | None:
        """The first time that it names strictly after `wall`, both naive; None: there is none any more."""
        # A slot is a whole second: rounding down is exact, and croniter's floats are not.
        wall = wall.replace(microsecond=0)
        with self._lock:
            if wall not in self._known:
                if len(self._known) >= _KNOWN:
                    self._known.clear()
                self._known[wall] = self._next(wall)
            return self._known[wall]

    def _next(self, wall: datetime) -> datetime | None:
        found = [slot for walker in self._walkers if (slot := _walked(walker, wall)) is not None]
        return min(found, default=None)


def _walked(walker: croniter, wall: datetime) -> datetime | None:
    walker.set_current(wall)
    try:
        slot: datetime = walker.get_next(datetime)
    except (CroniterBadDateError, OverflowError):
        return None
    return slot


def _either(fields: list[str]) -> list[list[str]]:
    """The lines that together are this one: croniter wants both days where the weekday is the second or last of
    a month, and either everywhere else.
    """
    *_, day, _, weekday = fields
    if day in {"*", "?"} or not {"#", "L"} & set(weekday):
        return [fields]
    return [[*fields[:-1], "*"], [*fields[:-3], "*", *fields[-2:]]]


def expanded(cron: str) -> str:
    """In capitals, a nickname such as @daily in fields."""
    line = " ".join(cron.upper().split())
    return NICKNAMES.get(line, line)


@lru_cache(maxsize=2048)
def cron_line(cron: str) -> CronLine:
    return CronLine(cron)


@lru_cache(maxsize=4096)
def check_cron(cron: str) -> str | None:
    """What is wrong with a cron line, or None. Five fields, or six with the seconds first, or a nickname."""
    if len(cron) > _LONGEST:
        return f"a cron line has at most {_LONGEST} characters"
    if cron.lstrip().startswith("@"):
        return _check_nickname(cron)
    fields = cron.split()
    if len(fields) not in {5, 6}:
        return f"{cron!r} has not five fields (or six with the seconds first)"
    for one in fields:
        words = re.findall(r"[A-Za-z]+", one)
        if not _FIELD.fullmatch(one) or any(word.upper() not in _WORDS for word in words):
            return f"{one!r} cannot be read as a field of a cron line"
    return _check_fires(cron)


def _check_nickname(cron: str) -> str | None:
    if expanded(cron) in NICKNAMES.values():
        return None
    if cron.strip().lower() == "@reboot":
        return "'@reboot' names no time: a deployment is not tied to a machine that starts"
    return f"{cron!r} is not one of {', '.join(name.lower() for name in NICKNAMES)}"


def _check_fires(cron: str) -> str | None:
    reason = ""
    try:
        if CronLine(cron).after(_START) is not None:
            return None
    except (CroniterError, ValueError, ArithmeticError) as error:
        reason = str(error).removeprefix(f"[{cron.lower()}] ").removeprefix("is not acceptable").strip(", .")
    return f"{cron!r} is not a cron line that ever fires" + (f": {reason}" if reason else "")
