"""What a webhook accepts and how it answers, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from schemas.quantities import seconds, size_in_bytes
from schemas.verification import Verify, verify_from

RESPOND_WITHIN: Final = 30.0
"""Seconds that a caller waits for an answer of the run, where nothing says how many."""


class Respond(StrEnum):
    IMMEDIATE = "immediate"  # 202 with the run's id, once it is durable
    LAST_NODE = "last-node"  # the run's output, when it has ended
    RESPOND_NODE = "respond-node"  # what a `respond` node says


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` calls in `unit` (s, m, h, d)."""

    count: int
    unit: str


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """`respond_within`: seconds. `body_schema`: a JSON Schema. `allow_from`: ranges of addresses, as written.
    `dedupe`: a template over the request; calls with one key start one run.
    """

    methods: tuple[str, ...] = ("POST",)
    respond: Respond = Respond.IMMEDIATE
    respond_within: float = RESPOND_WITHIN
    body_schema: Any = None
    verify: Verify | None = None
    allow_from: tuple[str, ...] = ()
    max_body: int = 1024 * 1024  # bytes
    rate_limit: Rate | None = None
    dedupe: str | None = None


def webhook_from(written: Mapping[str, Any]) -> Webhook:
    """The typed webhook of a mapping that passed the checks."""
    default = Webhook()
    within = written.get("respondWithin")
    return Webhook(
        methods=tuple(written.get("methods", default.methods)),
        respond=Respond(written.get("respond", default.respond)),
        respond_within=default.respond_within if within is None else seconds(within),
        body_schema=written.get("body"),
        verify=verify_from(written["verify"]) if "verify" in written else None,
        allow_from=tuple(written.get("allowFrom", ())),
        max_body=size_in_bytes(written["maxBody"]) if "maxBody" in written else default.max_body,
        rate_limit=_rate(written["rateLimit"]) if "rateLimit" in written else None,
        dedupe=written.get("dedupe"),
    )


def _rate(text: str) -> Rate:
    count, _, unit = text.partition("/")
    return Rate(int(count), unit)
