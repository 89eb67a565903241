"""What a file may say of an `http` node, and what it says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import ERROR_TYPES
from schemas.pattern import JSON
from schemas.shape import mistakes, schema_documents

URL = {"url": "https://example.com/"}
SECRET = "${{ secrets.A }}"


def told(node: JSON) -> list[str]:
    document = {
        "apiVersion": "weft/v1",
        "kind": "Pattern",
        "metadata": {"name": "a"},
        "spec": {"nodes": [node]},
    }
    return [f"{mistake.code}: {mistake.message}" for mistake in mistakes("pattern", document)]


@pytest.mark.parametrize(
    "inputs",
    [
        URL,
        {"url": "${{ vars.url }}"},
        {"connection": "crm"},
        {"connection": "crm", "url": "customers/7"},
        {"connection": "${{ vars.crm }}"},
        {**URL, "method": "PATCH", "query": {"a": [1]}, "headers": {"X-A": 1}, "json": None},
        {
            **URL,
            "multipart": {
                "a": "x",
                "n": 1,
                "f": {"filename": "a", "base64": "aa=="},
                "l": ["a", {"content": "x"}],
            },
        },
        {**URL, "multipart": "${{ input }}", "auth": "${{ input }}"},
        {**URL, "body": "text"},
        {**URL, "body": {"base64": "${{ nodes.a.body.base64 }}"}},
        {**URL, "auth": {"basic": {"username": "a", "password": SECRET}}},
        {**URL, "auth": {"bearer": {"token": SECRET}}},
        {
            **URL,
            "auth": {
                "oauth2": {"tokenUrl": SECRET, "clientId": "a", "clientSecret": SECRET, "clientAuth": "post"}
            },
        },
        {
            **URL,
            "tls": {
                "verify": False,
                "caFile": "ca.pem",
                "certificate": SECRET,
                "key": SECRET,
                "serverName": "a",
            },
        },
        {**URL, "tls": {"ca": SECRET, "verify": "${{ vars.verify }}"}},
        {**URL, "tls": {"caFile": "certificates/.well-known/..ca.pem"}},
        {**URL, "paging": {"by": "link"}},
        {**URL, "paging": {"by": "url", "at": ["@odata.nextLink"], "items": "value", "maxPages": 3}},
        {**URL, "paging": {"by": "cursor", "at": "meta.next", "query": "$skip"}},
        {**URL, "paging": {"by": "page", "query": "p", "start": 0}},
        {**URL, "paging": {"by": "offset"}},
    ],
)
def test_what_a_node_may_say(inputs: dict[str, Any]) -> None:
    assert told({"id": "a", "uses": "http", "with": inputs}) == []


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, 'missing-key: the key "url" is missing in "with"'),
        ({"url": "customers/7"}, 'invalid-value: "url" cannot be "customers/7"'),
        ({**URL, "connection": "C R M"}, 'invalid-value: "connection" cannot be "C R M"'),
        ({**URL, "json": 1, "multipart": {}}, "conflicting-keys: "),
        (
            {**URL, "multipart": {"f": {"filename": "a"}}},
            'conflicting-keys: "f" takes exactly one of content, base64',
        ),
        ({**URL, "multipart": {"f": {"file": "a", "content": "x"}}}, 'unknown-key: unknown key "file"'),
        ({**URL, "multipart": {"f": [["x"]]}}, 'wrong-type: an item of "f" must be text, a number'),
        ({**URL, "body": {"base64": "", "x": 1}}, 'unknown-key: unknown key "x"'),
        ({**URL, "body": 7}, 'wrong-type: "body" must be text, or bytes'),
        ({**URL, "auth": {}}, 'conflicting-keys: "auth" takes exactly one of basic, bearer, oauth2'),
        (
            {**URL, "auth": {"basic": {"username": "a"}}},
            'missing-key: the key "password" is missing in "basic"',
        ),
        ({**URL, "auth": {"bearer": "x"}}, 'wrong-type: "bearer" must be a mapping'),
        (
            {**URL, "tls": {"ca": "x", "caFile": "y"}},
            'conflicting-keys: "tls" takes at most one of ca, caFile',
        ),
        ({**URL, "tls": {"key": "x"}}, 'missing-key: the key "certificate" is missing in "tls"'),
        ({**URL, "tls": {"verify": "no"}}, 'wrong-type: "verify" must be true or false'),
        *(
            ({**URL, "tls": {"caFile": path}}, 'invalid-value: "caFile" cannot be')
            for path in ("", "/etc/ca.pem", "../ca.pem", "a/../ca.pem", "a//ca.pem", ".git/x", "a\\b", SECRET)
        ),
        ({**URL, "paging": {"by": "link", "items": [SECRET]}}, 'invalid-value: an item of "items" cannot be'),
        ({**URL, "paging": {}}, 'missing-key: the key "by" is missing in "paging"'),
        ({**URL, "paging": {"by": "pages"}}, 'invalid-value: "by" cannot be "pages"'),
        ({**URL, "paging": {"by": "link", "at": "x"}}, 'unknown-key: unknown key "at"'),
        ({**URL, "paging": {"by": "cursor"}}, 'missing-key: the key "at" is missing in "paging"'),
        ({**URL, "paging": {"by": "page", "items": "${{ vars.items }}"}}, 'invalid-value: "items" cannot be'),
        ({**URL, "paging": {"by": "page", "maxPages": 0}}, 'invalid-value: "maxPages" cannot be 0'),
    ],
)
def test_what_it_may_not_say_is_told_once(inputs: dict[str, Any], message: str) -> None:
    [only] = told({"id": "a", "uses": "http", "with": inputs})
    assert only.startswith(message)


def test_what_the_schema_says_of_itself_is_true() -> None:
    schema = schema_documents()["nodes/http"]
    assert told(schema["x-example"]) == []
    assert set(schema["x-errors"]) <= ERROR_TYPES.keys()
    assert all("x-doc" in one for one in schema["properties"]["with"]["properties"].values())
