"""Lists that come in pages: where the next page is, and what is on each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import httpx

from runner.nodes.base import NodeError
from runner.nodes.http_client import HttpAnswer
from runner.nodes.http_request import HttpRequest
from runner.nodes.http_response import value_of
from runner.nodes.http_values import mapping_of, needed_text
from schemas.pattern import JSON

MAX_PAGES = 10_000
_DEFAULT_PAGES = 100
_TAKES = {
    "link": (),
    "url": ("at",),
    "cursor": ("at", "query"),
    "page": ("query", "start"),
    "offset": ("query", "start"),
}
_STARTS = {"page": 1, "offset": 0}

# https://www.rfc-editor.org/rfc/rfc8288#section-3
_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(r'\s*;\s*([^\s=;,]*)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s";,]*)))?')


@dataclass(frozen=True, kw_only=True)
class Page:
    items: list[JSON]
    following: HttpRequest | None


@dataclass(frozen=True, kw_only=True)
class Paging:
    """`by` is link, url, cursor, page or offset; `at` and `items` are keys from the outermost."""

    by: str
    at: tuple[str, ...] = ()
    query: str = ""
    start: int = 0
    items: tuple[str, ...] = ()
    max_pages: int = _DEFAULT_PAGES

    @classmethod
    def read(cls, value: JSON) -> Paging:
        """Raises ValueError."""
        by = mapping_of("`paging`", value).get("by")
        if not isinstance(by, str) or by not in _TAKES:
            raise ValueError(f"`paging.by` must be one of {', '.join(_TAKES)}")
        given = mapping_of(f"`paging` by {by}", value, ("by", *_TAKES[by], "items", "maxPages"))
        return cls(
            by=by,
            at=_path("`paging.at`", given.get("at")) if "at" in _TAKES[by] else (),
            query=needed_text("`paging.query`", given.get("query", by)) if "query" in _TAKES[by] else "",
            start=_whole("`paging.start`", given.get("start", _STARTS.get(by, 0)), 0, 2**53),
            items=_path("`paging.items`", given["items"]) if "items" in given else (),
            max_pages=_whole("`paging.maxPages`", given.get("maxPages", _DEFAULT_PAGES), 1, MAX_PAGES),
        )

    def first(self, request: HttpRequest) -> HttpRequest:
        return _asking(request, self.query, str(self.start)) if self.by in _STARTS else request

    def page(self, request: HttpRequest, answer: HttpAnswer, count: int, seen: int) -> Page:
        """The page in `answer`, after `count` others with `seen` items. Raises NodeError `bad_page`."""
        body = value_of(answer.body.content, answer.headers.get("content-type", ""))
        items = _at(self.items, body)
        if not isinstance(items, list):
            where = f"at {'.'.join(self.items)}" if self.items else "in the body"
            raise _bad_page(answer, f"there is no list {where}", "`items` is the path to the list")
        return Page(items=items, following=self._following(request, answer, body, (count, seen, len(items))))

    def check_new(self, answer: HttpAnswer, before: bytes) -> None:
        """A server that does not know the parameter gives the first page for ever."""
        if self.by in _STARTS and answer.body.content == before:
            reason = f"the next page is the same again: the query parameter {self.query} does not count"
            raise _bad_page(answer, reason, "`query` is the name of the parameter")

    def _following(
        self, request: HttpRequest, answer: HttpAnswer, body: JSON, counted: tuple[int, int, int]
    ) -> HttpRequest | None:
        count, seen, length = counted
        if self.by in _STARTS:
            step = count + 1 if self.by == "page" else seen + length
            return _asking(request, self.query, str(self.start + step)) if length else None
        found = next_link(answer.headers.get("link", "")) if self.by == "link" else _at(self.at, body)
        if found is None or found is False or found == "":
            return None
        if isinstance(found, bool) or not isinstance(found, str | int):
            raise _bad_page(answer, f"{'.'.join(self.at)} is neither text nor a number", "correct `at`")
        if self.by == "cursor":
            following = _asking(request, self.query, str(found))
        else:
            following = answer.request.at(str(found), "led by its paging")
        if following.url in (request.url, answer.request.url):
            raise _bad_page(answer, "the next page is the same again", "check `paging`")
        return following


def next_link(header: str) -> str | None:
    """The address of the first link whose relation is `next`."""
    links = ((target, parameters.get("rel", "")) for target, parameters in _links(header))
    return next((target for target, rel in links if "next" in rel.lower().split()), None)


def _links(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    position = 0
    while target := _TARGET.match(header, position):
        position, parameters = target.end(), dict[str, str]()
        while parameter := _PARAMETER.match(header, position):
            position = parameter.end()
            parameters.setdefault(parameter[1].lower(), parameter[2] or parameter[3] or "")
        yield target[1], parameters


def _asking(request: HttpRequest, name: str, value: str) -> HttpRequest:
    """With the query parameter in place of the one of its name."""
    return replace(request, url=with_query(request.url, [(name, value)], instead=True))


def with_query(url: httpx.URL, pairs: list[tuple[str, str]], *, instead: bool = False) -> httpx.URL:
    """The url with `pairs` added, or put in the place of those of the same names (`instead`)."""
    if not pairs:
        return url
    names = {urlencode({name: ""})[:-1].encode() for name, _ in pairs} if instead else set()
    kept = [part for part in url.query.split(b"&") if part and part.partition(b"=")[0] not in names]
    return url.copy_with(query=b"&".join([*kept, urlencode(pairs).encode()]))


def _at(path: tuple[str, ...], body: JSON) -> JSON:
    value = body
    for key in path:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _path(what: str, value: JSON) -> tuple[str, ...]:
    """`meta.next`, or a list of keys where one has a dot of its own."""
    keys = value.split(".") if isinstance(value, str) else value
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) and key for key in keys):
        raise ValueError(f"{what} must be a path such as meta.next, or a list of keys")
    return tuple(keys)


def _whole(what: str, value: JSON, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{what} must be a whole number from {least} to {most}")
    return value


def _bad_page(answer: HttpAnswer, reason: str, hint: str) -> NodeError:
    return NodeError("bad_page", f"{answer.request}: {reason}", hint=hint, retryable=False)
