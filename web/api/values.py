"""Values of a request's body: each right, or refused with what would be."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from schemas.pattern import JSON
from web.api.query import is_label, wrong

LONGEST_MESSAGE = 10_000  # characters
MOST = 2_147_483_647

Body = Mapping[str, JSON]


def number(body: Body, key: str) -> int:
    """The number of a version."""
    value = body[key]
    if type(value) is not int or not 1 <= value <= MOST:
        raise wrong("values", [{"path": key, "message": "it takes the number of a version, such as 3"}])
    return value


def flag(body: Body, key: str) -> bool:
    """Not given: false."""
    value = body.get(key, False)
    if not isinstance(value, bool):
        raise wrong("values", [{"path": key, "message": "it takes true or false"}])
    return value


def text(body: Body, key: str, parse: Callable[[str], str]) -> str:
    """A text that `parse` takes; one that is not given is empty."""
    value = body.get(key)
    try:
        return parse(value if isinstance(value, str) else "")
    except ValueError as error:
        raise wrong("values", [{"path": key, "message": str(error)}]) from None


def label(text: str) -> str:
    if not is_label(text):
        raise ValueError("it takes a name: lower-case letters, digits and hyphens, at most 63")
    return text


def message(body: Body) -> str:
    """What a body has to say in a commit."""
    given = body.get("message")
    if given is None:
        return ""
    if not isinstance(given, str) or len(given) > LONGEST_MESSAGE or "\0" in given:
        said = f"it takes a text of at most {LONGEST_MESSAGE:,} characters"
        raise wrong("values", [{"path": "message", "message": said}])
    return given
