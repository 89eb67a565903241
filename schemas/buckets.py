"""Addresses of buckets, and the keys of what is in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

LONGEST_KEY: Final = 1024
"""Bytes of UTF-8, which is what Amazon takes."""

_ADDRESS: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([^?#]*))?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """`prefix` is what all keys begin with: empty, or with a slash at its end."""

    name: str
    prefix: str

    @classmethod
    def read(cls, url: str) -> Self:
        """From `s3://bucket/folder`. Raises ValueError."""
        match = _ADDRESS.fullmatch(url)
        if match is None or ".." in match[1]:
            raise ValueError("it is not an address such as s3://bucket/folder")
        prefix = (match[2] or "").strip("/")
        if prefix:
            check_key(prefix)
        return cls(name=match[1], prefix=f"{prefix}/" if prefix else "")

    def key(self, below: str) -> str:
        """The whole key of an object below the prefix. Raises ValueError for what could lead out of it."""
        check_key(below)
        key = self.prefix + below
        if len(key.encode()) > LONGEST_KEY:
            raise ValueError(f"with the connection's prefix it has more than {LONGEST_KEY} bytes")
        return key


def check_key(key: str) -> None:
    """Raises ValueError. To Amazon a key is text; others keep objects as files, and read `..` as they do paths."""
    if not key:
        raise ValueError("it is empty")
    if key.startswith("/"):
        raise ValueError("it begins with a slash; leave that out")
    if _CONTROL.search(key):
        raise ValueError("it has a control character")
    if any(part in (".", "..") for part in key.replace("\\", "/").split("/")):
        raise ValueError("it has `.` or `..` between slashes")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise ValueError("it is no valid text") from None
    if size > LONGEST_KEY:
        raise ValueError(f"it has more than {LONGEST_KEY} bytes")
