"""Answers that say no: RFC 9457 problem documents."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from schemas.pattern import JSON

log = logging.getLogger(__name__)

PREFIX = "urn:weft:problem:"


class Kind(Enum):
    """Every kind of problem: its name (the `type` is a URN of it), status, title. `docs/api.md` lists them."""

    MALFORMED = ("malformed-body", 400, "The body cannot be read")
    UNAUTHENTICATED = ("unauthenticated", 401, "A token is needed")
    UNSIGNED = ("not-signed", 401, "The signature is not right")
    FORBIDDEN = ("forbidden", 403, "You may not do this")
    OTHER_REPOSITORY = ("another-repository", 403, "Another repository")
    NOT_FOUND = ("not-found", 404, "Not found")
    UNDEPLOYED = ("deployment-undeployed", 404, "Not deployed")
    NO_FORGE = ("no-forge", 404, "No events are taken from a forge")
    METHOD = ("method-not-allowed", 405, "Method not allowed")
    SLOW = ("too-slow", 408, "The request did not arrive in time")
    PAUSED = ("deployment-paused", 409, "Paused")
    FULL = ("concurrency-full", 409, "As many runs as are allowed")
    CIRCUIT_OPEN = ("circuit-open", 409, "The circuit is open")
    CONFLICT = ("conflict", 409, "Not as things are")
    OTHER_BODY = ("same-key-other-body", 409, "Another body under the same key")
    RUN_ENDED = ("run-ended", 409, "The run has ended")
    RUN_NOT_ENDED = ("run-not-ended", 409, "The run has not ended")
    NOTHING_FAILED = ("nothing-failed", 409, "Nothing of this run failed")
    NOT_TEXT = ("not-text", 409, "The file is not text")
    NOT_HERE = ("not-in-this-version", 409, "The live version cannot do this")
    UNMERGEABLE = ("not-mergeable", 409, "It cannot be merged")
    SEALED = ("secrets-unreadable", 409, "Stored secrets cannot be decrypted")
    ARCHIVED = ("deployment-archived", 410, "Archived")
    TOO_LARGE = ("too-large", 413, "The body is too large")
    INVALID = ("invalid-request", 422, "The request is not right")
    UNREADABLE = ("commit-has-problems", 422, "The commit's files have problems")
    INVALID_INPUT = ("invalid-input", 422, "The input does not fit the pattern")
    DRAFT = ("draft-has-problems", 422, "The draft has problems")
    UNFIT = ("invalid-parameters", 422, "The parameters do not fit the template")
    GATE = ("refused-by-gate", 422, "The commit would be refused")
    TOO_MANY = ("too-many-streams", 429, "Too many streams are open")
    TOO_MANY_TESTS = ("too-many-test-runs", 429, "Too many test runs")
    HEAD_TOO_LARGE = ("head-too-large", 431, "The request's head is too large")
    INTERNAL = ("internal-error", 500, "Weft failed at this")
    UNAVAILABLE = ("unavailable", 503, "Try again in a moment")
    NOT_READY = ("not-ready", 503, "Not ready")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title


class Refusal(Exception):
    """Ends a request with a problem document. `detail` says what is wrong and what to do.

    `problems` are places in what was sent, `extra` further members of the document.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        problems: Sequence[Mapping[str, JSON]] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, JSON] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.problems = problems
        self.headers = headers
        self.extra = extra or {}

    def response(self) -> Response:
        document: dict[str, Any] = {
            "type": PREFIX + self.kind.slug,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            **self.extra,
        }
        if self.problems:
            document["problems"] = list(self.problems)
        return Response(
            orjson.dumps(document), self.kind.status, self.headers, media_type="application/problem+json"
        )


def not_found(what: str) -> Refusal:
    return Refusal(Kind.NOT_FOUND, what)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == Kind.METHOD.status:
        allowed = (error.headers or {}).get("Allow", "")
        detail = f"{request.method} is not understood here: use {allowed or 'another method'}."
        return Refusal(Kind.METHOD, detail, headers=error.headers).response()
    return not_found(f"There is nothing at {request.url.path}. The API is at /api/v1.").response()


async def _failure(request: Request, error: Exception) -> Response:
    log.error("request_failed", exc_info=error, extra={"method": request.method, "path": request.url.path})
    return Refusal(
        Kind.INTERNAL, "This is a defect of Weft: the log of `weft web` has the details."
    ).response()


EXCEPTION_HANDLERS = {HTTPException: _http_exception, Exception: _failure}
"""For Starlette: whatever no route answers is a problem document, too."""
