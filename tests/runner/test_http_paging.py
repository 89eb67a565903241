"""Lists that come in pages."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from http_site import Answer, Seen, Sender, Site, json_answer

from runner.nodes.http_paging import next_link

ITEMS = list(range(25))


def asked(seen: Seen, name: str, default: int = 0) -> int:
    return int(parse_qs(seen["query"]).get(name, [str(default)])[0])


def by_link(seen: Seen) -> Answer:
    start = asked(seen, "from")
    links = (
        f'</list?from={start - 10}>; rel="prev", <?from={start + 10}&state=a%2Cb>; title="a, b"; rel="next"'
    )
    return json_answer(ITEMS[start : start + 10], **({"Link": links} if start < 20 else {}))


def by_url(seen: Seen) -> Answer:
    start = asked(seen, "from")
    following = f"/list?from={start + 10}" if start < 20 else None
    return json_answer({"value": ITEMS[start : start + 10], "@odata.nextLink": following})


def by_cursor(seen: Seen) -> Answer:
    start = asked(seen, "after")
    return json_answer(
        {"data": {"rows": ITEMS[start : start + 10]}, "meta": {"next": start + 10 if start < 20 else ""}}
    )


def by_page(seen: Seen) -> Answer:
    start = (asked(seen, "page") - 1) * 10
    return json_answer(ITEMS[start : start + 10])


def by_offset(seen: Seen) -> Answer:
    start = asked(seen, "skip")
    return json_answer({"rows": ITEMS[start : start + 10]})


@pytest.mark.parametrize(
    ("serve", "paging", "pages"),
    [
        (by_link, {"by": "link"}, 3),
        (by_url, {"by": "url", "at": ["@odata.nextLink"], "items": "value"}, 3),
        (by_cursor, {"by": "cursor", "at": "meta.next", "query": "after", "items": "data.rows"}, 3),
        (by_page, {"by": "page"}, 4),
        (by_offset, {"by": "offset", "query": "skip", "items": "rows"}, 4),
    ],
)
def test_all_items_come_together(
    send: Sender, site: Site, serve: Callable[[Seen], Answer], paging: dict[str, Any], pages: int
) -> None:
    site.answers["/list"] = serve
    headers = {"X-Key": "k"}
    answer = send(f"{site.url}/list", query={"state": "a,b"}, headers=headers, paging=paging)
    assert answer["items"] == ITEMS
    assert (answer["status"], answer["pages"], answer["more"]) == (200, pages, False)
    assert answer["headers"]["content-type"] == "application/json"
    assert all(seen["headers"]["x-key"] == "k" for seen in site.seen)
    assert all("state=a%2Cb" in seen["query"] or paging["by"] == "url" for seen in site.seen)
    assert len(site.connections) == 1


def test_the_first_page_may_have_another_number(send: Sender, site: Site) -> None:
    site.answers["/list"] = lambda seen: json_answer(
        ITEMS[asked(seen, "p") * 20 : asked(seen, "p") * 20 + 20]
    )
    answer = send(f"{site.url}/list?p=7&x=1", paging={"by": "page", "query": "p", "start": 0})
    assert (answer["items"], answer["pages"]) == (ITEMS, 3)
    assert [seen["query"] for seen in site.seen] == ["x=1&p=0", "x=1&p=1", "x=1&p=2"]


def test_no_more_pages_are_asked_for_than_allowed_and_that_is_said(send: Sender, site: Site) -> None:
    site.answers["/list"] = by_link
    answer = send(f"{site.url}/list", paging={"by": "link", "maxPages": 2})
    assert (answer["items"], answer["pages"], answer["more"]) == (ITEMS[:20], 2, True)
    assert send.log == [("warning", "there may be more than 2 pages: `maxPages` ends here")]
    assert len(site.seen) == 2


def test_the_sizes_of_the_pages_count_together(send: Sender, site: Site) -> None:
    site.answers["/list"] = by_link
    sizes = sum(len(json.dumps(ITEMS[start : start + 10])) for start in (0, 10, 20))
    assert send(f"{site.url}/list", paging={"by": "link"}, maxResponse=sizes)["pages"] == 3
    error = send.error(f"{site.url}/list", paging={"by": "link"}, maxResponse=sizes - 1)
    assert (error.type, error.retryable) == ("too_large", False)
    assert f"larger than {sizes - 1} bytes" in error.message


def test_the_time_of_the_pages_counts_together(send: Sender, site: Site) -> None:
    def endless(seen: Seen) -> Answer:
        time.sleep(0.05)
        return json_answer([asked(seen, "page")])

    site.answers["/list"] = endless
    began = time.monotonic()
    assert send.error(f"{site.url}/list", paging={"by": "page"}, timeout=0.4).type == "timeout"
    assert time.monotonic() - began < 0.7


def test_cancelling_ends_it_between_pages(send: Sender, site: Site) -> None:
    cancelled = threading.Event()

    def endless(seen: Seen) -> Answer:
        if asked(seen, "page") == 3:
            cancelled.set()
        return json_answer([asked(seen, "page")])

    site.answers["/list"] = endless
    error = send.error(f"{site.url}/list", paging={"by": "page"}, cancelled=cancelled)
    assert error.type == "cancelled"
    assert len(site.seen) == 3


def test_a_page_elsewhere_is_asked_without_credentials(send: Sender, site: Site, other: Site) -> None:
    site.answers["/list"] = json_answer([1], Link=f'<{other.url}/more>; rel="next"')
    other.answers["/more"] = json_answer([2])
    answer = send(f"{site.url}/list", auth={"bearer": {"token": "t"}}, paging={"by": "link"})
    assert answer["items"] == [1, 2]
    assert site.seen[0]["headers"]["authorization"] == "Bearer t"
    assert "authorization" not in other.seen[0]["headers"]


def test_a_page_elsewhere_is_asked_without_the_token(send: Sender, site: Site, other: Site) -> None:
    site.answers["/token"] = json_answer({"access_token": "t"})
    site.answers["/list"] = json_answer([1], Link=f'<{other.url}/more>; rel="next"')
    other.answers["/more"] = json_answer([2])
    auth = {"oauth2": {"tokenUrl": f"{site.url}/token", "clientId": "a", "clientSecret": "b"}}
    assert send(f"{site.url}/list", auth=auth, paging={"by": "link"})["items"] == [1, 2]
    assert site.seen[1]["headers"]["authorization"] == "Bearer t"
    assert "authorization" not in other.seen[0]["headers"]


def test_a_page_in_a_private_network_is_refused(send: Sender, site: Site, other: Site) -> None:
    site.answers["/list"] = json_answer({"items": [1], "next": f"{other.url}/more"})
    paging = {"by": "url", "at": "next", "items": "items"}
    error = send.error(f"{site.url}/list", paging=paging, allow=(f"localhost:{site.port}",))
    assert error.type == "blocked_address"
    assert other.seen == []


def test_a_failed_page_fails_the_node(send: Sender, site: Site) -> None:
    site.answers["/list"] = json_answer([1], Link='</gone>; rel="next"')
    site.answers["/gone"] = (503, {"Retry-After": "3"}, b"")
    error = send.error(f"{site.url}/list", paging={"by": "link"})
    assert (error.type, error.retryable, error.retry_after) == ("http_status", True, 3)
    assert error.message == f"GET {site.url}/gone: status 503"


@pytest.mark.parametrize(
    ("answer", "paging", "reason"),
    [
        ({"rows": [1]}, {"by": "link"}, "there is no list in the body"),
        ({"rows": [1]}, {"by": "link", "items": "data.rows"}, "there is no list at data.rows"),
        (
            {"rows": [1], "next": {}},
            {"by": "cursor", "at": "next", "items": "rows"},
            "neither text nor a number",
        ),
        (
            {"rows": [1], "next": True},
            {"by": "cursor", "at": "next", "items": "rows"},
            "neither text nor a number",
        ),
        ({"rows": [1], "next": "c"}, {"by": "cursor", "at": "next", "items": "rows"}, "the same again"),
        ({"rows": [1], "next": "/list"}, {"by": "url", "at": "next", "items": "rows"}, "the same again"),
        ([1], {"by": "page"}, "the query parameter page does not count"),
        ([1], {"by": "offset"}, "the query parameter offset does not count"),
    ],
)
def test_what_is_no_page_is_an_error(
    send: Sender, site: Site, answer: Any, paging: dict[str, Any], reason: str
) -> None:
    site.answers["/list"] = json_answer(answer)
    error = send.error(f"{site.url}/list", paging=paging)
    assert (error.type, error.retryable) == ("bad_page", False)
    assert reason in error.message
    assert len(site.seen) <= 2


def test_a_next_page_at_no_http_address_is_refused(send: Sender, site: Site) -> None:
    site.answers["/list"] = json_answer({"rows": [1], "next": "file:///etc/passwd"})
    error = send.error(f"{site.url}/list", paging={"by": "url", "at": "next", "items": "rows"})
    assert (error.type, error.retryable) == ("bad_request", False)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"paging": {"by": "guess"}}, "`paging.by` must be one of link, url, cursor, page, offset"),
        ({"paging": {"by": "cursor"}}, "`paging.at` must be a path"),
        ({"paging": {"by": "cursor", "at": "a..b"}}, "`paging.at` must be a path"),
        ({"paging": {"by": "link", "at": "a"}}, "`paging` by link takes no 'at'"),
        (
            {"paging": {"by": "page", "maxPages": 0}},
            "`paging.maxPages` must be a whole number from 1 to 10000",
        ),
        ({"paging": {"by": "page", "start": "1"}}, "`paging.start` must be a whole number"),
        ({"paging": {"by": "page", "query": ""}}, "`paging.query` must be text"),
        ({"paging": {"by": "page"}, "method": "POST"}, "the method GET only"),
    ],
)
def test_paging_that_says_nothing_is_refused(send: Sender, inputs: dict[str, Any], reason: str) -> None:
    error = send.error("http://example.com/", **inputs)
    assert error.type == "bad_request"
    assert reason in error.message


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("", None),
        ('</a>; rel="next"', "/a"),
        ("</a>; rel=next", "/a"),
        ("</a>;rel=NEXT;title=x", "/a"),
        ('</a>; rel="prev", </b>; rel="next"', "/b"),
        ('</a>; rel="prev last", </b>; rel="start next"', "/b"),
        ('</a,b;c>; title="x; rel=next, <"; rel="self", </d>; rel="next"', "/d"),
        ('</a>; title="a \\" b"; rel="next"', "/a"),
        ('</a>; rel="nextish"', None),
        ('</a>; xrel="next"', None),
        ("</a>", None),
        ("no link; rel=next", None),
        ("<https://x.example/?a=1,2>; rel=next", "https://x.example/?a=1,2"),
    ],
)
def test_the_next_link_of_a_header(header: str, target: str | None) -> None:
    assert next_link(header) == target


def test_a_hostile_link_header_costs_no_time() -> None:
    began = time.monotonic()
    for evil in (
        "<a>" + "; a" * 20_000,
        "<" * 60_000,
        '<a>; a="' + "\\" * 60_000,
        "<a>;" + " " * 60_000 + "x",
    ):
        next_link(evil)
    assert time.monotonic() - began < 1
