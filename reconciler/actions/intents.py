"""What an action comes to: a change of files or a tag, and the words of the commit that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.removals import TRAILER, allows_removal
from reconciler.steps import VersionRef
from schemas.pattern import JSON


@dataclass(frozen=True, kw_only=True)
class Edit:
    """`spec.<key>` of the deployment's document becomes `value`, for each of them."""

    values: Mapping[str, JSON]


@dataclass(frozen=True, kw_only=True)
class MoveTag:
    """The tag that the deployment follows, to `commit`."""

    ref: str
    commit: str


@dataclass(frozen=True, kw_only=True)
class Remove:
    """The deployment's document."""


@dataclass(frozen=True, kw_only=True)
class Create:
    """New files: path → text."""

    files: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Restore:
    """The files that a version of a pattern was frozen from, as `commit` holds them."""

    pattern: str
    version: VersionRef
    commit: str


Change = Edit | MoveTag | Remove | Create | Restore


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a commit or tag says. `verb` is the trailer `Weft-Action`; `about` are, too: {"Deployment": name}."""

    verb: str
    subject: str
    about: Mapping[str, str]
    version: VersionRef | None = None

    def message(self, said: str) -> str:
        trailers = [f"Weft-Action: {self.verb}"]
        trailers += [f"Weft-{what}: {name}" for what, name in self.about.items()]
        if self.version is not None:
            trailers.append(f"Weft-Version: {self.version.number or self.version.id}")
        trailers += [TRAILER] if allows_removal(said) else []  # it counts among the last lines alone
        body = f"{said.strip()}\n\n" if said.strip() else ""
        return f"{self.subject}\n\n{body}" + "\n".join(trailers) + "\n"


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What to change, and what to say of it."""

    change: Change
    words: Words
