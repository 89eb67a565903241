"""Whether an event is from somebody who knows the secret: pure, over the bytes as they came, in constant time.

- GitHub: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
- Gitea and Forgejo: https://docs.gitea.com/usage/webhooks
- GitLab: the secret itself in X-Gitlab-Token; a signing token (`whsec_…`) signs as Standard Webhooks do
  (https://www.standardwebhooks.com), and then nothing else is believed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from reconciler.forges.address import ForgeKind

TOLERANCE = 300.0  # seconds between the sender's clock and ours; older ones may be replays
SIGNING_TOKEN = "whsec_"  # noqa: S105  (what one begins with)


def is_signed(
    kind: ForgeKind, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float
) -> bool:
    """`headers` are in lower case, `now` a Unix time. One secret has to fit: there are two while it changes."""
    check = {ForgeKind.GITHUB: _by_github, ForgeKind.GITLAB: _by_gitlab, ForgeKind.GITEA: _by_gitea}[kind]
    return any(check(secret, headers, body, now) for secret in secrets)


def _by_github(secret: str, headers: Mapping[str, str], body: bytes, _now: float) -> bool:
    return _same(headers.get("x-hub-signature-256", ""), f"sha256={_hex(secret, body)}")


def _by_gitea(secret: str, headers: Mapping[str, str], body: bytes, _now: float) -> bool:
    """Forgejo sends both headers; its own is the one that counts then."""
    given = headers.get("x-forgejo-signature") or headers.get("x-gitea-signature", "")
    return _same(given, _hex(secret, body))


def _by_gitlab(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    if secret.startswith(SIGNING_TOKEN):
        return _by_standard_webhooks(secret, headers, body, now)
    return _same(headers.get("x-gitlab-token", ""), secret)


def _by_standard_webhooks(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    identity, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isascii() or not timestamp.isdigit() or abs(int(timestamp) - now) > TOLERANCE:
        return False
    try:
        key = base64.b64decode(secret.removeprefix(SIGNING_TOKEN), validate=True)
    except binascii.Error:
        return False
    signed = f"{identity}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    given = headers.get("webhook-signature", "").split(" ")
    return any(_same(one, f"v1,{expected}") for one in given)


def _hex(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
