"""`s3`: objects in a bucket."""

from __future__ import annotations

import base64
import email.utils
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import unquote

import orjson

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.formats.xml_text import read_xml
from runner.nodes.found import Found
from runner.nodes.http_body import content_of
from runner.nodes.http_client import HttpAnswer
from runner.nodes.http_pool import HttpPools
from runner.nodes.http_response import value_of
from runner.nodes.s3_client import LARGEST, Place, S3Client, S3Request
from runner.nodes.watched import CancelledError, DeadlinePassedError, Watch
from schemas.buckets import Bucket
from schemas.connection import ConnectionType
from schemas.pattern import JSON
from schemas.quantities import seconds
from schemas.times import timestamp

MOST_LISTED: Final = 1000
LONGEST_LINK: Final = 7 * 24 * 3600
"""Seconds: more than a week no service signs for."""

_LINK: Final = "15m"

T = TypeVar("T")


class S3Node:
    """Takes `{connection, action, …}`; what it gives goes by the action.

    For any number of threads; make it after forking.
    """

    def __init__(self) -> None:
        self._pools = HttpPools()
        self._actions: dict[str, Callable[[S3Client, Bucket, Mapping[str, JSON]], JSON]] = {
            "get": _get,
            "put": _put,
            "list": _list,
            "delete": _delete,
            "head": _head,
            "presign": _presign,
        }

    def __call__(self, context: NodeContext, inputs: JSON) -> JSON:
        act = self._actions[inputs["action"]]
        return self._within(
            context, str(inputs["connection"]), lambda client, place: act(client, place.bucket, inputs)
        )

    def probe(self, context: NodeContext, name: str) -> Found:
        """Lists one object: what most keys may do, and no object has to be there for."""

        def look(client: S3Client, place: Place) -> Found:
            request = S3Request(method="GET", key="", query=_listing(place.bucket.prefix, 1))
            answer = client.send(request)
            return Found(address=str(place), server=answer.headers.get("server"), tls=answer.tls)

        return self._within(context, name, look)

    def close(self) -> None:
        self._pools.close()

    def _within(self, context: NodeContext, name: str, work: Callable[[S3Client, Place], T]) -> T:
        spec = context.connections.get(name, ConnectionType.S3)
        place = Place.read(spec, context.assets)
        watch = Watch.start("no complete answer", context.remaining(), context.cancelled)
        try:
            with watch.over():
                return work(S3Client(place, self._pools, context), place)
        except DeadlinePassedError as error:
            raise NodeError("timeout", f"{name}: {error}") from None
        except CancelledError:
            raise NodeError("cancelled", f"{name}: given up with its run", retryable=False) from None


def _get(client: S3Client, bucket: Bucket, inputs: Mapping[str, JSON]) -> JSON:
    answer = client.send(S3Request(method="GET", key=_key(bucket, inputs)))
    return {**_facts(inputs["key"], answer), "body": _body(answer, inputs)}


def _put(client: S3Client, bucket: Bucket, inputs: Mapping[str, JSON]) -> JSON:
    try:
        content = content_of({key: inputs[key] for key in ("json", "body") if key in inputs})
    except ValueError as error:
        raise _bad(str(error)) from None
    if content is None:
        raise _bad("`put` needs `json` or `body`")
    if len(content.data) > LARGEST:
        raise _bad(f"the object would have {len(content.data):,} bytes; {LARGEST:,} are allowed")
    type_ = inputs.get("type", content.type)
    if not isinstance(type_, str) or not type_.isascii() or not type_.isprintable() or not type_.strip():
        raise _bad("`type` cannot be the value of a header")
    answer = client.send(
        S3Request(
            method="PUT",
            key=_key(bucket, inputs),
            headers={"content-type": type_.strip()},
            content=content.data,
        )
    )
    return {"key": inputs["key"], "size": len(content.data), "etag": _etag(answer.headers.get("etag"))}


def _delete(client: S3Client, bucket: Bucket, inputs: Mapping[str, JSON]) -> JSON:
    client.send(S3Request(method="DELETE", key=_key(bucket, inputs)))
    return {"key": inputs["key"]}


def _head(client: S3Client, bucket: Bucket, inputs: Mapping[str, JSON]) -> JSON:
    try:
        answer = client.send(S3Request(method="HEAD", key=_key(bucket, inputs)))
    except NodeError as error:
        if error.type != "s3_not_found":
            raise
        return {"key": inputs["key"], "exists": False}
    return {**_facts(inputs["key"], answer), "exists": True}


def _list(client: S3Client, bucket: Bucket, inputs: Mapping[str, JSON]) -> JSON:
    most = inputs.get("limit", MOST_LISTED)
    if isinstance(most, bool) or not isinstance(most, int) or not 0 < most <= MOST_LISTED:
        raise _bad(f"`limit` must be a whole number from 1 to {MOST_LISTED}")
    query = _listing(_below(bucket, inputs, "prefix"), most)
    if inputs.get("after"):
        query["start-after"] = _below(bucket, inputs, "after")
    answer = client.send(S3Request(method="GET", key="", query=query))
    try:
        found = read_xml(answer.body.content.decode(), lists=("Contents",))["ListBucketResult"]
        encoded = found.get("EncodingType") == "url"
        objects = [_listed(one, bucket, encoded=encoded) for one in found.get("Contents", ())]
        return {"objects": objects, "more": found.get("IsTruncated") == "true"}
    except (NodeError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise NodeError("s3_error", "the answer is not the list of a bucket", retryable=False) from error


def _presign(client: S3Client, bucket: Bucket, inputs: Mapping[str, JSON]) -> JSON:
    try:
        length = int(seconds(str(inputs.get("expires", _LINK))))
    except ValueError as error:
        raise _bad(f"`expires`: {error}") from None
    if not 0 < length <= LONGEST_LINK:
        raise _bad("`expires` must be from 1s to 7d")
    request = S3Request(method=inputs.get("method", "GET"), key=_key(bucket, inputs))
    return {"url": client.presigned(request, length), "expiresAt": timestamp(time.time() + length)}


def _key(bucket: Bucket, inputs: Mapping[str, JSON], name: str = "key") -> str:
    key = inputs.get(name)
    if not isinstance(key, str):
        raise _bad(f"`{name}` must be text")
    try:
        return bucket.key(key)
    except ValueError as error:
        raise _bad(f"`{name}` cannot be {key!r:.200}: {error}") from None


def _below(bucket: Bucket, inputs: Mapping[str, JSON], name: str) -> str:
    return _key(bucket, inputs, name) if inputs.get(name) else bucket.prefix


def _listing(prefix: str, most: int) -> dict[str, str]:
    query = {"list-type": "2", "max-keys": str(most), "encoding-type": "url"}
    return {**query, "prefix": prefix} if prefix else query


def _listed(one: Mapping[str, JSON], bucket: Bucket, *, encoded: bool) -> JSON:
    key = unquote(one["Key"].replace("+", " ")) if encoded else one["Key"]
    return {
        "key": key.removeprefix(bucket.prefix),
        "size": int(one["Size"]),
        "etag": _etag(one.get("ETag")),
        "modified": one.get("LastModified"),
    }


def _facts(key: str, answer: HttpAnswer) -> dict[str, JSON]:
    headers = answer.headers
    size = headers.get("content-length", "")
    return {
        "key": key,
        "size": int(size) if size.isdecimal() else len(answer.body.content),
        "etag": _etag(headers.get("etag")),
        "type": headers.get("content-type"),
        "modified": _instant(headers.get("last-modified")),
    }


def _body(answer: HttpAnswer, inputs: Mapping[str, JSON]) -> JSON:
    content, wanted = answer.body.content, inputs.get("as")
    try:
        match wanted:
            case "json":
                return orjson.loads(content)
            case "text":
                return content.decode()
            case "base64":
                return base64.b64encode(content).decode("ascii")
    except ValueError as error:
        raise NodeError(
            "parse_error", f"{inputs['key']!r:.200} is no {wanted}: {error}"[:400], retryable=False
        ) from None
    return value_of(content, answer.headers.get("content-type", ""))


def _etag(value: JSON) -> JSON:
    return value.strip('"') if isinstance(value, str) else None


def _instant(written: str | None) -> str | None:
    try:
        return None if written is None else timestamp(email.utils.parsedate_to_datetime(written).timestamp())
    except (ValueError, OverflowError):
        return None


def _bad(message: str) -> NodeError:
    return NodeError("bad_s3_request", message, retryable=False)
