"""GitHub's REST API, and that of GitHub Enterprise Server (https://docs.github.com/rest)."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.forges.api import Api
from reconciler.forges.errors import RefusedError
from reconciler.forges.fields import commit, number, optional_text, text
from reconciler.forges.forge import CONTEXT, Comment, Found, Status, shortened
from schemas.pattern import JSON

HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


def headers(token: str) -> dict[str, str]:
    return {**HEADERS, "Authorization": f"Bearer {token}"}


class GitHub:
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

    def open_ones(self) -> Iterator[tuple[int, str]]:
        for found in self._api.pages(f"{self._at}/pulls", state="open"):
            yield number(found, "number"), commit(found, "head", "sha")

    def head_ref(self, number: int) -> str:
        return f"refs/pull/{number}/head"

    def myself(self) -> str | None:
        """None for the token of an app, which is no user."""
        if self._myself is None:
            try:
                self._myself = text(self._api.get("/user"), "login")
            except RefusedError as error:
                if error.status != 403:
                    raise
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
    """Of an app's comment the author is not known by name: its token cannot tell what it is called."""
    is_app = optional_text(found, "user", "type") == "Bot"
    return Comment(
        id=str(number(found, "id")),
        author=None if is_app else optional_text(found, "user", "login"),
        text=optional_text(found, "body") or "",
        url=optional_text(found, "html_url"),
    )
