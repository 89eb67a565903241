"""The secrets that an expression may read, and what it made of them.

What an expression gives may hold other things beside: a mapping of an order and a key. So it is evaluated once more
with other secrets; what is the same then does not come from a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import orjson

from schemas.expression_errors import ExpressionFailed
from schemas.pattern import JSON

SECRETS: Final = "secrets"
"""The name in expressions that secrets are known by."""

_PUNCTUATION: Final = "!#$%&()*+,-./:;<=>?@[]^_{|}~"


class SecretValues(dict[str, str]):
    """Secrets by name. `derived` are the texts and numbers that expressions made of them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.derived: list[str | int | float] = []

    def note(self, value: JSON, evaluate: Callable[[Mapping[str, JSON]], JSON]) -> None:
        """An expression gave `value`; `evaluate` tells what it would have given with other secrets."""
        if isinstance(value, str) and value in self.values():
            return
        self.derived += _of_secrets(value, self._with_others(value, evaluate))

    def _with_others(self, value: JSON, evaluate: Callable[[Mapping[str, JSON]], JSON]) -> JSON:
        if not isinstance(value, dict | list):
            return None
        try:
            return evaluate({name: other(secret) for name, secret in self.items()})
        except ExpressionFailed:
            return None


def placeholder(name: str) -> str:
    """What stands in place of a secret where nothing is sent."""
    return f"secret-{name}"


def other(secret: str) -> str:
    """Another text of the same length and kinds of characters: none of them is the same. Of JSON, another JSON with
    the same keys.
    """
    if secret.lstrip()[:1] in ("{", "["):
        try:
            return orjson.dumps(_other_json(orjson.loads(secret))).decode()
        except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
            pass
    return "".join(map(_other, secret))


def _other_json(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {key: _other_json(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_other_json(one) for one in value]
    if isinstance(value, str):
        return "".join(map(_other, value))
    return value + 1 if isinstance(value, int | float) and not isinstance(value, bool) else value


def _other(char: str) -> str:
    if "0" <= char <= "9":
        return str((int(char) + 5) % 10)
    for first in "aA":
        if first <= char.lower() <= "z" and char.isascii() and char.islower() == (first == "a"):
            return chr((ord(char) - ord(first) + 13) % 26 + ord(first))
    at = _PUNCTUATION.find(char)
    return _PUNCTUATION[at - 1] if at >= 0 else "x"


def _of_secrets(value: JSON, beside: JSON) -> Iterator[str | int | float]:
    """The leaves of `value`, and the keys, that are not at the same place in `beside`."""
    if isinstance(value, dict):
        same = beside if isinstance(beside, dict) else {}
        moved = [one for key, one in same.items() if key not in value]
        for key, one in value.items():
            if key in same:
                yield from _of_secrets(one, same[key])
            else:
                yield key
                yield from () if one in moved else _of_secrets(one, None)
    elif isinstance(value, list):
        others = beside if isinstance(beside, list) and len(beside) == len(value) else [None] * len(value)
        for one, against in zip(value, others, strict=True):
            yield from _of_secrets(one, against)
    elif isinstance(value, str | int | float) and not isinstance(value, bool) and value != beside:
        yield value
