"""The secrets of a case: what it says, and placeholders for all others."""

from __future__ import annotations

from collections.abc import Mapping

from runner.masking import Mask
from runner.secrets import Masks
from schemas.secret_values import placeholder


class GivenSecrets:
    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.masks = Masks()

    def mask_of_called(self, run: str, caller: str) -> Mask | None:
        return self.masks.of_called(run, caller, Mask())

    def value(self, name: str) -> str:
        return self._values.get(name, placeholder(name))
