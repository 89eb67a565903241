"""Large values in S3: real requests of the real client, to a small server that checks their signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from bucket_site import ACCESS, REGION, SECRET, BucketSite, bucket_site

from store.blobs import BlobMissing, Blobs, BlobsUnavailable
from store.s3_blobs import S3Address, open_blobs

CONTENT = b'{"rows":[' + b"1," * 200_000 + b"1]}"
KEY = hashlib.sha256(CONTENT).hexdigest()
AT = f"/some-bucket/weft/blobs/{KEY}"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketSite]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    with bucket_site(buckets=("some-bucket",)) as site:
        yield site


@pytest.fixture
def blobs(site: BucketSite) -> Blobs:
    return open_blobs("s3://some-bucket/weft/blobs/", endpoint=site.url)


def test_what_is_put_can_be_got_by_the_hash_of_its_content(site: BucketSite, blobs: Blobs) -> None:
    assert not blobs.exists(KEY)
    assert blobs.put(CONTENT) == KEY
    assert {path: content for path, (content, _) in site.objects.items()} == {AT: CONTENT}
    assert blobs.get(KEY) == CONTENT
    assert blobs.exists(KEY)


def test_the_same_content_is_sent_once(site: BucketSite, blobs: Blobs) -> None:
    for _ in range(3):
        blobs.put(CONTENT)
    assert [method for method, _ in site.seen] == ["HEAD", "PUT", "HEAD", "HEAD"]


def test_many_threads_share_it(blobs: Blobs) -> None:
    with ThreadPoolExecutor(8) as pool:
        contents = [b"%d" % number * 1000 for number in range(40)]
        keys = list(pool.map(blobs.put, contents))
        assert list(pool.map(blobs.get, keys)) == contents


def test_a_blob_that_is_not_there_is_missing(blobs: Blobs) -> None:
    with pytest.raises(BlobMissing, match="the blob is not in s3://some-bucket/weft/blobs/"):
        blobs.get(KEY)


def test_a_blob_that_is_not_what_was_stored_is_no_value(site: BucketSite, blobs: Blobs) -> None:
    blobs.put(CONTENT)
    site.objects[AT] = (CONTENT[:-1], "")
    with pytest.raises(BlobMissing, match=f"the blob {KEY} is broken"):
        blobs.get(KEY)


def test_a_service_that_refuses_is_unavailable(site: BucketSite, blobs: Blobs) -> None:
    site.status = 403
    with pytest.raises(
        BlobsUnavailable, match=r"s3://some-bucket/weft/blobs/ cannot be read: .*InternalError"
    ):
        blobs.get(KEY)
    with pytest.raises(BlobsUnavailable, match="403"):
        blobs.put(CONTENT)


def test_a_service_that_is_away_is_unavailable(site: BucketSite) -> None:
    blobs = open_blobs("s3://some-bucket", endpoint="http://127.0.0.1:1")
    with pytest.raises(BlobsUnavailable, match="cannot be read: Could not connect"):
        blobs.get(KEY)


@pytest.mark.parametrize(
    ("text", "bucket", "prefix"),
    [("s3://abc", "abc", ""), ("s3://abc/", "abc", ""), ("s3://a.b-c/x/y/", "a.b-c", "x/y/")],
)
def test_an_address_is_a_bucket_and_a_prefix(text: str, bucket: str, prefix: str) -> None:
    assert S3Address.parse(text) == S3Address(bucket=bucket, prefix=prefix)


@pytest.mark.parametrize("text", ["s3://", "s3://a", "s3://A_B", "s3:abc", "http://abc", "s3://abc?x=1"])
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address such as s3://bucket/prefix"):
        S3Address.parse(text)
