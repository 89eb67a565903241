"""Thousands of small files become a pack, and whoever reads or writes meanwhile notices nothing."""

import threading

import pygit2
import pytest
from git_work import Work, deployment, pattern

from reconciler.git.errors import GitError
from reconciler.packer import Packer, pack


def loose(work: Work) -> int:
    return len(list(work.bare.glob("objects/[0-9a-f][0-9a-f]/*")))


@pytest.fixture
def old(work: Work) -> Work:
    """A repository with hundreds of loose objects, one of which nothing refers to."""
    work.commit({"patterns/a.yaml": pattern("a"), "deployments/a.yaml": deployment("a")})
    work.push()
    git = pygit2.Repository(str(work.bare))
    for number in range(600):
        git.create_blob(b"nobody refers to this %d" % number)
    return work


def test_everything_is_there_afterwards_in_one_pack(old: Work) -> None:
    lonely = str(pygit2.Repository(str(old.bare)).create_blob(b"nobody refers to this"))
    assert loose(old) > 600

    assert pack(old.bare, most_loose=200)

    assert (loose(old), len(list(old.bare.glob("objects/pack/*.pack")))) == (0, 1)
    assert pygit2.Repository(str(old.bare))[lonely].read_raw() == b"nobody refers to this"
    old.server_git("fsck", "--strict", "--no-dangling")
    assert not pack(old.bare, most_loose=200)


def test_a_small_repository_is_left_alone(work: Work) -> None:
    work.commit({"patterns/a.yaml": pattern("a")})
    work.push()
    before = loose(work)

    assert not pack(work.bare)
    assert loose(work) == before


def test_many_packs_become_one(work: Work) -> None:
    for number in range(4):
        work.commit({"patterns/a.yaml": pattern("a", f"number {number}")})
        work.push()
        work.server_git("repack", "-d", "--quiet")
    assert len(list(work.bare.glob("objects/pack/*.pack"))) == 4

    assert pack(work.bare, most_packs=3)

    assert len(list(work.bare.glob("objects/pack/*.pack"))) == 1


def test_pushes_go_on_meanwhile(old: Work) -> None:
    over = threading.Event()

    def again_and_again() -> None:
        while not over.is_set():
            pack(old.bare, most_packs=-1)

    thread = threading.Thread(target=again_and_again)
    thread.start()
    try:
        for number in range(15):
            old.commit({"patterns/a.yaml": pattern("a", f"number {number}")})
            assert not old.push().refused
    finally:
        over.set()
        thread.join()
    old.server_git("fsck", "--strict", "--no-dangling")
    [step] = old.reconciler.plan("default", None, None).steps
    assert step.versions == "v16"


def test_one_that_cannot_be_packed_is_told_and_ends_nothing(
    old: Work, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()
    packer = Packer(old.reconciler, every=0.01)
    (old.bare / "objects/pack").mkdir(exist_ok=True)
    for number in range(60):
        (old.bare / f"objects/pack/pack-{number:040x}.pack").write_bytes(b"no pack")
        (old.bare / f"objects/pack/pack-{number:040x}.idx").write_bytes(b"no index")
    with pytest.raises(GitError):
        pack(old.bare)

    thread = threading.Thread(target=packer.run, args=[stop])
    thread.start()
    try:
        while not any(record.message == "repository_not_packed" for record in caplog.records):
            stop.wait(0.01)
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join()
