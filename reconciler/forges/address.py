"""Where a forge's API is, and which repository of it is ours: from the upstream's URL alone. Pure.

Never from an event: whoever could forge one would choose whom we send the token to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit


class ForgeKind(StrEnum):
    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"  # Forgejo, too


API_PATHS = {ForgeKind.GITHUB: "/api/v3", ForgeKind.GITLAB: "/api/v4", ForgeKind.GITEA: "/api/v1"}
GITHUB_COM = ("github.com", "www.github.com", "ssh.github.com")

_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>\[[^\]]+\]|[^/:@]+):(?!//)(?P<path>.+)")
_API_PATH = re.compile(r"/api/v[0-9]+/?$")
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.][A-Za-z0-9_.-]*)+")


class NoForgeError(ValueError):
    """No repository at a forge can be told from the upstream's URL: the message says why."""


@dataclass(frozen=True, kw_only=True)
class ForgeAddress:
    """`api` has no slash at its end; `repository` is owner/name, at GitLab with all its groups."""

    kind: ForgeKind
    api: str
    repository: str


def forge_address(kind: ForgeKind, upstream: str, api: str | None = None) -> ForgeAddress:
    """`api` is what WEFT_FORGE_API says, if anything. Raises NoForgeError."""
    scheme, host, _ = _parts(upstream)
    if api is None and not host:
        raise NoForgeError(
            f"The upstream {upstream} is a folder: no forge can be told from it; set WEFT_FORGE_API."
        )
    api = api or _api(kind, scheme, host)
    return ForgeAddress(kind=kind, api=api.rstrip("/"), repository=repository_name(upstream, api))


def repository_name(upstream: str, api: str | None = None) -> str:
    """owner/name. Where the forge is below a path of its host, `api` says so. Raises NoForgeError."""
    _, host, path = _parts(upstream)
    prefix = _API_PATH.sub("", urlsplit(api or "").path).strip("/")
    names = path.strip("/").removesuffix(".git").removeprefix(f"{prefix}/" if prefix else "")
    if not host:
        names = "/".join(names.split("/")[-2:])
    if not _NAME.fullmatch(names) or ".." in names.split("/"):
        raise NoForgeError(f"The upstream {upstream} does not end in the owner and name of a repository.")
    return names


def same_repository(one: str, other: str) -> bool:
    """owner/name of both: no forge keeps two that differ in case alone."""
    return one.casefold() == other.casefold()


def _parts(upstream: str) -> tuple[str, str, str]:
    """Scheme (http or https), host with its port where that serves HTTP, path. A folder has no host."""
    if "://" not in upstream:
        found = _SCP.fullmatch(upstream)
        return ("https", found["host"], found["path"]) if found else ("", "", upstream)
    url = urlsplit(upstream)
    if url.scheme in ("http", "https"):
        return url.scheme, url.netloc.rpartition("@")[2], url.path
    host = url.hostname or ""
    return "https", f"[{host}]" if ":" in host else host, url.path


def _api(kind: ForgeKind, scheme: str, host: str) -> str:
    if kind is ForgeKind.GITHUB and host.partition(":")[0].lower() in GITHUB_COM:
        return "https://api.github.com"
    return f"{scheme}://{host}{API_PATHS[kind]}"
