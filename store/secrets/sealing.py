"""Encryption of secrets and of the keys that encrypt them: AES-256-GCM, bound to where a thing belongs. Pure but
for the randomness.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY: Final = 32  # bytes: AES-256
_NONCE: Final = 12  # bytes, as NIST SP 800-38D wants them; random for each sealing
_SEALS: Final = b"weft secrets: seals data keys (1)"
_NAMES: Final = b"weft secrets: names the key that seals (1)"


class SealBroken(Exception):
    """Another key, or another place, or changed bytes: nobody can tell which."""


def new_key() -> bytes:
    return AESGCM.generate_key(_KEY * 8)


def seal(key: bytes, content: bytes, *place: str) -> bytes:
    """Nonce, ciphertext and tag. `place` says where it belongs: it opens nowhere else."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, content, _bound(place))


def unseal(key: bytes, sealed: bytes, *place: str) -> bytes:
    """Raises SealBroken."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(place))
    except (InvalidTag, ValueError) as error:  # ValueError: too short to be anything
        raise SealBroken from error


def _bound(place: Sequence[str]) -> bytes:
    """Each part with its length before it, so that no two places are spelled alike."""
    parts = [part.encode() for part in place]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


@dataclass(frozen=True, kw_only=True)
class Sealer:
    """What the process' key comes to here. `name` tells it from another one and says nothing about it."""

    name: str
    key: bytes = field(repr=False)

    @classmethod
    def of(cls, given: bytes) -> Self:
        return cls(name=_derived(given, _NAMES, 8).hex(), key=_derived(given, _SEALS, _KEY))


def _derived(key: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(key)
