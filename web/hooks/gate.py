"""A webhook made ready: what can be prepared once per version is not done for each call."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from runner.program import LIGHT
from schemas.expressions import ExpressionFailed, Template, compile_template
from schemas.json_schemas import Shape
from schemas.pattern import JSON, Node, Pattern
from schemas.webhook import Webhook
from schemas.webhook_rules import REQUEST_NAMES
from store.run_keys import Once
from web.clients import address_of, contains, networks
from web.hooks.bodies import Body
from web.hooks.fields import CREDENTIALS
from web.hooks.refusal import Reason, Refusal
from web.verification.verifier import secret_headers

_BODILESS: Final = frozenset({"GET", "DELETE"})


class Gate:
    """`light`: there is nothing but light nodes in the pattern. `hidden`: headers that are not kept.
    `is_restricted`, `has_shape` and `dedupes` tell which of the methods below have something to do.
    """

    def __init__(self, pattern: Pattern, webhook: Webhook) -> None:
        self.webhook = webhook
        self.hidden = CREDENTIALS
        if webhook.verify is not None:
            self.hidden |= secret_headers(webhook.verify)
        self.light = frozenset(_uses(pattern.nodes)) <= LIGHT
        self._allowed = networks(webhook.allow_from)
        self._shape = None if webhook.body_schema is None else Shape(webhook.body_schema)
        self._key: Template | None = None
        if webhook.dedupe is not None:
            self._key = compile_template(webhook.dedupe, REQUEST_NAMES)
        self.is_restricted = bool(self._allowed)
        self.has_shape = self._shape is not None
        self.dedupes = self._key is not None

    def check_address(self, name: str, address: str | None) -> None:
        who_is = None if address is None else address_of(address)
        if who_is is None or not contains(self._allowed, who_is):
            who = "Callers without an address" if address is None else address
            detail = f"{who} may not call {name}: its `allowFrom` has other addresses."
            raise Refusal(Reason.ADDRESS, detail)

    def check_body(self, name: str, method: str, body: Body) -> None:
        """A method that mostly comes without a body may do so."""
        if self._shape is None or (body.value is None and method in _BODILESS):
            return
        found = self._shape.violations(body.value)
        if found:
            said = "; ".join(f"{place or 'the body'}: {message:.200}" for place, message in found[:10])
            problems = [{"path": place, "message": message} for place, message in found]
            raise Refusal(Reason.BODY, f"{name} does not take this body: {said}.", problems=problems)

    def once(self, request: Mapping[str, JSON], raw: bytes) -> Once | None:
        """The call's key, and what it came with; None for a call that has none."""
        if self._key is None:
            return None
        try:
            key = self._key.evaluate(request)
        except ExpressionFailed:
            return None  # better a run too many than none
        if key is None or key == "":
            return None
        text = key.encode() if isinstance(key, str) else orjson.dumps(key, option=orjson.OPT_SORT_KEYS)
        return Once.of("webhook", text, hashlib.sha256(raw).digest())


def _uses(nodes: Sequence[Node]) -> list[str]:
    nested = [kind for node in nodes for block in node.blocks.values() for kind in _uses(block)]
    return [node.uses for node in nodes] + nested
