"""What a test says in place of a node: an output, an error, or a list of them.

An output stands as it is. What is no output is a mapping with one key that begins with `$`, so that neither can be
taken for the other: `{$error: {type, message}}`, `{$attempts: […]}`, `{$rounds: […]}`, and `{$output: …}` for an
output that looks like one of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from schemas.mistakes import Mistake, did_you_mean
from schemas.pattern import JSON

SIGN: Final = "$"
WORDS: Final = ("$attempts", "$error", "$output", "$rounds")
_ERROR_KEYS: Final = ("message", "retry", "type")
_LISTS: Final = ("$attempts", "$rounds")


@dataclass(frozen=True, slots=True)
class Gives:
    """The node gives this."""

    output: JSON


@dataclass(frozen=True, slots=True)
class Fails:
    """The node fails with this. `retry` False: another attempt cannot help."""

    type: str
    message: str
    retry: bool = True


@dataclass(frozen=True, slots=True)
class Attempts:
    """One for each time that the node is tried; the last one goes on."""

    each: tuple[Stub, ...]


@dataclass(frozen=True, slots=True)
class Rounds:
    """One for each item or round of the loop around the node (the outermost, where there are several)."""

    each: tuple[Stub, ...]


Stub: TypeAlias = Gives | Fails | Attempts | Rounds


def stub_from(written: JSON) -> Stub:
    """The stub of what passed `stub_mistakes`."""
    word = _word(written)
    if word is None:
        return Gives(written)
    value = written[word]
    if word == "$error":
        message = value.get("message", "This error is that of the test's stub.")
        return Fails(value["type"], message, value.get("retry", True))
    if word == "$output":
        return Gives(value)
    each = tuple(stub_from(one) for one in value)
    return Attempts(each) if word == "$attempts" else Rounds(each)


def pick(stub: Stub, rounds: Sequence[int], tried: int) -> Gives | Fails:
    """What counts in these `rounds` (the outermost loop first) when the node was `tried` so often before."""
    while not isinstance(stub, Gives | Fails):
        if isinstance(stub, Attempts):
            at = tried
        else:
            at, rounds = (rounds[0], rounds[1:]) if rounds else (0, ())
        stub = stub.each[min(at, len(stub.each) - 1)]
    return stub


def stub_mistakes(written: JSON, path: tuple[str | int, ...]) -> Iterator[Mistake]:
    """What is wrong with a stub."""
    word = _word(written)
    if word is None:
        return
    if word not in WORDS:
        hint = did_you_mean(word, WORDS)
        message = f'unknown key "{word:.80}"'
        yield Mistake(path=(*path, word), at_key=True, code="unknown-key", message=message, hint=hint)
    elif len(written) > 1:
        message = f'"{word}" stands alone, and here it has {len(written) - 1} other key(s) beside it'
        hint = "Write an output that has such a key as {$output: …}."
        yield Mistake(path=(*path, word), at_key=True, code="conflicting-keys", message=message, hint=hint)
    elif word == "$error":
        yield from _error_mistakes(written[word], (*path, word))
    elif word in _LISTS:
        yield from _list_mistakes(written[word], (*path, word))


def _word(written: JSON) -> str | None:
    words = [key for key in written if key.startswith(SIGN)] if isinstance(written, dict) else []
    return words[0] if words else None


def _list_mistakes(value: JSON, path: tuple[str | int, ...]) -> Iterator[Mistake]:
    if not isinstance(value, list) or not value:
        message = f'"{path[-1]}" must be a list with at least one item'
        yield Mistake(path=path, code="wrong-type", message=message, hint="Write a list of stubs.")
        return
    for at, one in enumerate(value):
        yield from stub_mistakes(one, (*path, at))


def _error_mistakes(value: JSON, path: tuple[str | int, ...]) -> Iterator[Mistake]:
    example = "Write {type: timeout, message: it took too long}."
    if not isinstance(value, Mapping):
        yield Mistake(path=path, code="wrong-type", message='"$error" must be a mapping', hint=example)
        return
    for key in value:
        if key not in _ERROR_KEYS:
            message, hint = f'unknown key "{key:.80}"', did_you_mean(key, _ERROR_KEYS)
            yield Mistake(path=(*path, key), at_key=True, code="unknown-key", message=message, hint=hint)
    if "type" not in value:
        message = 'the key "type" is missing in "$error"'
        yield Mistake(path=path, at_key=True, code="missing-key", message=message, hint=example)
    for key, kind, words in (
        ("type", str, "text"),
        ("message", str, "text"),
        ("retry", bool, "true or false"),
    ):
        if key in value and not (isinstance(value[key], kind) and value[key] != ""):
            message = f'"{key}" must be {words}'
            yield Mistake(path=(*path, key), code="wrong-type", message=message, hint=example)
