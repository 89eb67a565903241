"""The way to a forge's REST API: one door for requests, with their errors translated."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import orjson

from reconciler.forges.errors import RefusedError, TryLaterError, error_of
from schemas.pattern import JSON

PATIENCE = 20.0  # seconds for each part of one request
ALTOGETHER = 120.0  # seconds for all that is done about one pull request: less than its lease
LARGEST = 16 * 1024 * 1024  # bytes of one answer; a page of 100 comments has at most 6.5 MB
MOST_PAGES = 50
PAGE = 100
TOLD = 200  # characters of the forge's message


@dataclass(frozen=True, kw_only=True)
class Answer:
    value: JSON
    more: bool  # a list that goes on


class Api:
    """Speaks to one forge with one token. For one thread; use it as a context manager."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        """`headers` hold the token. Redirects are not followed: they would take it elsewhere."""
        self._url = url
        # Without TLS, nobody is trusted: to read all authorities takes longer than most requests.
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._http = httpx.Client(
            verify=urlsplit(url).scheme == "https" or nobody,
            headers={"User-Agent": "weft", "Accept": "application/json", **headers},
            timeout=PATIENCE,
            follow_redirects=False,
        )
        self._until = time.monotonic() + ALTOGETHER

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str) -> JSON:
        return self._ask("GET", path).value

    def post(self, path: str, body: JSON) -> JSON:
        return self._ask("POST", path, body).value

    def patch(self, path: str, body: JSON) -> JSON:
        return self._ask("PATCH", path, body).value

    def put(self, path: str, body: JSON) -> JSON:
        return self._ask("PUT", path, body).value

    def pages(self, path: str, **query: str) -> Iterator[JSON]:
        """The items of a list, page by page. The links to further pages are counted, not followed."""
        for page in range(1, MOST_PAGES + 1):
            size = {"per_page": PAGE, "limit": PAGE, "page": page}
            answer = self._ask("GET", f"{path}?{urlencode(query | size)}")
            if not isinstance(answer.value, list):
                raise RefusedError(f"GET {path}: the answer is no list; see that WEFT_FORGE_API is right")
            yield from answer.value
            if not answer.more:
                return

    def _ask(self, method: str, path: str, body: JSON = None) -> Answer:
        what = f"{method} {self._url}{path.partition('?')[0]}"
        if time.monotonic() > self._until:
            raise TryLaterError(f"{what}: the forge takes too long")
        content = None if body is None else orjson.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            with self._http.stream(method, self._url + path, content=content, headers=headers) as answer:
                text = _read(answer, what)
        except httpx.InvalidURL as error:
            raise RefusedError(f"{what}: {error}; see that WEFT_FORGE_API is right") from None
        except httpx.HTTPError as error:
            raise TryLaterError(f"{what}: {_reason(error)}") from None
        value = _parsed(text)
        wrong = error_of(what, answer.status_code, _lower(answer.headers), _message(value), time.time())
        if wrong is not None:
            raise wrong
        if value is None:
            raise RefusedError(f"{what}: the answer is not JSON; see that WEFT_FORGE_API is right")
        return Answer(value=value, more='rel="next"' in answer.headers.get("link", ""))


def _read(answer: httpx.Response, what: str) -> bytes:
    chunks, size = [], 0
    for chunk in answer.iter_bytes():
        size += len(chunk)
        if size > LARGEST:
            raise RefusedError(f"{what}: the answer has more than {LARGEST:,} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _lower(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _message(value: Any) -> str:
    """Under `message` or `error`, in whatever form; one line of it."""
    if not isinstance(value, dict):
        return ""
    said = value.get("message") or value.get("error") or ""
    printable = "".join(
        char if char.isprintable() else " " for char in str(said)
    )  # the database takes no NUL
    return " ".join(printable.split())[:TOLD]


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__
