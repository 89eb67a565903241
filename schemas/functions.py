"""The functions that expressions have beyond CEL's own. They raise ValueError with the reason."""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from schemas.json_text import dump
from schemas.json_values import to_json

LONGEST_RANGE: Final = 10_000
LONGEST_TEXT: Final = 16 * 1024 * 1024

TypeName: TypeAlias = Literal["string", "bytes", "int", "timestamp", "list", "strings", "ints", "any"]


@dataclass(frozen=True, kw_only=True)
class Function:
    """One way to call a function. `member`: `text.lower()` is possible beside `lower(text)`."""

    name: str
    takes: tuple[TypeName, ...]
    gives: TypeName
    does: Callable[..., Any]
    member: bool = False


def to_text(value: Any) -> str:
    """How a value looks inside text: text as it is, anything else as JSON."""
    return value if type(value) is str else dump(value)


def json_text(value: Any) -> str:
    return dump(to_json(value))


def parse_json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"parseJson: the text is not JSON: {error}") from error


def base64_text(value: str | bytes) -> str:
    return base64.b64encode(_bytes(value)).decode()


def sha256_hex(value: str | bytes) -> str:
    return hashlib.sha256(_bytes(value)).hexdigest()


def split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def join(values: Sequence[Any], separator: str = "") -> str:
    return separator.join(to_text(to_json(value)) for value in values)


def replace(text: str, old: str, new: str) -> str:
    if len(text) + text.count(old) * len(new) > LONGEST_TEXT:
        raise ValueError("replace: the result would be longer than 16 MiB")
    return text.replace(old, new)


def substring(text: str, start: int, end: int | None = None) -> str:
    """As CEL's extension has it: what is not within the text is an error."""
    last = len(text) if end is None else end
    if not 0 <= start <= last <= len(text):
        raise ValueError(f"substring: there is no {start} to {last} in a text of {len(text)} characters")
    return text[start:last]


def number_range(start: int, end: int | None = None) -> list[int]:
    low, high = (0, start) if end is None else (start, end)
    if high - low > LONGEST_RANGE:
        raise ValueError(f"range: at most {LONGEST_RANGE} numbers, not {high - low}")
    return list(range(low, high))


# The C library would also take a width (`%999999999d`), and with it all memory.
_TIME_FORMAT: Final = re.compile(r"(?:[^%\0]|%-?[aAbBcdfGHIjmMpSuUVwWxXyYzZ%])*")


def format_time(time: datetime | str, pattern: str, timezone: str = "UTC") -> str:
    if len(pattern) > 1000 or _TIME_FORMAT.fullmatch(pattern) is None:
        raise ValueError(f"formatTime: {pattern[:100]!r} is not a format such as '%Y-%m-%d %H:%M'")
    try:
        moment = datetime.fromisoformat(time) if isinstance(time, str) else time
        return moment.astimezone(ZoneInfo(timezone)).strftime(pattern)
    except (ZoneInfoNotFoundError, IsADirectoryError, PermissionError) as error:
        raise ValueError(f"formatTime: there is no time zone called {timezone[:100]!r}") from error
    except OverflowError as error:
        raise ValueError("formatTime: the time is out of range") from error


def random_uuid() -> str:
    return str(uuid.uuid4())


def _bytes(value: str | bytes | bytearray) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


FUNCTIONS: Final = (
    Function(name="json", takes=("any",), gives="string", does=json_text),
    Function(name="parseJson", takes=("string",), gives="any", does=parse_json),
    Function(name="base64", takes=("string",), gives="string", does=base64_text),
    Function(name="base64", takes=("bytes",), gives="string", does=base64_text),
    Function(name="sha256", takes=("string",), gives="string", does=sha256_hex),
    Function(name="sha256", takes=("bytes",), gives="string", does=sha256_hex),
    Function(name="lower", takes=("string",), gives="string", does=str.lower, member=True),
    Function(name="upper", takes=("string",), gives="string", does=str.upper, member=True),
    Function(name="trim", takes=("string",), gives="string", does=str.strip, member=True),
    Function(name="split", takes=("string", "string"), gives="strings", does=split, member=True),
    Function(name="join", takes=("list",), gives="string", does=join, member=True),
    Function(name="join", takes=("list", "string"), gives="string", does=join, member=True),
    Function(name="replace", takes=("string", "string", "string"), gives="string", does=replace, member=True),
    Function(name="substring", takes=("string", "int"), gives="string", does=substring, member=True),
    Function(name="substring", takes=("string", "int", "int"), gives="string", does=substring, member=True),
    Function(name="formatTime", takes=("timestamp", "string"), gives="string", does=format_time),
    Function(name="formatTime", takes=("timestamp", "string", "string"), gives="string", does=format_time),
    Function(name="formatTime", takes=("string", "string"), gives="string", does=format_time),
    Function(name="formatTime", takes=("string", "string", "string"), gives="string", does=format_time),
    Function(name="uuid", takes=(), gives="string", does=random_uuid),
    Function(name="range", takes=("int",), gives="ints", does=number_range),
    Function(name="range", takes=("int", "int"), gives="ints", does=number_range),
)
"""`matches` is CEL's own; `now` is added where the time of the evaluation is known."""
