"""Version numbers: 1, 2, 3… per pattern, in the order in which the default branch first held the versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.freeze import Version


class Ledger:
    """Which version ids a history has held, by number. Grows along the history, never changes."""

    def __init__(self, ids: Mapping[str, Iterable[str]] | None = None) -> None:
        """`ids`: pattern → version ids, the first of them number 1."""
        # Never changed in place: a copy shares them.
        self._ids = {pattern: tuple(known) for pattern, known in (ids or {}).items()}
        self._numbers = {known: n for listed in self._ids.values() for n, known in enumerate(listed, 1)}

    def copy(self) -> Ledger:
        """A ledger of its own, for what may yet be refused."""
        twin = Ledger()
        twin._ids = dict(self._ids)
        twin._numbers = dict(self._numbers)
        return twin

    def number(self, version: str) -> int | None:
        return self._numbers.get(version)

    def id(self, pattern: str, number: int) -> str | None:
        known = self._ids.get(pattern, ())
        return known[number - 1] if 1 <= number <= len(known) else None

    def newest(self, pattern: str) -> int:
        """The highest number that a pattern has; 0 for none."""
        return len(self._ids.get(pattern, ()))

    def add(self, versions: Iterable[Version]) -> list[Version]:
        """Number those that are new, by pattern name. Gives them in that order."""
        new = sorted((v for v in versions if v.id not in self._numbers), key=lambda v: v.pattern)
        for version in new:
            known = self._ids[version.pattern] = (*self._ids.get(version.pattern, ()), version.id)
            self._numbers[version.id] = len(known)
        return new
