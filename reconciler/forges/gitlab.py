"""GitLab's REST API (https://docs.gitlab.com/api/rest). Pull requests are merge requests there, comments notes."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from reconciler.forges.api import Api
from reconciler.forges.errors import RefusedError
from reconciler.forges.fields import commit, number, optional_text, text
from reconciler.forges.forge import CONTEXT, Comment, Found, Status, shortened
from schemas.pattern import JSON

STATES = {
    Status.PENDING: "pending",
    Status.SUCCESS: "success",
    Status.FAILURE: "failed",
    Status.ERROR: "failed",
}


def headers(token: str) -> dict[str, str]:
    return {"PRIVATE-TOKEN": token}


class GitLab:
    def __init__(self, api: Api, repository: str) -> None:
        self._api = api
        self._at = f"/projects/{quote(repository, safe='')}"
        self._myself: str | None = None

    def pull_request(self, number: int) -> Found:
        found = self._api.get(f"{self._at}/merge_requests/{number}")
        return Found(
            is_open=text(found, "state") == "opened",
            head=commit(found, "sha"),
            base=text(found, "target_branch"),
        )

    def open_ones(self) -> Iterator[tuple[int, str]]:
        for found in self._api.pages(f"{self._at}/merge_requests", state="opened"):
            if optional_text(found, "sha") is not None:  # it may have no commit yet
                yield number(found, "iid"), commit(found, "sha")

    def head_ref(self, number: int) -> str:
        return f"refs/merge-requests/{number}/head"

    def myself(self) -> str | None:
        if self._myself is None:
            self._myself = text(self._api.get("/user"), "username")
        return self._myself

    def comments(self, number: int) -> Iterator[Comment]:
        return map(_comment, self._api.pages(self._notes(number)))

    def add_comment(self, number: int, text: str) -> Comment:
        return _comment(self._api.post(self._notes(number), {"body": text}))

    def edit_comment(self, number: int, comment: str, text: str) -> Comment:
        return _comment(self._api.put(f"{self._notes(number)}/{comment}", {"body": text}))

    def set_status(self, commit: str, status: Status, description: str, url: str | None) -> None:
        body = {"state": STATES[status], "description": shortened(description), "name": CONTEXT}
        try:
            self._api.post(f"{self._at}/statuses/{commit}", body | ({"target_url": url} if url else {}))
        except RefusedError as error:
            # It refuses the state that the status has already, and `pending` once it has another.
            if error.status != 400 or "Cannot transition status" not in str(error):
                raise

    def _notes(self, number: int) -> str:
        return f"{self._at}/merge_requests/{number}/notes"


def _comment(found: JSON) -> Comment:
    return Comment(
        id=str(number(found, "id")),
        author=optional_text(found, "author", "username"),
        text=optional_text(found, "body") or "",
    )
