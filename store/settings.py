"""What a part of the service (web, worker, controller) is started with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FIRST_ORGANISATION = "default"


@dataclass(frozen=True, kw_only=True)
class UpstreamSettings:
    """The repository elsewhere that the first organisation mirrors. `every`: seconds between two looks at it."""

    url: str = field(repr=False)  # may hold a password
    token: str | None = field(repr=False)
    every: float


@dataclass(frozen=True, kw_only=True)
class VaultSettings:
    """Where Vault is, and as whom Weft comes: one of `token`, `role_id` with `secret_id`, `kubernetes_role`.

    Secrets are read from `{prefix}/{environment}/{NAME}` of the KV engine (version 2) at `mount`.
    """

    url: str
    mount: str
    prefix: str
    token: str | None = field(repr=False, default=None)
    role_id: str | None = None
    secret_id: str | None = field(repr=False, default=None)
    kubernetes_role: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Its fields, secrets too."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Settings with nothing left open: the embedded servers' addresses and the made secrets are filled in.

    `listener` is the descriptor of the listening TCP socket that web accepts from; None in other parts.
    Whatever is secret, or may hold a password, stays out of its `repr`.
    """

    data: Path
    public_url: str  # without a slash at the end
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    admin_token: str | None = field(repr=False)  # None where the machine of a worker does not know it
    installation_key: bytes = field(repr=False)
    threads: int
    blobs: str  # a folder, or s3://bucket/prefix
    blobs_endpoint: str | None  # of the S3 service, where it is not Amazon's
    log: str  # WEFT_LOG: a level, `text` or `json`, or both with a comma
    upstream: UpstreamSettings | None = None
    # Of the webhooks of the forge that keeps the upstream.
    forge_secrets: tuple[str, ...] = field(repr=False, default=())
    forge_api: str | None = None  # where that forge's API is, if not where the upstream's host has it
    trusted_proxies: tuple[str, ...] = ()  # ranges of addresses
    listener: int | None = None
    # What stored secrets are under; None: the installation key. The old one opens what was not rotated since.
    secrets_key: bytes | None = field(repr=False, default=None)
    secrets_key_old: bytes | None = field(repr=False, default=None)
    secrets_dir: Path | None = None
    vault: VaultSettings | None = None
