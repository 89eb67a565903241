"""What must hold of schedules beyond their shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from schemas.cron import check_cron
from schemas.mistakes import Mistake
from schemas.quantities import duration, seconds
from schemas.schedule import DAY_OR_TIME, first_instant, last_instant
from schemas.zones import timezone_names

JSON = Any
Path = tuple[str | int, ...]

_MOST_SCHEDULES: Final = 100  # as the JSON Schema has it
LONGEST_WINDOW: Final = 30 * 86_400.0
LONGEST_JITTER: Final = 86_400.0


def schedule_mistakes(listed: JSON, at: Path) -> Iterator[Mistake]:
    """Of a list of schedules, as patterns and deployments have it, whatever shape it has."""
    for index, one in enumerate(listed[:_MOST_SCHEDULES] if isinstance(listed, list) else ()):
        if isinstance(one, dict):
            yield from _mistakes(one, (*at, index))


def check_timezone(timezone: str) -> str | None:
    """What is wrong with the name of a time zone, or None."""
    return None if timezone in timezone_names() else f"there is no time zone called {timezone!r}"


def _mistakes(schedule: Mapping[str, JSON], at: Path) -> Iterator[Mistake]:
    cron, timezone = schedule.get("cron"), schedule.get("timezone", "UTC")
    wrong = check_cron(cron) if isinstance(cron, str) else None
    if wrong:
        hint = 'Write minute, hour, day, month and weekday, such as "0 9 * * MON-FRI".'
        yield Mistake(path=(*at, "cron"), code="invalid-cron", message=wrong, hint=hint)
    if "dst" in schedule and "every" in schedule:
        message = '"every" goes by elapsed time: no clock skips or repeats it'
        hint = 'Take "dst" out, or write a cron line.'
        yield Mistake(path=(*at, "dst"), at_key=True, code="conflicting-keys", message=message, hint=hint)
    wrong = check_timezone(timezone) if isinstance(timezone, str) else None
    if wrong:
        hint = "Write a name of the IANA database, such as UTC or Europe/Berlin."
        yield Mistake(path=(*at, "timezone"), code="unknown-timezone", message=wrong, hint=hint)
    elif isinstance(timezone, str):
        yield from _bounds(schedule, timezone, at)
    yield from _lengths(schedule, at)


def _bounds(schedule: Mapping[str, JSON], timezone: str, at: Path) -> Iterator[Mistake]:
    found: dict[str, datetime] = {}
    readers: Mapping[str, Callable[[str, str], datetime]] = {"from": first_instant, "until": last_instant}
    for key, read in readers.items():
        text = schedule.get(key)
        if not isinstance(text, str) or not DAY_OR_TIME.fullmatch(text):
            continue  # the JSON Schema says so
        try:
            found[key] = read(text, timezone)
        except (ValueError, OverflowError):
            message, hint = (
                f'"{key}" names no day or time: {text!r:.80}',
                "Write 2026-03-01 or 2026-03-01T09:30.",
            )
            yield Mistake(path=(*at, key), code="invalid-value", message=message, hint=hint)
    if len(found) == 2 and found["until"] < found["from"]:
        message, hint = '"until" lies before "from": it would never fire', 'Put "until" behind "from".'
        yield Mistake(path=(*at, "until"), code="invalid-value", message=message, hint=hint)


def _lengths(schedule: Mapping[str, JSON], at: Path) -> Iterator[Mistake]:
    written = schedule.get("catchUp")
    within = written.get("window") if isinstance(written, dict) else written
    window = (*at, "catchUp", "window") if isinstance(written, dict) else (*at, "catchUp")
    yield from _too_long(within, LONGEST_WINDOW, window)
    yield from _too_long(schedule.get("jitter"), LONGEST_JITTER, (*at, "jitter"))


def _too_long(written: JSON, most: float, path: Path) -> Iterator[Mistake]:
    try:
        length = seconds(written) if isinstance(written, str) else 0.0
    except ValueError:
        return  # the JSON Schema says so, or it is one of its words
    if length > most:
        message, hint = f'"{path[-1]}" cannot be {written}', f"Write at most {duration(most)}."
        yield Mistake(path=path, code="invalid-value", message=message, hint=hint)
