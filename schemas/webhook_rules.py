"""What must hold within a webhook beyond its shape."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from schemas.json_schemas import schema_mistakes
from schemas.mistakes import Mistake
from schemas.naming import early_mistakes
from schemas.outline import Outline, Path, all_nodes
from schemas.pattern import JSON
from schemas.quantities import duration, seconds
from schemas.size_rules import too_large
from schemas.verification_rules import method_mistakes, verify_mistakes
from schemas.webhook import Respond

LARGEST_BODY: Final = 16 * 1024 * 1024
LONGEST_WAIT: Final = 300.0
"""Seconds: proxies give up on what takes longer."""

REQUEST_NAMES: Final = frozenset({"headers", "query", "body", "method", "path"})
"""What can be named of a request before there is a run."""


def webhook_mistakes(webhook: JSON, at: Path) -> Iterator[Mistake]:
    """All mistakes of a webhook, whatever shape it has."""
    if not isinstance(webhook, dict):
        return
    yield from too_large(webhook.get("maxBody"), (*at, "maxBody"), LARGEST_BODY)
    yield from _waiting(webhook, at)
    yield from _ranges(webhook.get("allowFrom"), (*at, "allowFrom"))
    yield from verify_mistakes(webhook.get("verify"), (*at, "verify"))
    yield from method_mistakes(webhook, at)
    if isinstance(webhook.get("body"), dict | bool):
        yield from schema_mistakes(webhook["body"], (*at, "body"))
    if isinstance(webhook.get("dedupe"), str):
        yield from early_mistakes(webhook["dedupe"], (*at, "dedupe"), REQUEST_NAMES, "a call comes in")


def answer_mistakes(webhook: JSON, nodes: Sequence[Outline], at: Path) -> Iterator[Mistake]:
    """`respond` nodes need a caller that waits for them, and that caller needs them."""
    waits = isinstance(webhook, dict) and webhook.get("respond") == Respond.RESPOND_NODE
    answering = [node for node in all_nodes(nodes) if node.uses == "respond"]
    if waits and not answering:
        message = "no node of this pattern answers"
        hint = "Add a node with `uses: respond`, or let the last one answer: `respond: last-node`."
        yield Mistake(path=(*at, "respond"), code="nobody-answers", message=message, hint=hint)
    for node in answering if not waits else ():
        message = "nobody waits for this answer"
        hint = "Write `on: {webhook: {respond: respond-node}}`, or remove the node."
        yield Mistake(path=(*node.path, "uses"), code="nobody-waits", message=message, hint=hint)


def _waiting(webhook: Mapping[str, JSON], at: Path) -> Iterator[Mistake]:
    written, path = webhook.get("respondWithin"), (*at, "respondWithin")
    if not isinstance(written, str):
        return
    if webhook.get("respond", Respond.IMMEDIATE) == Respond.IMMEDIATE:
        message = '"respondWithin" says how long a caller waits, and this one has its answer at once'
        hint = "Remove it, or write `respond: last-node` or `respond: respond-node`."
        yield Mistake(path=path, code="nobody-waits", message=message, hint=hint)
    try:
        wait = seconds(written)
    except ValueError:
        return  # the JSON Schema says so
    if wait > LONGEST_WAIT:
        hint = f"Write at most {duration(LONGEST_WAIT)}; the run itself may take longer."
        message = f'"respondWithin" cannot be {written}'
        yield Mistake(path=path, code="invalid-value", message=message, hint=hint)


def _ranges(listed: JSON, at: Path) -> Iterator[Mistake]:
    for index, one in enumerate(listed if isinstance(listed, list) else ()):
        if not isinstance(one, str):
            continue
        try:
            ipaddress.ip_network(one)
        except ValueError as error:
            hint = "Write 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32."
            if "host bits set" in str(error):
                hint = f"Did you mean {ipaddress.ip_network(one, strict=False)}?"
            message = f"{one!r} is not a range of addresses"
            yield Mistake(path=(*at, index), code="invalid-value", message=message, hint=hint)
