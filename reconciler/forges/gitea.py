"""The REST API of Gitea and Forgejo (https://docs.gitea.com/api): GitHub's, as far as it is used here."""

from __future__ import annotations

from reconciler.forges.fields import text
from reconciler.forges.github import GitHub


def headers(token: str) -> dict[str, str]:
    return {"Authorization": f"token {token}"}


class Gitea(GitHub):
    def myself(self) -> str | None:
        """Every token is a user's here."""
        if self._myself is None:
            self._myself = text(self._api.get("/user"), "login")
        return self._myself
