"""Who asks the reconciler for something."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A user of an organisation. Admins count in every group."""

    user: str
    admin: bool = False
