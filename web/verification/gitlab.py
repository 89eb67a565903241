"""GitLab: the secret itself in a header, or a signing token that signs as Standard Webhooks do.

https://docs.gitlab.com/user/project/integrations/webhooks/#secret-tokens, …/#signing-tokens. Which of the two a
secret is, its beginning says: with a signing token nothing but its signature is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from web.verification.call import SignedCall, Unverified
from web.verification.credentials import TokenCheck
from web.verification.standard_webhooks import SECRET_PREFIX, StandardCheck

TOKEN_HEADER: Final = "x-gitlab-token"  # noqa: S105  (a header's name)


class GitlabCheck:
    """While one is replaced by the other, `secrets` may hold both kinds."""

    def __init__(self, secrets: Sequence[str], tolerance: float) -> None:
        signing = [secret for secret in secrets if secret.startswith(SECRET_PREFIX)]
        plain = [secret for secret in secrets if not secret.startswith(SECRET_PREFIX)]
        self._signed = StandardCheck(signing, tolerance) if signing else None
        self._token = TokenCheck(TOKEN_HEADER, plain) if plain else None

    def __call__(self, call: SignedCall, now: float) -> None:
        if self._signed is None:
            assert self._token is not None
            self._token(call, now)
            return
        try:
            self._signed(call, now)
        except Unverified:
            if self._token is None:
                raise
            self._token(call, now)
