"""Where an issuer's keys are, and that they could not be had."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class KeySource:
    """`jwks_url` None: the issuer's discovery document says where its keys are."""

    issuer: str
    jwks_url: str | None = None


class FetchError(Exception):
    """There is no such document just now; the text says why, without anything of what was answered."""
