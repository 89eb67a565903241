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
        return self._environ.get(PREFIX + name) if organisation == FIRST_ORGANISATION else None

    def looked(self, organisation: str, environment: str, name: str) -> str | None:
        return f"the variable {PREFIX}{name}" if organisation == FIRST_ORGANISATION else None

    def names(self, organisation: str, environment: str | None = None) -> Iterable[Place]:
        if organisation != FIRST_ORGANISATION:
            return []
        found = (name.removeprefix(PREFIX) for name in self._environ if name.startswith(PREFIX))
        return [Place("", name) for name in found if NAME.fullmatch(name)]

    def close(self) -> None:
        pass
