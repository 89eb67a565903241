"""Stars in place of secrets, in texts that are shown: a server may send back what it was sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

STARS: Final = "***"

SHORTEST: Final = 4
"""Characters. What is shorter is no secret, and stands in many words."""


def spellings(secret: str) -> set[str]:
    """The ways in which a secret may come back."""
    encoded = base64.b64encode(secret.encode()).decode()
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], encoded}


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without any of `secrets`, also where it was cut off within one."""
    for secret in sorted((one for one in secrets if len(one) >= SHORTEST), key=len, reverse=True):
        text = text.replace(secret, STARS)
        cut = next((n for n in range(len(secret) - 1, SHORTEST - 1, -1) if text.endswith(secret[:n])), 0)
        if cut:
            text = text[:-cut] + STARS
    return text
