"""The `s3` node: real requests, to a small service that checks each signature with botocore."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from bucket_site import ACCESS, REGION, SECRET, BucketSite, bucket_site
from hypothesis import given
from hypothesis import strategies as st
from node_contexts import GivenConnections, node_context

from runner.nodes.base import NodeError
from runner.nodes.s3 import S3Node
from runner.nodes.s3_client import Place
from runner.nodes.s3_signing import Signer, ToSign, path_text, query_text
from schemas.buckets import Bucket
from schemas.errors import ERROR_TYPES, is_a


class Sender:
    def __init__(self, node: S3Node, site: BucketSite) -> None:
        self.node = node
        self.site = site

    def __call__(self, action: str, spec: dict[str, Any] | None = None, /, **inputs: Any) -> Any:
        around = inputs.pop("around", {})
        return self.node(self.context(spec, **around), {"connection": "store", "action": action, **inputs})

    def context(self, spec: dict[str, Any] | None = None, **around: Any) -> Any:
        usual = {
            "type": "s3",
            "url": "s3://shop/orders",
            "endpoint": self.site.url,
            "region": REGION,
            "accessKey": ACCESS,
            "secretKey": SECRET,
        }
        given = {key: value for key, value in {**usual, **(spec or {})}.items() if value is not None}
        return node_context(GivenConnections({"store": given}), **around)

    def error(self, *given: Any, **inputs: Any) -> NodeError:
        with pytest.raises(NodeError) as caught:
            self(*given, **inputs)
        assert caught.value.type in ERROR_TYPES
        return caught.value


@pytest.fixture
def site() -> Iterator[BucketSite]:
    with bucket_site() as made:
        yield made


@pytest.fixture
def send(site: BucketSite) -> Iterator[Sender]:
    node = S3Node()
    yield Sender(node, site)
    node.close()


def test_an_object_is_put_seen_read_listed_and_deleted(send: Sender, site: BucketSite) -> None:
    put = send("put", key="7.json", json={"total": 9})
    assert put == {"key": "7.json", "size": 11, "etag": put["etag"]}
    assert list(site.objects) == ["/shop/orders/7.json"]
    got = send("get", key="7.json")
    facts = {
        "key": "7.json", "size": 11, "etag": put["etag"], "type": "application/json",
        "modified": "2026-10-21T07:28:00.000Z",
    }  # fmt: skip
    assert got == {**facts, "body": {"total": 9}}
    assert send("head", key="7.json") == {**facts, "exists": True}
    assert send("head", key="8.json") == {"key": "8.json", "exists": False}
    [one] = send("list")["objects"]
    assert (one["key"], one["size"]) == ("7.json", 11)
    assert send("delete", key="7.json") == {"key": "7.json"}
    assert send("delete", key="7.json") == {"key": "7.json"}
    assert send("list") == {"objects": [], "more": False}


def test_bodies_are_text_base64_or_json(send: Sender) -> None:
    send("put", key="a.csv", body="a;b\n", type="text/csv")
    send("put", key="b", body={"base64": "gIEA"})
    assert (send("get", key="a.csv")["type"], send("get", key="a.csv")["body"]) == ("text/csv", "a;b\n")
    assert send("get", key="b")["body"] == {"base64": "gIEA"}
    assert send("get", key="a.csv", **{"as": "base64"})["body"] == base64.b64encode(b"a;b\n").decode()
    send("put", key="c", body="[1]", type="binary/octet-stream")
    assert send("get", key="c", **{"as": "json"})["body"] == [1]
    assert send.error("get", key="b", **{"as": "text"}).type == "parse_error"


@pytest.mark.parametrize(
    "key",
    [
        "a b/c~+=&?#%20é.json",
        "x//y",
        "-_.!*'()",
        "a:b@c$d,e;f",
        "日本/語",
        "a\\b",
        "…",
        "a.",
        "..a",
        "a/b../c",
    ],
)
def test_whatever_is_in_a_key_comes_through_signed(send: Sender, key: str) -> None:
    send("put", key=key, body="x")
    assert send("get", key=key)["body"] == "x"
    assert [one["key"] for one in send("list")["objects"]] == [key]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "..",
        "../a",
        "a/../../b",
        "./a",
        "a/..",
        "a\0b",
        "a\nb",
        "..\\b",
        "x" * 1025,
        "\ud800",
        7,
        None,
    ],
)
def test_no_key_leads_out_of_the_prefix(send: Sender, site: BucketSite, key: Any) -> None:
    for action in ("get", "put", "head", "delete", "presign"):
        error = send.error(action, key=key, **({"body": "x"} if action == "put" else {}))
        assert (error.type, error.retryable) == ("bad_s3_request", False)
    assert site.seen == []


@given(st.text(max_size=40))
def test_a_key_stays_below_its_prefix(key: str) -> None:
    try:
        whole = Bucket.read("s3://shop/orders").key(key)
    except ValueError:
        return
    assert whole == f"orders/{key}"
    assert httpx.URL(f"http://h/{httpx.URL('http://h/x').path}").path  # httpx reads paths
    place = Place.read(
        {"name": "store", "url": "s3://shop/orders", "endpoint": "http://h", "type": "s3"},
        None,  # type: ignore[arg-type]
    )
    assert httpx.URL(f"http://h{place.path(whole)}").raw_path.decode() == place.path(whole)
    assert place.path(whole).startswith("/shop/orders/")


def test_a_list_has_pages_and_only_what_is_below_the_prefix(send: Sender) -> None:
    for number in range(5):
        send("put", key=f"2026/{number}", body="x")
    send("put", {"url": "s3://shop/orders2"}, key="other", body="x")
    send("put", {"url": "s3://shop"}, key="top", body="x")
    first = send("list", prefix="2026/", limit=3)
    assert ([one["key"] for one in first["objects"]], first["more"]) == (["2026/0", "2026/1", "2026/2"], True)
    rest = send("list", prefix="2026/", limit=3, after="2026/2")
    assert ([one["key"] for one in rest["objects"]], rest["more"]) == (["2026/3", "2026/4"], False)
    assert len(send("list")["objects"]) == 5
    assert len(send("list", {"url": "s3://shop"})["objects"]) == 7
    assert send.error("list", prefix="../").type == "bad_s3_request"
    assert send.error("list", limit=0).type == "bad_s3_request"


def test_refusals_say_what_the_service_said(send: Sender, site: BucketSite) -> None:
    error = send.error("get", key="none")
    assert (error.type, error.retryable) == ("s3_not_found", False)
    assert "NoSuchKey" in error.message
    assert is_a("s3_not_found", ["s3"])
    assert "NoSuchBucket" in send.error("put", {"url": "s3://elsewhere"}, key="a", body="x").message
    error = send.error("get", {"secretKey": "wrong"}, key="none")
    assert (error.type, error.retryable) == ("s3_denied", False)
    assert "wrong" not in error.message
    site.status = 503
    site.headers = {"retry-after": "7"}
    error = send.error("get", key="none")
    assert (error.type, error.retryable, error.retry_after) == ("s3_error", True, 7)
    site.status = 301
    assert "region" in send.error("get", key="none").hint


def test_a_public_bucket_is_read_without_keys_and_never_with_those_of_the_machine(
    send: Sender, site: BucketSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    public = {"accessKey": None, "secretKey": None}
    assert send.error("list", public).type == "s3_denied"
    site.anonymous = True
    assert send("list", public)["objects"] == []
    assert send.error("presign", public, key="a").type == "wrong_connection_type"


def test_what_is_too_large_is_neither_read_nor_written(send: Sender, site: BucketSite) -> None:
    site.objects["/shop/orders/big"] = (b"x" * (16 * 1024 * 1024 + 1), "text/plain")
    assert send.error("get", key="big").type == "too_large"
    assert send("head", key="big")["size"] == 16 * 1024 * 1024 + 1
    assert send.error("put", key="b", body="x" * (16 * 1024 * 1024 + 1)).type == "bad_s3_request"


def test_private_addresses_are_refused_and_waits_end(send: Sender) -> None:
    assert send.error("list", around={"allow": ()}).type == "blocked_address"
    gone = {"endpoint": "http://127.0.0.1:1"}
    assert send.error("list", gone).type == "connection"
    cancelled = threading.Event()
    cancelled.set()
    assert send.error("list", around={"cancelled": cancelled}).type == "cancelled"
    assert send.error("list", {"endpoint": "ftp://x"}).type == "wrong_connection_type"


def test_a_presigned_address_is_the_one_that_botocore_makes(send: Sender) -> None:
    found = send("presign", key="a b.pdf", method="PUT", expires="1h")
    url = urlsplit(found["url"])
    query = parse_qs(url.query)
    request = AWSRequest("PUT", f"{send.site.url}{url.path}", headers={"host": url.netloc})
    request.context["timestamp"] = query["X-Amz-Date"][0]
    auth = S3SigV4QueryAuth(Credentials(ACCESS, SECRET), "s3", REGION, expires=3600)
    request.url = found["url"].partition("&X-Amz-Signature")[0]
    text = auth.string_to_sign(request, auth.canonical_request(request))
    assert query["X-Amz-Signature"] == [auth.signature(text, request)]
    assert query["X-Amz-Expires"] == ["3600"]
    assert send.error("presign", key="a", expires="8d").type == "bad_s3_request"


# https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, and sigv4-query-string-auth.html
AMAZON = Signer(
    access_key="AKIAIOSFODNN7EXAMPLE",
    secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    region="us-east-1",
)
HOST = "examplebucket.s3.amazonaws.com"
NOW = 1369353600.0  # 20130524T000000Z


@pytest.mark.parametrize(
    ("request_", "content", "signature"),
    [
        (
            ToSign(method="GET", path="/test.txt", query={}, headers={"host": HOST, "range": "bytes=0-9"}),
            b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            ToSign(
                method="PUT",
                path="/test%24file.text",
                query={},
                headers={
                    "host": HOST,
                    "date": "Fri, 24 May 2013 00:00:00 GMT",
                    "x-amz-storage-class": "REDUCED_REDUNDANCY",
                },
            ),
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            ToSign(method="GET", path="/", query={"lifecycle": ""}, headers={"host": HOST}),
            b"",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            ToSign(method="GET", path="/", query={"max-keys": "2", "prefix": "J"}, headers={"host": HOST}),
            b"",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_signatures_are_those_of_amazons_examples(request_: ToSign, content: bytes, signature: str) -> None:
    assert AMAZON.headers(request_, content, NOW)["authorization"].endswith(f"Signature={signature}")


def test_what_is_signed_is_encoded_once_and_in_amazons_way() -> None:
    """As in its UriEncode: everything but letters, digits, `-._~`, and the slashes of a path."""
    assert path_text("/a+b c/é~._-/%*'()") == "/a%2Bb%20c/%C3%A9~._-/%25%2A%27%28%29"
    assert query_text({"prefix": "a/b+c d", "list-type": "2"}) == "list-type=2&prefix=a%2Fb%2Bc%20d"


def test_a_presigned_address_is_that_of_amazons_example() -> None:
    request = ToSign(method="GET", path="/test.txt", query={}, headers={"host": HOST})
    assert AMAZON.presigned(request, 86400, NOW).endswith(
        "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@pytest.mark.parametrize(
    ("spec", "address"),
    [
        ({}, "https://shop.s3.us-east-1.amazonaws.com/orders/"),
        ({"region": "eu-west-3"}, "https://shop.s3.eu-west-3.amazonaws.com/orders/"),
        ({"url": "s3://my.shop"}, "https://s3.us-east-1.amazonaws.com/my.shop/"),
        ({"endpoint": "https://minio.lan:9000/"}, "https://minio.lan:9000/shop/orders/"),
        ({"endpoint": "https://minio.lan:443"}, "https://minio.lan/shop/orders/"),
        ({"endpoint": "http://[::1]:9000"}, "http://[::1]:9000/shop/orders/"),
    ],
)
def test_a_bucket_is_where_its_region_or_endpoint_says(spec: dict[str, str], address: str) -> None:
    given = {"name": "store", "url": "s3://shop/orders", **spec}
    assert str(Place.read(given, None)) == address  # type: ignore[arg-type]
