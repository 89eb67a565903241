"""The public keys of an issuer, as its JWKS document (RFC 7517) has them: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from schemas.pattern import JSON
from schemas.verification import ASYMMETRIC

_MOST_KEYS: Final = 100
_MOST_TRIED: Final = 10  # for a token that does not name its key
_RSA: Final = tuple(name for name in ASYMMETRIC if name.startswith(("RS", "PS")))
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}


class KeySet:
    """`document` is a JWKS. Raises ValueError where it is none; keys that are of no use here are left out."""

    def __init__(self, document: JSON) -> None:
        listed = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(listed, list):
            raise ValueError("it is no JSON object with `keys`")  # noqa: TRY004  (data, not a call, is wrong)
        self._keys = [key for one in listed[:_MOST_KEYS] for key in _usable(one)]
        self._named: dict[tuple[str, str], list[PyJWK]] = {}
        for key in self._keys:
            if isinstance(key.key_id, str):
                self._named.setdefault((key.key_id, key.algorithm_name), []).append(key)

    def find(self, key_id: str | None, algorithm: str) -> Sequence[PyJWK]:
        """The keys that a token may be signed with; `key_id` None: it does not name one."""
        if key_id is not None:
            return self._named.get((key_id, algorithm), ())
        return [key for key in self._keys if key.algorithm_name == algorithm][:_MOST_TRIED]


def _usable(written: Any) -> Iterator[PyJWK]:
    """One for each algorithm that the key serves: where it names none, those of its kind."""
    if not isinstance(written, Mapping) or written.get("use", "sig") != "sig" or "d" in written:
        return
    for algorithm in _algorithms(written):
        try:
            key = PyJWK(dict(written), algorithm)
        except (PyJWTError, ValueError, TypeError):
            return
        if key.Algorithm.check_key_length(key.key) is None:  # RFC 7518, section 3.3: 2,048 bits of RSA
            yield key


def _algorithms(written: Mapping[str, Any]) -> Sequence[str]:
    """None but asymmetric ones: a published secret is no secret."""
    named = written.get("alg")
    fitting = _RSA if written.get("kty") == "RSA" else (_CURVES.get(str(written.get("crv")), ""),)
    if named is None:
        return [one for one in fitting if one]
    return [named] if named in fitting else []
