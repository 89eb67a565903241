"""What a push came to, and how the pusher is told. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.git.refs import ABSENT, RefUpdate
from web.git.protocol import FLUSH, REPORT_BAND, PushRequest, message, on_band, report

NOT_UNPACKED = "its objects did not arrive"
OTHERS_REFUSED = "another ref of this push was refused, and a push is taken whole or not at all"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`unpack` is `ok` or why the objects were not taken; `refused` is ref → reason."""

    unpack: str = "ok"
    refused: Mapping[str, str]
    lines: tuple[str, ...] = ()


def not_unpacked(request: PushRequest, reason: str) -> Verdict:
    return Verdict(unpack=reason, refused={update.ref: NOT_UNPACKED for update in request.updates})


def all_refused(request: PushRequest, reason: str) -> Verdict:
    return Verdict(refused={update.ref: reason for update in request.updates})


def refusals(request: PushRequest) -> dict[str, str]:
    """Ref → reason, for commands that contradict themselves; where one does, for all of them."""
    times = Counter(update.ref for update in request.updates)
    found = {update.ref: _contradiction(update, times[update.ref]) for update in request.updates}
    if not any(found.values()):
        return {}
    return {ref: reason or OTHERS_REFUSED for ref, reason in found.items()}


def _contradiction(update: RefUpdate, times: int) -> str | None:
    if times > 1:
        return "named more than once in one push"
    if update.old == update.new == ABSENT:
        return "there is nothing to delete"
    return None


def told(request: PushRequest, verdict: Verdict) -> bytes:
    """The end of the answer: messages, then the report, as far as the client can read them."""
    results = [(update.ref, verdict.refused.get(update.ref)) for update in request.updates]
    status = report(verdict.unpack, results) if "report-status" in request.capabilities else b""
    if "side-band-64k" not in request.capabilities:
        return status
    return message(verdict.lines) + b"".join(on_band(REPORT_BAND, status)) + FLUSH
