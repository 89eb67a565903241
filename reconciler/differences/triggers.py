"""What differs between what starts a deployment's runs before and after: pure, time is an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from reconciler.differences.fields import MISSING, Change, Field, fields, known, value_text
from reconciler.differences.fires import instants
from schemas.pattern import JSON
from schemas.schedule import schedules_from

Listed = Sequence[Mapping[str, JSON]]


def trigger_changes(before: Mapping[str, JSON], after: Mapping[str, JSON]) -> Iterator[Change]:
    """Two `on` mappings, all but their schedules."""
    for key in [*after, *(key for key in before if key not in after)]:
        one, other = before.get(key, MISSING), after.get(key, MISSING)
        if key == "schedule":
            continue
        if one is MISSING or other is MISSING:
            yield _whole(key, one, other)
        else:
            yield from (field.told(f"on.{key}", f"trigger {key}") for field in fields(one, other))


def _whole(key: str, before: JSON, after: JSON) -> Change:
    verb = "removed" if after is MISSING else "added"
    methods = f": {', '.join(after.get('methods', ['POST']))}" if key == "webhook" and verb == "added" else ""
    sources = f": from {', '.join(after['from'])}" if key == "error" and verb == "added" else ""
    text = f"trigger {key} {verb}{methods}{sources}"
    return Change(path=f"on.{key}", before=known(before), after=known(after), text=text)


@dataclass(frozen=True, kw_only=True)
class ScheduleTeller:
    """Tells changes of the schedules at `path`. `now` None: they do not fire, so nothing is said of when."""

    path: str
    now: datetime | None = None
    note: str = ""

    def changes(self, before: Listed, after: Listed) -> Iterator[Change]:
        """Schedules have no names: equal ones belong together, then those of equal times, then by order."""
        pairs = _paired(before, after)
        for one, other in sorted(pairs, key=lambda pair: (pair[1] is None, pair[1] or pair[0] or 0)):
            was = MISSING if one is None else before[one]
            now = MISSING if other is None else after[other]
            yield from self._told(other if other is not None else one or 0, was, now)

    def _told(self, place: int, before: JSON, after: JSON) -> Iterator[Change]:
        field = Field(path=str(place), before=before, after=after)
        if before is MISSING:
            yield self._change(field, f"added: {schedule_text(after)}")
        elif after is MISSING:
            yield self._change(field, f"removed: {schedule_text(before)}")
        elif _times(before) != _times(after):
            yield self._change(field, f"changed: {schedule_text(before)} → {schedule_text(after)}")
            yield from self._rest(place, before, after)
        else:
            yield from self._rest(place, before, after)

    def _rest(self, place: int, before: JSON, after: JSON) -> Iterator[Change]:
        one, other = ({k: v for k, v in each.items() if k not in _TIMES} for each in (before, after))
        subject = f"trigger schedule {schedule_text(after)}"
        yield from (field.told(f"{self.path}.{place}", subject, self.note) for field in fields(one, other))

    def _change(self, field: Field, words: str) -> Change:
        text = f"trigger schedule {words}{self._next(field.after)}{self.note}"
        path = f"{self.path}.{field.path}"
        return Change(path=path, before=known(field.before), after=known(field.after), text=text)

    def _next(self, schedule: JSON) -> str:
        if self.now is None or schedule is MISSING:
            return ""
        zone = ZoneInfo(schedule.get("timezone", "UTC"))
        (typed,) = schedules_from([schedule])
        found = instants(typed, self.now)
        if not found:
            return ", never fires again"
        return f", next {', '.join(_wall(at.astimezone(zone)) for at in found)}"


_TIMES = ("cron", "every", "timezone")


def _times(schedule: Mapping[str, JSON]) -> tuple[JSON, ...]:
    return schedule.get("cron"), schedule.get("every"), schedule.get("timezone", "UTC")


def schedule_text(schedule: Mapping[str, JSON]) -> str:
    """`0 9 * * MON-FRI in Europe/Berlin`, `every 15m`."""
    if "every" in schedule:
        return f"every {value_text(schedule['every'])}"
    return f"{value_text(schedule.get('cron'))} in {value_text(schedule.get('timezone', 'UTC'))}"


def _wall(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


def _paired(before: Listed, after: Listed) -> list[tuple[int | None, int | None]]:
    """(place before, place after) of each schedule that differs; None where it has no counterpart."""
    old, new = dict(enumerate(before)), dict(enumerate(after))
    _take(old, new, lambda schedule: repr(sorted(schedule.items())))
    pairs: list[tuple[int | None, int | None]] = [*_take(old, new, _times)]
    rest = list(zip(old, new, strict=False))
    gone, come = list(old)[len(rest) :], list(new)[len(rest) :]
    return [*pairs, *rest, *((place, None) for place in gone), *((None, place) for place in come)]


def _take(
    old: dict[int, Mapping[str, JSON]],
    new: dict[int, Mapping[str, JSON]],
    key: Callable[[Mapping[str, JSON]], object],
) -> list[tuple[int, int]]:
    """Take out of both what has the same key, each once. Gives the places."""
    pairs = []
    for place, schedule in list(old.items()):
        twin = next((at for at, other in new.items() if key(other) == key(schedule)), None)
        if twin is not None:
            pairs.append((place, twin))
            del old[place], new[twin]
    return pairs
