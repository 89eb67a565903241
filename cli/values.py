"""What the text of a setting means. Each function raises ValueError for a text that is not right."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from cli.logs import parse_log
from reconciler.upstream.address import address
from schemas.quantities import seconds
from store.s3_blobs import S3Address


def folder(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError(text)
    return Path(text).expanduser().absolute()


def blobs(text: str) -> str:
    """A folder's path, or the address of a bucket."""
    if "://" not in text:
        return str(folder(text))
    S3Address.parse(text)
    return text


def host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", text):
        ipaddress.ip_address(text)  # such as ::1
    return text


def number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(text)
        return int(text)

    return parse


def server_url(*schemes: str) -> Callable[[str], str]:
    """The address of a database or broker, left as it is."""

    def parse(text: str) -> str:
        url = urlsplit(text)
        if url.scheme not in schemes or not (url.netloc or url.path or url.query):
            raise ValueError(text)
        return text

    return parse


def web_url(text: str) -> str:
    """An http or https address, without the slash at its end."""
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ValueError(text)
    if url.username is not None:  # it is shown
        raise ValueError(text)
    _ = url.port  # raises for one that is no number
    return text.rstrip("/")


def git_address(text: str) -> str:
    """Where a repository is: a relative path becomes one that every process understands."""
    url = address(text).url
    return text if "://" in text else url


def duration(least: float, most: float) -> Callable[[str], float]:
    """Seconds."""

    def parse(text: str) -> float:
        found = seconds(text)
        if not least <= found <= most:
            raise ValueError(text)
        return found

    return parse


def secret(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("secret")
    return text


def vault_path(text: str) -> str:
    """Without slashes at its ends."""
    path = text.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", path):
        raise ValueError(text)
    return path


def token(text: str) -> str:
    if not re.fullmatch(r"[!-~]{20,}", text):
        raise ValueError("token")
    return text


def forge_secrets(text: str) -> tuple[str, ...]:
    """One, or while it changes two, with a comma between them."""
    found = tuple(one.strip() for one in text.split(","))
    if len(found) > 2 or not all(re.fullmatch(r"[ -~]{16,}", one) for one in found):
        raise ValueError("secrets")
    return found


def address_ranges(text: str) -> tuple[str, ...]:
    """Addresses, and ranges of them, with commas between."""
    return tuple(str(ipaddress.ip_network(one.strip())) for one in text.split(","))


def key(text: str) -> bytes:
    if len(text) < 64:
        raise ValueError("key")
    return bytes.fromhex(text)


def log(text: str) -> str:
    parse_log(text)
    return text


def without_password(url: str) -> str:
    """A server's address as it may be shown."""
    return re.sub(r"(?<=[:/])([^:/@?]*):[^@/]*@", r"\1:****@", url) if "@" in url else url
