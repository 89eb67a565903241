"""The REST API of Gitea and Forgejo (https://docs.gitea.com/api)."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.forges.api import Api
from reconciler.forges.fields import commit, number, optional_text, text
from reconciler.forges.forge import CONTEXT, Comment, Found, Status, shortened
from schemas.pattern import JSON


def headers(token: str) -> dict[str, str]:
    return {"Authorization": f"token {token}"}


class Gitea:
    def __init__(self, api: Api, repository: str) -> None:
        self._api = api
        self._at = f"/repos/{repository}"
        self._myself: str | None = None

    def pull_request(self, number: int) -> Found:
        found = self._api.get(f"{self._at}/pulls/{number}")
        return Found(
            is_open=text(found, "state") == "open",
            head=commit(found, "head", "sha"),
            base=text(found, "base", "ref"),
        )

    def head_ref(self, number: int) -> str:
        return f"refs/pull/{number}/head"

    def myself(self) -> str | None:
        if self._myself is None:
            self._myself = text(self._api.get("/user"), "login")
        return self._myself

    def comments(self, number: int) -> Iterator[Comment]:
        return map(_comment, self._api.pages(f"{self._at}/issues/{number}/comments"))

    def add_comment(self, number: int, text: str) -> Comment:
        return _comment(self._api.post(f"{self._at}/issues/{number}/comments", {"body": text}))

    def edit_comment(self, number: int, comment: str, text: str) -> Comment:
        return _comment(self._api.patch(f"{self._at}/issues/comments/{comment}", {"body": text}))

    def set_status(self, commit: str, status: Status, description: str, url: str | None) -> None:
        body = {"state": str(status), "description": shortened(description), "context": CONTEXT}
        self._api.post(f"{self._at}/statuses/{commit}", body | ({"target_url": url} if url else {}))


def _comment(found: JSON) -> Comment:
    return Comment(
        id=str(number(found, "id")),
        author=optional_text(found, "user", "login"),
        text=optional_text(found, "body") or "",
        url=optional_text(found, "html_url"),
    )
