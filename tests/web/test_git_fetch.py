"""`git clone` and `git fetch` with the real client."""

import os
import shutil
import signal
import subprocess
import time

import httpx
import pytest
from git_clone import Clone, git_environment
from no_tls import NO_TLS

from web.git.limits import GitLimits

VERSIONS = ["0", "1", "2"]


def test_an_empty_repository_is_cloned_with_its_branch_to_be(git_server, tmp_path):
    clone = Clone.of(tmp_path / "empty", git_server.url())

    assert clone.git("symbolic-ref", "HEAD") == "refs/heads/main"
    clone.commit({"a": "1"})
    clone.git("push", "origin", "main")
    assert clone.git("ls-remote", "--heads", "origin").startswith(clone.head())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_shallow_clone_can_be_deepened(git_server, clone, tmp_path, version):
    for number in range(6):
        clone.commit({"a": str(number)})
    clone.git("push", "origin", "main")
    shallow = Clone.of(
        tmp_path / "shallow", git_server.url(), "--depth=2", "-c", f"protocol.version={version}"
    )
    assert shallow.git("rev-list", "--count", "HEAD") == "2"

    shallow.git("fetch", "--unshallow")
    assert shallow.git("rev-list", "--count", "HEAD") == "6"


def test_a_clone_without_blobs_gets_them_when_it_needs_them(git_server, clone, tmp_path):
    clone.commit({"a": "old"})
    clone.commit({"a": "new"})
    clone.git("push", "origin", "main")
    partial = Clone.of(tmp_path / "partial", git_server.url(), "--filter=blob:none")

    assert "?" in partial.git("rev-list", "--objects", "--missing=print", "HEAD")
    assert partial.git("show", "HEAD~1:a") == "old"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_long_negotiation_is_sent_compressed_and_understood(git_server, clone, tmp_path, version):
    """Git compresses a request of more than 1 KiB, and this one has hundreds of ids."""
    clone.commit({"a": "1"})
    clone.git("push", "origin", "main")
    other = Clone.of(tmp_path / "other", git_server.url(), "-c", f"protocol.version={version}")
    _commits(other, 700)
    head = clone.commit({"a": "2"})
    clone.git("push", "origin", "main")

    trace = other.git("fetch", "origin", "main", GIT_TRACE_CURL="1", GIT_TRACE_CURL_NO_DATA="1")
    assert "Content-Encoding: gzip" in trace
    assert other.head("FETCH_HEAD") == head


def test_eight_clones_at_once_are_all_whole(make_git_server, tmp_path):
    server = make_git_server(GitLimits(fetches=2))
    source = Clone.new(tmp_path / "source", server.url())
    source.commit({f"files/{number}": os.urandom(20_000) for number in range(50)})
    source.git("push", "origin", "main")
    cloning = [
        subprocess.Popen(
            ["git", "clone", "--quiet", server.url(), str(tmp_path / f"clone-{number}")],
            env=git_environment(tmp_path),
        )
        for number in range(8)
    ]
    assert [process.wait() for process in cloning] == [0] * 8
    for number in range(8):
        assert Clone(tmp_path / f"clone-{number}", "").git("fsck", "--full") == ""


def test_a_fetch_of_what_is_not_here_is_answered_in_gits_words(git_server, clone):
    clone.commit({"a": "1"})
    clone.git("push", "origin", "main")

    assert "not our ref" in clone.git("-c", "protocol.version=2", "fetch", "origin", "1" * 40, fails=True)


def test_a_client_that_leaves_takes_its_programs_with_it(git_server, clone, tmp_path):
    clone.commit({"big": os.urandom(30 << 20)})
    clone.git("push", "origin", "main")
    fetcher = subprocess.Popen(
        ["git", "clone", "--quiet", git_server.url(), str(tmp_path / "half")],
        env=git_environment(tmp_path),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _wait_for(lambda: _children_of_server())
    os.killpg(fetcher.pid, signal.SIGSTOP)  # reads no more: the server has to hold the rest back
    time.sleep(0.5)
    assert _children_of_server(), "30 MB went into memory instead of waiting for the client"
    os.killpg(fetcher.pid, signal.SIGKILL)
    fetcher.wait()

    _wait_for(lambda: not _children_of_server())


def test_our_environment_and_the_users_configuration_reach_no_program(
    git_server, clone, tmp_path, monkeypatch
):
    clone.commit({"a": "1"})
    clone.git("push", "origin", "main")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[transfer]\n\thideRefs = refs/heads/\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'transfer.hiderefs'='refs/heads/'")

    assert "refs/heads/main" in clone.git("ls-remote", "origin")


def test_a_repository_that_another_user_owns_is_served(git_server, clone):
    head = clone.commit({"a": "1"})
    clone.git("push", "origin", "main")
    if os.geteuid() == 0:  # only root can give a folder away; others see that it works for their own
        os.chown(git_server.repository, 12345, 12345)

    assert head in clone.git("ls-remote", "origin")
    clone.commit({"a": "2"})
    clone.git("push", "origin", "main")


def test_a_repository_that_is_none_is_said_without_its_path(git_server):
    shutil.rmtree(git_server.repository / "objects")
    for service in ("git-upload-pack", "git-receive-pack"):
        answer = httpx.get(
            f"http://127.0.0.1:{git_server.port}/git/default.git/info/refs?service={service}",
            auth=("any", "token-of-eve"),
            verify=NO_TLS,
        )
        assert answer.status_code == 500
        assert "the server's log says why" in answer.text
        assert str(git_server.root) not in answer.text


def _commits(clone: Clone, count: int) -> None:
    """Commits that the server does not have, newer than any that it has: Git names the newest first."""
    stream = "".join(
        f"commit refs/heads/many\ncommitter Eve <eve@example.org> {4_000_000_000 + number} +0000\ndata 1\nx\n"
        + (f"from {clone.head()}\n" if number == 0 else "")
        for number in range(count)
    )
    subprocess.run(
        ["git", "fast-import", "--quiet"],
        input=stream.encode(),
        cwd=clone.path,
        env=git_environment(clone.path.parent),
        check=True,
    )


def _children_of_server() -> list[str]:
    """Git programs that this process has started for a client."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    ).stdout
    return [line for line in listed.splitlines() if "upload-pack" in line]


def _wait_for(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
