"""What a push came to, and how the pusher is told. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.repository import ABSENT, BRANCHES, TAGS, RefUpdate, valid_ref_name
from web.git.protocol import FLUSH, REPORT_BAND, PushRequest, message, on_band, report

# The file of a loose ref is named like it, plus `.lock` while it is written.
LONGEST_REF = 240

NOT_UNPACKED = "its objects did not arrive"
OTHERS_REFUSED = "another ref of this atomic push was refused"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`unpack` is `ok` or why the objects were not taken; `refused` is ref → reason."""

    unpack: str = "ok"
    refused: Mapping[str, str]
    lines: tuple[str, ...] = ()


def not_unpacked(request: PushRequest, reason: str) -> Verdict:
    return Verdict(unpack=reason, refused={update.ref: NOT_UNPACKED for update in request.updates})


def refusals(updates: Sequence[RefUpdate]) -> dict[str, str]:
    """Ref → reason, for what cannot be accepted whatever its objects are."""
    times = Counter(update.ref for update in updates)
    found = {update.ref: _refusal(update, times[update.ref]) for update in updates}
    return {ref: reason for ref, reason in found.items() if reason is not None}


def _refusal(update: RefUpdate, times: int) -> str | None:
    if not update.ref.startswith((BRANCHES, TAGS)):
        # Others would be invisible in the console, or change how Git itself reads objects (refs/replace).
        return "only branches and tags are kept here: push refs/heads/… or refs/tags/…"
    if not valid_ref_name(update.ref) or len(update.ref.encode()) > LONGEST_REF:
        return f"not a name that a ref can have (git check-ref-format; at most {LONGEST_REF} bytes)"
    if times > 1:
        return "named more than once in one push"
    if update.old == update.new == ABSENT:
        return "there is nothing to delete"
    return None


def for_all_or_none(request: PushRequest, refused: Mapping[str, str]) -> Mapping[str, str]:
    """With `--atomic`, one refusal is everybody's."""
    if not refused or "atomic" not in request.capabilities:
        return refused
    return {update.ref: refused.get(update.ref, OTHERS_REFUSED) for update in request.updates}


def told(request: PushRequest, verdict: Verdict) -> bytes:
    """The end of the answer: messages, then the report, as far as the client can read them."""
    results = [(update.ref, verdict.refused.get(update.ref)) for update in request.updates]
    status = report(verdict.unpack, results) if "report-status" in request.capabilities else b""
    if "side-band-64k" not in request.capabilities:
        return status
    return message(verdict.lines) + b"".join(on_band(REPORT_BAND, status)) + FLUSH
