"""Blobs in S3, or in what speaks its protocol (MinIO, Ceph, R2). boto3 is its one door, and optional."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from store.blobs import BlobMissing, Blobs, BlobsUnavailable, FolderBlobs, check_key, checked, key_of

_ADDRESS: Final = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>[^?#\0]*))?")
_ABSENT: Final = {"404", "NoSuchKey", "NotFound"}
_CONNECTIONS: Final = 32
_CONNECT: Final = 5  # seconds
_READ: Final = 30  # seconds


@dataclass(frozen=True, kw_only=True)
class S3Address:
    """A bucket and what the names of its objects begin with: empty, or with a slash at its end."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `s3://bucket/prefix`. Raises ValueError."""
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not an address such as s3://bucket/prefix")
        prefix = (match["prefix"] or "").strip("/")
        return cls(bucket=match["bucket"], prefix=f"{prefix}/" if prefix else "")


class BlobPlace(NamedTuple):
    """Where a part of the service finds the blobs, before it has opened them."""

    place: str
    endpoint: str | None = None

    def open(self) -> Blobs:
        """See `open_blobs`."""
        return open_blobs(self.place, endpoint=self.endpoint)


def open_blobs(place: str, *, endpoint: str | None = None) -> Blobs:
    """A folder's path, or `s3://bucket/prefix`; `endpoint` is the service's address where it is not Amazon's.

    Opens connections: call it after forking. Raises ValueError, and BlobsUnavailable without boto3.
    """
    if place.startswith("s3://"):
        return S3Blobs(S3Address.parse(place), endpoint=endpoint)
    return FolderBlobs(Path(place))


class S3Blobs:
    """Blobs as objects. Credentials and region are found as the AWS tools find them (environment, files, role)."""

    def __init__(self, address: S3Address, *, endpoint: str | None = None) -> None:
        self._address = address
        try:
            boto3, config = importlib.import_module("boto3"), importlib.import_module("botocore.config")
            self._errors = importlib.import_module("botocore.exceptions")
        except ImportError as error:
            message = "blobs in S3 need the package boto3: install it with weft[s3]"
            raise BlobsUnavailable(message) from error
        session = boto3.session.Session()
        self._client: Any = session.client(
            "s3",
            endpoint_url=endpoint,
            region_name=session.region_name or "us-east-1",
            config=config.Config(
                max_pool_connections=_CONNECTIONS,
                connect_timeout=_CONNECT,
                read_timeout=_READ,
                retries={"mode": "standard", "total_max_attempts": 3},
                s3={"addressing_style": "path" if endpoint else "auto"},
                # Not every service knows them, and the key is a checksum already.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def put(self, content: bytes) -> str:
        key = key_of(content)
        if not self.exists(key):
            with self._translated("written"):
                self._client.put_object(**self._object(key), Body=content)
        return key

    def get(self, key: str) -> bytes:
        check_key(key)
        with self._translated("read"):
            return checked(key, self._client.get_object(**self._object(key))["Body"].read())

    def exists(self, key: str) -> bool:
        check_key(key)
        try:
            with self._translated("read"):
                self._client.head_object(**self._object(key))
        except BlobMissing:
            return False
        return True

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self._address.bucket, "Key": f"{self._address.prefix}{key}"}

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        name = f"s3://{self._address.bucket}/{self._address.prefix}"
        try:
            yield
        except self._errors.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _ABSENT:
                raise BlobMissing(f"the blob is not in {name}") from error
            raise BlobsUnavailable(f"{name} cannot be {what}: {error}") from error
        except self._errors.BotoCoreError as error:
            raise BlobsUnavailable(f"{name} cannot be {what}: {error}") from error
