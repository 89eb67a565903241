"""Webhook tokens: a function of the installation's key and the deployment's name, the same for ever."""

from __future__ import annotations

import base64
import hashlib
import hmac

BYTES = 20  # 160 bits, 32 characters


def hook_token(installation_key: bytes, organisation: str, name: str) -> str:
    """32 characters of lower-case base32, without padding."""
    digest = hmac.new(installation_key, f"hook\0{organisation}\0{name}".encode(), hashlib.sha256).digest()
    return base64.b32encode(digest[:BYTES]).decode().lower()
