"""Whether an event is from somebody who knows the secret: pure, over the bytes as they came, in constant time.

GitHub's and GitLab's are verified as those of webhooks are; Gitea and Forgejo have headers of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.forges.address import ForgeKind
from schemas.verification import DEFAULT_TOLERANCE, Provider, Verify
from web.verification.call import Check, SignedCall, Unverified, secret_bytes
from web.verification.digests import FORGEJO, GITEA, DigestCheck
from web.verification.verifier import Verifier

_GITHUB = Verify(provider=Provider.GITHUB)
_GITLAB = Verify(provider=Provider.GITLAB)


def is_signed(kind: ForgeKind, secrets: Sequence[str], call: SignedCall, now: float) -> bool:
    """`now` is a Unix time. One secret has to fit: there are two while it changes."""
    try:
        _check(kind, secrets, call)(call, now)
    except Unverified:
        return False
    return True


def _check(kind: ForgeKind, secrets: Sequence[str], call: SignedCall) -> Check:
    if kind is not ForgeKind.GITEA:
        return Verifier(_GITHUB if kind is ForgeKind.GITHUB else _GITLAB, secrets).check
    # Forgejo sends both headers; its own is the one that counts then.
    by_forgejo = any(name == FORGEJO.header.encode() for name, _ in call.headers)
    keys = [secret_bytes(secret) for secret in secrets if secret]
    return DigestCheck(FORGEJO if by_forgejo else GITEA, keys, DEFAULT_TOLERANCE)
