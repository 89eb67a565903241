"""How settings are given: flags of the command, then environment variables, then defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from cli import values
from cli.errors import CommandError

STARS = "****"
T = TypeVar("T")


class SettingsError(CommandError):
    """A setting is wrong: its name, its value, what would be right."""

    exit_code = 2


class Origin(StrEnum):
    FLAG = "flag"
    ENVIRONMENT = "environment"
    DEFAULT = "default"  # for the token and the key: their file in the data folder


@dataclass(frozen=True, kw_only=True)
class Setting(Generic[T]):
    """One setting as people know it. `right` says what `parse` takes; it raises ValueError for the rest."""

    name: str
    parse: Callable[[str], T]
    right: str
    default: str
    flag: str | None = None
    secret: bool = False


@dataclass(frozen=True, kw_only=True)
class Given:
    """What was given, by the settings' names: `flags` (None where the flag was not used) before `environ`."""

    flags: Mapping[str, str | None] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    spelled: Mapping[str, str] = field(default_factory=dict)  # where a command calls a flag otherwise

    def origin(self, setting: Setting[Any]) -> Origin:
        if self.flags.get(setting.name) is not None:
            return Origin.FLAG
        # An empty variable counts as one that is not set, as Compose files and CI systems leave them.
        return Origin.ENVIRONMENT if self.environ.get(setting.name) else Origin.DEFAULT

    def read(self, setting: Setting[T]) -> T | None:
        """The value, or None where none is given. Raises SettingsError."""
        origin = self.origin(setting)
        if origin is Origin.DEFAULT:
            return None
        text = (self.flags if origin is Origin.FLAG else self.environ)[setting.name] or ""
        try:
            return setting.parse(text)
        except ValueError:
            flag = self.spelled.get(setting.name, setting.flag)
            name = f"{flag} " if origin is Origin.FLAG else f"{setting.name}="
            shown = STARS if setting.secret else values.without_password(text)
            raise SettingsError(f"{name}{shown} is wrong: it takes {setting.right}") from None
