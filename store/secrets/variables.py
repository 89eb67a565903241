"""Secrets in environment variables. They belong to the installation: its first organisation alone sees them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final

from schemas.secret_text import NAME
from store.secrets.source import Place
from store.settings import FIRST_ORGANISATION

PREFIX: Final = "WEFT_SECRET_"
"""A secret NAME is read from the variable of this name with NAME behind it."""


class Variables:
    kind = "variable"

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ

    def find(self, organisation: str, environment: str, name: str) -> str | None:
        """An empty variable counts as one that is not set."""
        return (self._environ.get(PREFIX + name) or None) if organisation == FIRST_ORGANISATION else None

    def looked(self, organisation: str, environment: str, name: str) -> str | None:
        return f"the variable {PREFIX}{name}" if organisation == FIRST_ORGANISATION else None

    def names(self, organisation: str, environment: str | None = None) -> Iterable[Place]:
        if organisation != FIRST_ORGANISATION:
            return []
        set_ = (name for name, value in self._environ.items() if value and name.startswith(PREFIX))
        found = (name.removeprefix(PREFIX) for name in set_)
        return [Place("", name) for name in found if NAME.fullmatch(name)]

    def close(self) -> None:
        pass
