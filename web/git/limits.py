"""How much one client, and all of them together, may ask of the Git server."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class GitLimits:
    """Sizes in bytes, times in seconds."""

    pack: int = 512 * MEBIBYTE
    commands: int = 20_000
    # Commands of a push, or what a fetch wants and has; thousands of refs fit.
    request: int = 16 * MEBIBYTE
    pushes: int = 8
    fetches: int = 16
    # How long a pack may take to arrive or to be sent. The sweep of what crashed pushes left behind starts at
    # an hour.
    duration: float = 1800.0
    # A proxy in between may cut a connection on which nothing moves.
    keep_alive: float = 5.0
