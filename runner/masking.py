"""Stars in place of secrets, in whatever is kept or shown: a server may send back what it was sent."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from runner.spellings import SHORTEST, spellings
from schemas.pattern import JSON

STARS: Final = "***"

_LONG: Final = 200
"""Characters of an output's text from which on it may be the end, or the beginning, of something longer."""

_PIECE: Final = 8
"""Characters of a secret that are starred at the end or beginning of such a text."""

_LARGEST: Final = 64 * 1024
_SPELLED: Final = 8 * 1024
"""Characters of a derived text that is starred at all, and in all its spellings. In longer ones secrets are."""

_WRAPPED: Final = 8
"""Characters from which on a part is found as well where it goes over the ends of lines."""

_MOST_DERIVED: Final = 500
_NODES: Final = 100
"""Nodes whose derived texts are kept in any case: there are fewer at work at once."""


class Mask:
    """What is starred. It grows, for any number of threads.

    `below` is another one that counts as well, as it is at the time.
    """

    def __init__(self, below: Mask | None = None) -> None:
        self._below = below
        self._mutex = threading.Lock()
        self._secrets: dict[str, frozenset[str]] = {}  # with their spellings
        self._derived: deque[dict[str, frozenset[str]]] = deque()
        self._leaves: frozenset[str] = frozenset()
        self._parts: tuple[str, ...] = ()

    def __len__(self) -> int:
        """The secrets in it."""
        return len(self._secrets) + (0 if self._below is None else len(self._below))

    def add(self, secret: str) -> None:
        """For good."""
        if secret and secret not in self._secrets:
            with self._mutex:
                self._secrets[secret] = spellings(secret)
                self._make()

    def add_derived(self, texts: Iterable[str]) -> None:
        """What one node made of secrets. Where there is much of that, what nodes made long before is forgotten."""
        wanted = {text for text in texts if text and text not in self._leaves and len(text) <= _LARGEST}
        new = {text: spellings(text) if len(text) <= _SPELLED else frozenset({text}) for text in wanted}
        if new:
            with self._mutex:
                self._derived.append(new)
                while len(self._derived) > _NODES and sum(map(len, self._derived)) > _MOST_DERIVED:
                    self._derived.popleft()
                self._make()

    def _make(self) -> None:
        known: dict[str, frozenset[str]] = {}
        for some in (self._secrets, *self._derived):
            known |= some
        self._leaves = frozenset(known).union(*known.values())
        self._parts = tuple(sorted(frozenset().union(*known.values())))

    def text(self, text: str) -> str:
        """The text with stars. Where secrets overlap, nothing of either is left."""
        if self._is_leaf(text):
            return STARS
        parts = self._all_parts()
        return _starred(_unwrapped(text, parts), [part for part in parts if part in text])

    def cut_text(self, text: str) -> str:
        """The same for one that was cut off, perhaps within a secret: at its end, before an ellipsis, at its
        beginning, or behind a colon.
        """
        parts = self._all_parts()
        text = self.text(text)
        for end in (len(text), text.rfind("…")):
            if end >= 0:
                text = _without_end(text, end, parts, SHORTEST)
        for start in reversed([0, *(at + 2 for at in _places(text, ": "))]):
            text = _without_start(text, start, parts, SHORTEST)
        return text

    def line(self, text: str) -> str:
        """The same for a line of a log, which says by an ellipsis where it was cut off."""
        return self.cut_text(text) if "…" in text else self.text(text)

    def value(self, value: JSON) -> JSON:
        """The value with stars in all of its texts and keys. The same object where there are none.

        A number is starred where it is a secret as a whole.
        """
        texts = list(_texts(value))
        joined, parts = "\n".join(texts), self._all_parts()
        present = [part for part in parts if part in joined]
        if present or any(map(self._is_leaf, texts)) or any(self._is_torn(text, parts) for text in texts):
            return self._masked(value, present)
        return value

    def _masked(self, value: JSON, present: Sequence[str]) -> JSON:
        if isinstance(value, str):
            return self._masked_text(value, present)
        if isinstance(value, dict):
            made = [
                (self._masked_text(key, present), self._masked(one, present)) for key, one in value.items()
            ]
            return _with_unique_keys(made)
        if isinstance(value, list):
            return [self._masked(one, present) for one in value]
        return STARS if _is_number(value) and self._is_leaf(str(value)) else value

    def _masked_text(self, text: str, present: Sequence[str]) -> str:
        if self._is_leaf(text):
            return STARS
        text = _starred(_unwrapped(text, self._all_parts()), present)
        return _without_ends(text, self._all_parts()) if len(text) >= _LONG else text

    def _is_torn(self, text: str, parts: Sequence[str]) -> bool:
        if _unwrapped(text, parts) is not text:
            return True
        return len(text) >= _LONG and _without_ends(text, parts) != text

    def _all_parts(self) -> tuple[str, ...]:
        return self._parts if self._below is None else (*self._parts, *self._below._all_parts())

    def _is_leaf(self, text: str) -> bool:
        return text in self._leaves or (self._below is not None and self._below._is_leaf(text))


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without any of `secrets`, also where it was cut off within one."""
    mask = Mask()
    for secret in secrets:
        if len(secret) >= SHORTEST:
            mask.add(secret)
    return mask.cut_text(text)


def _starred(text: str, parts: Iterable[str]) -> str:
    return _with_stars(text, sorted((at, at + len(part)) for part in parts for at in _places(text, part)))


def _with_stars(text: str, spans: Iterable[tuple[int, int]]) -> str:
    made, done = [], 0
    for start, end in spans:
        if start > done or (start == done == 0):
            made += [text[done:start], STARS]
        done = max(done, end)
    return "".join([*made, text[done:]])


def _unwrapped(text: str, parts: Iterable[str]) -> str:
    """With stars for parts that go over the ends of lines, as programs wrap Base64. The same object without any."""
    if "\n" not in text:
        return text
    plain = text.replace("\r", "").replace("\n", "")
    spans = [(at, at + len(part)) for part in parts if len(part) >= _WRAPPED for at in _places(plain, part)]
    if not spans:
        return text
    at = [place for place, char in enumerate(text) if char not in "\r\n"]
    return _with_stars(text, sorted((at[start], at[end - 1] + 1) for start, end in spans))


def _places(text: str, part: str) -> Iterator[int]:
    """Where it stands, also where it overlaps itself."""
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _without_ends(text: str, parts: Sequence[str]) -> str:
    return _without_start(_without_end(text, len(text), parts, _PIECE), 0, parts, _PIECE)


def _without_end(text: str, end: int, parts: Sequence[str], least: int) -> str:
    """With stars for the beginning of a part, of `least` characters or more, that ends at `end`."""
    end = len(text[:end].rstrip("\ufffd"))  # half a character
    begins = end
    for part in parts:
        if len(part) > least:
            at = text.find(part[:least], max(0, end - len(part) + 1), end)
            while 0 <= at < begins and not part.startswith(text[at:end]):
                at = text.find(part[:least], at + 1, end)
            begins = min(begins, at) if at >= 0 else begins
    return text if begins == end else text[:begins] + STARS + text[end:]


def _without_start(text: str, start: int, parts: Sequence[str], least: int) -> str:
    """With stars for the end of a part, of `least` characters or more, that begins at `start`."""
    start += len(text) - start - len(text[start:].lstrip("\ufffd"))
    ends = start
    for part in parts:
        if len(part) > least:
            at = text.rfind(part[-least:], start, start + len(part) - 1)
            while at >= 0 and at + least > ends and not part.endswith(text[start : at + least]):
                at = text.rfind(part[-least:], start, at + least - 1)
            ends = max(ends, at + least) if at >= 0 else ends
    return text if ends == start else text[:start] + STARS + text[ends:]


def _texts(value: JSON) -> Iterator[str]:
    """All texts, keys, and numbers as text."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            yield from one
            left += one.values()
        elif isinstance(one, list):
            left += one
        elif _is_number(one):
            yield str(one)


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _with_unique_keys(items: Iterable[tuple[str, JSON]]) -> dict[str, JSON]:
    made: dict[str, JSON] = {}
    for key, value in items:
        number, name = 1, key
        while name in made:
            number += 1
            name = f"{key} ({number})"
        made[name] = value
    return made
