"""The client for a forge, from the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.forges import gitea, github, gitlab
from reconciler.forges.address import ForgeAddress, ForgeKind
from reconciler.forges.api import Api
from reconciler.forges.errors import RefusedError
from reconciler.forges.forge import Forge

HEADERS = {ForgeKind.GITHUB: github.headers, ForgeKind.GITLAB: gitlab.headers, ForgeKind.GITEA: gitea.headers}


@contextmanager
def open_forge(address: ForgeAddress, token: str | None) -> Iterator[Forge]:
    """Raises RefusedError where there is no token."""
    if token is None:
        raise RefusedError("There is no token to comment with: set WEFT_UPSTREAM_TOKEN")
    with Api(address.api, HEADERS[address.kind](token)) as api:
        yield _client(address, api)


def _client(address: ForgeAddress, api: Api) -> Forge:
    if address.kind is ForgeKind.GITHUB:
        return github.GitHub(api, address.repository)
    if address.kind is ForgeKind.GITLAB:
        return gitlab.GitLab(api, address.repository)
    return gitea.Gitea(api, address.repository)
