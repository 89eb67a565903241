"""Signatures with Ed25519 of Standard Webhooks. Apart, because its library takes long to read and few sign so."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_MOST_TRIED: Final = 4  # one costs a tenth of a millisecond, and a header could hold hundreds
_VERSION: Final = b"v1a,"


class EdwardsKey:
    """Raises ValueError for bytes that are no public key."""

    def __init__(self, key: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(key)

    def __call__(self, given: Sequence[bytes], signed: bytes) -> bool:
        """Whether one of the signatures is that of the signed bytes."""
        candidates = [one.removeprefix(_VERSION) for one in given if one.startswith(_VERSION)]
        return any(self._verifies(one, signed) for one in candidates[:_MOST_TRIED])

    def _verifies(self, encoded: bytes, signed: bytes) -> bool:
        try:
            self._key.verify(base64.b64decode(encoded, validate=True), signed)
        except (binascii.Error, ValueError, InvalidSignature):
            return False
        return True
