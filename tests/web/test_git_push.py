"""`git push` with the real client: what moves, what does not, what the pusher reads."""

import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from eventually import eventually
from git_clone import Clone, git_environment
from git_server import GitServer

from reconciler.git.errors import GitError
from reconciler.git.repository import Repository
from web.git.limits import GitLimits


def refs(server: GitServer) -> dict[str, str]:
    return Repository(server.repository).refs()


def fsck(server: GitServer) -> None:
    subprocess.run(
        ["git", "-C", str(server.repository), "fsck", "--full", "--strict"], check=True, capture_output=True
    )


def test_the_first_push_arrives_and_is_cloned_again(git_server, clone, tmp_path):
    head = clone.commit({"weft.yaml": "kind: Project\n", "patterns/a.yaml": "kind: Pattern\n"})
    said = clone.git("push", "origin", "main")

    assert refs(git_server) == {"refs/heads/main": head}
    assert "remote: hello from weft" in said
    assert (
        Clone.of(tmp_path / "again", git_server.url()).path / "patterns/a.yaml"
    ).read_text() == "kind: Pattern\n"
    assert git_server.quarantines() == []
    fsck(git_server)


def test_the_receiver_learns_who_pushed_what(git_server, clone):
    one = clone.commit({"a": "1"})
    clone.git("push", "origin", "main")
    two = clone.commit({"a": "2"})
    clone.git("push", "origin", "main")

    pusher, [update] = git_server.receiver.pushes[-1]
    assert (pusher, update.ref, update.old, update.new) == ("eve", "refs/heads/main", one, two)


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_every_protocol_version_pushes_and_fetches(git_server, clone, tmp_path, version):
    clone.git("config", "protocol.version", version)
    clone.commit({"a": "1"})
    clone.git("push", "origin", "main")
    head = clone.commit({"a": "2"})
    clone.git("push", "origin", "main")

    other = Clone.of(tmp_path / "other", git_server.url(), "-c", f"protocol.version={version}")
    assert other.head() == head
    newer = clone.commit({"a": "3"})
    clone.git("push", "origin", "main")
    other.git("pull", "--quiet")
    assert other.head() == newer


def test_branches_and_tags_come_and_go(git_server, clone):
    head = clone.commit({"a": "1"})
    clone.git("tag", "light")
    clone.git("tag", "--annotate", "heavy", "--message", "v1")
    clone.git("push", "origin", "main", "main:refs/heads/team/side", "--tags")

    assert refs(git_server) == {
        "refs/heads/main": head,
        "refs/heads/team/side": head,
        "refs/tags/light": head,
        "refs/tags/heavy": clone.head("heavy"),
    }
    clone.git("push", "origin", "--delete", "team/side", "heavy")
    assert refs(git_server) == {"refs/heads/main": head, "refs/tags/light": head}


def test_a_branch_can_be_forced_onto_another_history(git_server, clone):
    clone.commit({"a": "1"})
    clone.git("push", "origin", "main:side")
    clone.git("commit", "--quiet", "--amend", "--message", "Another history")

    assert "rejected" in clone.git("push", "origin", "main:side", fails=True)
    clone.git("push", "--force", "origin", "main:side")
    assert refs(git_server) == {"refs/heads/side": clone.head()}


def test_a_refusal_names_the_reason_and_nothing_moves(git_server, clone):
    clone.commit({"a": "1"})
    git_server.receiver.forbidden = {"refs/heads/main": "2 problems in 1 file"}
    git_server.receiver.lines = ("patterns/a.yaml:3:7: unknown key\nsay `uses`", "evil \x1b[31m text")
    said = clone.git("push", "origin", "main", fails=True)

    assert "! [remote rejected] main -> main (2 problems in 1 file)" in said
    assert "remote: patterns/a.yaml:3:7: unknown key" in said
    assert "remote: say `uses`" in said
    assert "remote: evil  [31m text" in said
    assert refs(git_server) == {}
    assert git_server.quarantines() == []
    assert not list((git_server.repository / "objects").glob("??"))


@pytest.mark.parametrize("option", ["--atomic", "--no-atomic"])
def test_a_push_with_one_bad_ref_moves_none(git_server, clone, option):
    clone.commit({"a": "1"})
    said = clone.git("push", option, "origin", "main", "main:refs/odd/place", fails=True)

    assert "only branches" in said
    assert "another ref" in said
    assert refs(git_server) == {}
    assert git_server.quarantines() == []


def test_of_two_clones_the_second_has_to_fetch_first(git_server, clone, tmp_path):
    clone.commit({"a": "1"})
    clone.git("push", "origin", "main")
    other = Clone.of(tmp_path / "other", git_server.url())
    clone.commit({"b": "1"})
    clone.git("push", "origin", "main")
    other.commit({"c": "1"})

    assert "fetch first" in other.git("push", "origin", "main", fails=True)
    other.git("pull", "--quiet", "--rebase")
    other.git("push", "origin", "main")
    assert refs(git_server) == {"refs/heads/main": other.head()}


def test_eight_clones_pushing_at_once_end_in_one_complete_line(git_server, clone, tmp_path):
    clone.commit({"start": "1"})
    clone.git("push", "origin", "main")
    clones = [Clone.of(tmp_path / f"clone-{n}", git_server.url()) for n in range(8)]

    def push_until_in(number: int) -> None:
        mine = clones[number]
        for step in range(2):
            mine.commit({f"file-{number}-{step}": "x"}, f"{number}/{step}")
            for _ in range(100):
                if (
                    subprocess.run(
                        ["git", "push", "origin", "main"],
                        cwd=mine.path,
                        env=git_environment(tmp_path),
                        capture_output=True,
                        check=False,
                    ).returncode
                    == 0
                ):
                    break
                mine.git("pull", "--quiet", "--rebase")
            else:
                raise AssertionError("never got in")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(push_until_in, range(8)))

    clone.git("pull", "--quiet", "origin", "main")
    subjects = clone.git("log", "--format=%s", "--first-parent").splitlines()
    assert sorted(subjects) == sorted(["Change something", *(f"{n}/{s}" for n in range(8) for s in range(2))])
    assert clone.git("log", "--merges", "--format=%s") == ""
    assert len(list(clone.path.glob("file-*"))) == 16
    assert git_server.quarantines() == []
    fsck(git_server)


@pytest.mark.chaos
def test_thousands_of_refs_are_pushed_and_listed(git_server, clone, tmp_path):
    head = clone.commit({"a": "1"})
    names = [f"refs/tags/release-{number:05}" for number in range(2000)]
    subprocess.run(
        ["git", "update-ref", "--stdin"],
        cwd=clone.path,
        env=git_environment(tmp_path),
        input="".join(f"create {name} {head}\n" for name in names).encode(),
        check=True,
    )
    clone.git("push", "--quiet", "origin", "main", "refs/tags/*:refs/tags/*")

    assert refs(git_server) == dict.fromkeys(["refs/heads/main", *names], head)
    assert len(clone.git("ls-remote", "--tags", "origin").splitlines()) == 2000


def test_a_push_of_many_objects_arrives_as_a_pack(git_server, clone):
    clone.commit({f"files/{number}": str(number) for number in range(300)})
    clone.git("push", "origin", "main")

    assert list((git_server.repository / "objects/pack").glob("*.idx"))
    fsck(git_server)


def test_small_pieces_in_many_requests_arrive_whole(git_server, clone):
    """Chunked, behind a probe that is a bare flush."""
    clone.git("config", "http.postBuffer", "1000")
    clone.commit({"a": bytes(range(256)) * 400, "b": "b" * 5000})
    clone.git("push", "origin", "main")

    assert refs(git_server) == {"refs/heads/main": clone.head()}
    fsck(git_server)


def test_a_shallow_clone_can_push_on_top_of_what_is_here(git_server, clone, tmp_path):
    for number in range(5):
        clone.commit({"a": str(number)})
    clone.git("push", "origin", "main")
    shallow = Clone.of(tmp_path / "shallow", git_server.url(), "--depth=1")
    head = shallow.commit({"a": "from a shallow clone"})
    shallow.git("push", "origin", "main")

    assert refs(git_server) == {"refs/heads/main": head}
    fsck(git_server)


@pytest.mark.parametrize("files", [1, 200], ids=["few objects", "many objects"])
def test_a_shallow_clone_of_elsewhere_is_told_to_fetch_the_rest(git_server, clone, tmp_path, files):
    for number in range(3):
        clone.commit({f"{name}": f"{name} {number}" for name in range(files)})
    shallow = Clone.of(tmp_path / "shallow", clone.path.as_uri(), "--depth=1")
    said = shallow.git("push", git_server.url(), "main", fails=True)

    assert "git fetch --unshallow" in said
    assert refs(git_server) == {}
    assert git_server.quarantines() == []


def test_a_receiver_that_fails_gives_a_report_and_no_traceback(git_server, clone):
    git_server.receiver.failure = RuntimeError("secret detail")
    clone.commit({"a": "1"})
    said = clone.git("push", "origin", "main", fails=True)

    assert "the server failed, see its log" in said
    assert "secret detail" not in said
    assert git_server.quarantines() == []


def test_what_the_receiver_says_about_its_repository_reaches_the_pusher(git_server, clone):
    git_server.receiver.failure = GitError("Restore the folder `git` of the data folder.")
    clone.commit({"a": "1"})

    assert "(Restore the folder `git` of the data folder.)" in clone.git("push", "origin", "main", fails=True)


def test_killing_the_pusher_midway_leaves_nothing(git_server, clone, tmp_path):
    clone.commit({"big": random_bytes(40 << 20)})
    pusher = subprocess.Popen(
        ["git", "push", "origin", "main"],
        cwd=clone.path,
        env=git_environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    eventually(lambda: any(path.stat().st_size > 1 << 20 for path in _incoming_files(git_server)))
    os.killpg(pusher.pid, signal.SIGKILL)
    pusher.wait()

    eventually(lambda: git_server.quarantines() == [])
    assert refs(git_server) == {}
    assert git_server.receiver.pushes == []


def test_a_pack_over_the_limit_is_refused_with_the_remedy(make_git_server, tmp_path):
    server = make_git_server(GitLimits(pack=1 << 20))
    clone = Clone.new(tmp_path / "clone", server.url())
    clone.commit({"big": random_bytes(8 << 20)})
    said = clone.git("push", "origin", "main", fails=True)

    assert "the pack has more than 1 MiB: push in several steps" in said
    assert refs(server) == {}
    assert server.quarantines() == []


def test_only_so_many_packs_come_in_at_once_and_the_others_wait(make_git_server, tmp_path):
    server = make_git_server(GitLimits(pushes=1))
    server.receiver.seconds = 0.3
    clones = [Clone.new(tmp_path / f"clone-{number}", server.url()) for number in range(3)]
    for number, clone in enumerate(clones):
        clone.commit({"a": str(number)}, str(number))
    pushing = [
        threading.Thread(target=clone.git, args=("push", "origin", f"main:branch-{number}"))
        for number, clone in enumerate(clones)
    ]
    for thread in pushing:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in pushing):
        most = max(most, len(server.quarantines()))
        time.sleep(0.01)

    assert most == 1
    assert len(refs(server)) == 3


def _incoming_files(server: GitServer) -> list[Path]:
    return [path for folder in server.quarantines() for path in folder.rglob("*") if path.is_file()]


def random_bytes(count: int) -> bytes:
    return random.Random(7).randbytes(count)
