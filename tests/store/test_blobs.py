"""Large values in a folder: durable, private, checked, and never half there."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from store.blobs import BlobMissing, BlobsUnavailable, FolderBlobs
from store.large import Large, found, put_away
from store.s3_blobs import open_blobs

CONTENT = b'{"rows":[' + b"1," * 200_000 + b"1]}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "blobs"


@pytest.fixture
def blobs(folder: Path) -> FolderBlobs:
    return FolderBlobs(folder)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_put_can_be_got_by_the_hash_of_its_content(blobs: FolderBlobs) -> None:
    key = blobs.put(CONTENT)
    assert key == hashlib.sha256(CONTENT).hexdigest()
    assert blobs.get(key) == CONTENT
    assert blobs.exists(key)
    assert not blobs.exists(hashlib.sha256(b"other").hexdigest())
    assert blobs.get(blobs.put(b"")) == b""


def test_the_same_content_is_one_file(blobs: FolderBlobs, folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(blobs.put, [CONTENT] * 32))
    (key,) = keys
    assert files(folder) == [folder / key[:2] / key[2:4] / key[4:]]
    inode = files(folder)[0].stat().st_ino
    blobs.put(CONTENT)
    assert files(folder)[0].stat().st_ino == inode


def test_nobody_else_can_read_them(blobs: FolderBlobs, folder: Path) -> None:
    previous = os.umask(0)
    try:
        blobs.put(CONTENT)
    finally:
        os.umask(previous)
    assert {path.stat().st_mode & 0o777 for path in files(folder)} == {0o600}
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    assert len(folders) == 3


def test_a_blob_that_is_not_there_is_missing(blobs: FolderBlobs) -> None:
    key = hashlib.sha256(b"never stored").hexdigest()
    with pytest.raises(BlobMissing, match=f"there is no blob {key}"):
        blobs.get(key)


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT + b"x", CONTENT.replace(b"1", b"2", 1)])
def test_a_blob_that_is_not_what_was_stored_is_no_value(
    blobs: FolderBlobs, folder: Path, damage: bytes
) -> None:
    key = blobs.put(CONTENT)
    files(folder)[0].write_bytes(damage)
    with pytest.raises(BlobMissing, match=f"the blob {key} is broken"):
        blobs.get(key)


@pytest.mark.parametrize("key", ["", "../../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n"])
def test_what_is_no_key_leads_nowhere(blobs: FolderBlobs, key: str) -> None:
    with pytest.raises(BlobMissing, match="is no key of a blob"):
        blobs.get(key)
    with pytest.raises(BlobMissing, match="is no key of a blob"):
        blobs.exists(key)


def test_a_folder_that_cannot_be_made_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    blobs = FolderBlobs(tmp_path / "file" / "blobs")
    with pytest.raises(
        BlobsUnavailable, match=r"file/blobs cannot be written: (Not a directory|File exists)"
    ):
        blobs.put(CONTENT)


WRITER = """
import sys
from pathlib import Path
from store.blobs import FolderBlobs
blobs = FolderBlobs(Path(sys.argv[1]))
for number in range(10_000):
    blobs.put(b"%d" % number * 200_000)
    print(number, flush=True)
"""


def test_a_crash_leaves_no_part_of_a_blob(blobs: FolderBlobs, folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], env=environment, stdout=subprocess.PIPE
    )
    assert writer.stdout
    with writer.stdout:
        for _ in range(5):
            writer.stdout.readline()
        time.sleep(0.003)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        told = 5 + len(writer.stdout.readlines())
    whole = [path for path in files(folder) if not path.name.startswith(".")]
    assert len(whole) >= told
    for path in whole:
        assert blobs.get("".join(path.relative_to(folder).parts))


def test_the_setting_says_where_they_are(tmp_path: Path) -> None:
    assert isinstance(open_blobs(str(tmp_path)), FolderBlobs)
    with pytest.raises(ValueError, match="is not an address such as s3://bucket/prefix"):
        open_blobs("s3://")


@pytest.fixture
def without_boto3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "boto3", None)
    return


@pytest.mark.usefixtures("without_boto3")
def test_s3_without_its_package_says_what_to_install() -> None:
    with pytest.raises(
        BlobsUnavailable, match=r"blobs in S3 need the package boto3: install it with weft\[s3\]"
    ):
        open_blobs("s3://bucket")


@pytest.mark.parametrize(
    "value",
    [
        {"$blob": "0" * 64, "size": 3},
        {"a": 1, "$blob": hashlib.sha256(b'"of another organisation"').hexdigest(), "size": 25},
        {"a": 1, "$blob": None},
        ["$blob"],
        {},
    ],
)
def test_what_looks_like_a_reference_is_a_value_of_its_own(blobs: FolderBlobs, value: object) -> None:
    blobs.put(b'"of another organisation"')
    held = found(orjson.loads(put_away(orjson.dumps(value).decode(), blobs)), blobs)
    assert (held.load() if isinstance(held, Large) else held) == value
