"""What people are called: in tokens, in `weft.yaml`, as authors of commits and as folders of their branches."""

from __future__ import annotations

import re
from typing import Final

USER_NAME: Final = "[A-Za-z0-9]+(?:[._@+-][A-Za-z0-9]+)*"
"""Fit for all four: Git takes no spaces, no `..` and no `@{` in branches, no `<` and `>` in authors."""

LONGEST: Final = 64

_USER_NAME: Final = re.compile(USER_NAME)


def is_user_name(text: str) -> bool:
    # Git takes no part of a branch's name that ends so.
    return len(text) <= LONGEST and _USER_NAME.fullmatch(text) is not None and not text.endswith(".lock")
