"""Semantic Versioning 2.0.0: which of two tags is the higher version. Pure. https://semver.org/spec/v2.0.0.html"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

LONGEST: Final = 255  # characters; a ref's part is a file's name, which has no more

_NUMBER: Final = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER: Final = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION: Final = re.compile(
    rf"v?(?P<core>{_NUMBER}\.{_NUMBER}\.{_NUMBER})"
    rf"(?:-(?P<pre>{_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)

_Identifier = tuple[int, int, str]


@dataclass(frozen=True, order=True)
class SemVer:
    """Sorts by precedence (item 11), so versions that differ in build metadata alone are equal.

    `is_release` stands before `pre` because a pre-release is lower than its release.
    """

    core: tuple[int, ...]
    is_release: bool
    pre: tuple[_Identifier, ...]


@lru_cache(maxsize=65_536)
def parse(text: str) -> SemVer | None:
    """The version that `text` is, with or without a leading `v`; None for anything else."""
    found = _VERSION.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        return None
    pre = found["pre"]
    return SemVer(
        core=tuple(map(int, found["core"].split("."))),
        is_release=pre is None,
        pre=tuple(map(_identifier, pre.split("."))) if pre else (),
    )


def _identifier(text: str) -> _Identifier:
    """Numbers compare as numbers and are lower than words; words compare in ASCII order."""
    return (0, int(text), "") if text.isdigit() else (1, 0, text)
