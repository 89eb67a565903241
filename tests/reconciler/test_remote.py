"""Git that speaks to another host: real servers, hanging ones, and what must never be shown or run."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from git_clone import Clone
from git_server import GitServer, Host

from reconciler.git.refs import ABSENT, RefUpdate
from reconciler.git.repository import Repository
from reconciler.upstream.address import address
from reconciler.upstream.program import Limits, environment
from reconciler.upstream.remote import Remote, RemoteError

TOKEN = "token-of-eve"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return Repository.ensure(tmp_path / "bare.git").path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    host = Host(tmp_path / "host")
    server = GitServer(tmp_path / "server", host)
    yield server
    host.stop()
    server.close()


def url_of(server: GitServer) -> str:
    return f"http://127.0.0.1:{server.port}/git/default.git"


def test_refs_are_read_fetched_and_pushed_over_http_with_a_token(
    server: GitServer, bare: Path, tmp_path: Path
) -> None:
    clone = Clone.new(tmp_path / "clone", server.url())
    head = clone.commit({"a": "1\n"})
    clone.git("tag", "--annotate", "-m", "one", "v1")
    clone.git("push", "--quiet", "origin", "main", "v1")
    remote = Remote(url_of(server), token=TOKEN)
    found = remote.refs(bare)
    assert found.refs == {"refs/heads/main": head, "refs/tags/v1": clone.head("v1")}
    assert found.default_ref == "refs/heads/main"
    remote.fetch(bare, ["+refs/heads/main:refs/weft/fetched"])
    assert Repository(bare).is_commit(head)
    new = RefUpdate(ref="refs/heads/new", old=ABSENT, new=head)
    gone = RefUpdate(ref="refs/tags/v1", old=found.refs["refs/tags/v1"], new=ABSENT)
    assert remote.push(bare, [new, gone]) == {}
    assert remote.refs(bare).refs == {"refs/heads/main": head, "refs/heads/new": head}


def test_a_push_moves_nothing_where_one_ref_is_elsewhere_than_thought(
    server: GitServer, bare: Path, tmp_path: Path
) -> None:
    clone = Clone.new(tmp_path / "clone", server.url())
    head = clone.commit({"a": "1\n"})
    clone.git("push", "--quiet", "origin", "main")
    remote = Remote(url_of(server), token=TOKEN)
    remote.fetch(bare, ["refs/heads/main"])
    stale = RefUpdate(ref="refs/heads/main", old="1" * 40, new=ABSENT)
    new = RefUpdate(ref="refs/heads/new", old=ABSENT, new=head)
    assert remote.push(bare, [new, stale]) == {"refs/heads/main": "stale info"}
    assert remote.refs(bare).refs == {"refs/heads/main": head}


def test_a_wrong_token_is_said_and_not_shown(server: GitServer, bare: Path) -> None:
    for url, token in (
        (url_of(server), "hunter2"),
        (url_of(server).replace("http://", "http://ada:hunter2@"), None),
        (url_of(server).replace("http://", "http://hunter2@"), None),
    ):
        remote = Remote(url, token=token)
        with pytest.raises(RemoteError) as caught:
            remote.refs(bare)
        assert str(caught.value) == (
            f"{url_of(server)} cannot be read: Authentication failed for '{url_of(server)}/';"
            " check the token (WEFT_UPSTREAM_TOKEN): it must be valid, and may have to allow writing."
        )
        assert "hunter2" not in repr(vars(remote))
        assert remote.url == url_of(server)


class _Redirect(http.server.BaseHTTPRequestHandler):
    target = ""
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization", ""))
        self.send_response(302 if self.target else 404)
        self.send_header("Location", self.target + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(target: str) -> Iterator[tuple[str, list[str]]]:
    seen: list[str] = []
    handler = type("Handler", (_Redirect,), {"target": target, "seen": seen})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def test_a_host_that_redirects_elsewhere_does_not_hand_on_the_token(bare: Path) -> None:
    with (
        serving("") as (elsewhere, stolen),
        serving(elsewhere) as (url, _),
        pytest.raises(RemoteError, match="it is at another address now: use that one"),
    ):
        Remote(f"{url}/a.git", token="hunter2").refs(bare)
    assert stolen == []


def test_a_hanging_host_is_given_up_and_its_git_killed_and_shows_no_token(bare: Path) -> None:
    shown: list[str] = []
    done = threading.Event()

    def look() -> None:
        with silent.accept()[0]:
            shown.extend(command_lines())
            done.wait(20)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        thread = threading.Thread(target=look)
        thread.start()
        remote = Remote(f"http://127.0.0.1:{port}/a.git", token="hunter2", limits=Limits(seconds=3))
        with pytest.raises(RemoteError, match=r"did not answer in 3 s; see whether the host is up"):
            remote.refs(bare)
        done.set()
        thread.join(20)
    ours = [line for line in shown if f":{port}/" in line]
    assert any("git" in line for line in ours)
    assert not any("hunter2" in line or "Authorization" in line for line in ours)
    deadline = time.monotonic() + 10
    while any(f":{port}/" in line for line in command_lines()):  # what is killed takes a moment to go
        assert time.monotonic() < deadline
        time.sleep(0.01)


def command_lines() -> list[str]:
    """Of all processes of this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_text(errors="replace"))
    return found


def test_a_remote_that_is_closed_ends_what_is_under_way(bare: Path) -> None:
    def close() -> None:
        with silent.accept()[0]:
            remote.close()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        remote = Remote(f"http://127.0.0.1:{silent.getsockname()[1]}/a.git")
        thread = threading.Thread(target=close)
        thread.start()
        with pytest.raises(RemoteError, match="Weft stops"):
            remote.refs(bare)
        thread.join(10)
    with pytest.raises(RemoteError, match="Weft stops"):
        remote.refs(bare)


@pytest.mark.parametrize(
    "text",
    [
        "", "-x", "--upload-pack=touch /tmp/x", "ext::sh -c id", "ext::id", "fd::17", "ssh://-oProxyCommand=id/x",
        "ssh://-x@host/y", "-oProxyCommand=id@host:x", "git://host/x", "ftp://host/x", "https://host", "https:///x",
        "htps://host/x", "htps:x", "http://host/a b", "http://host/a\nb", "https://host/x?y", "https://host:port/x",
        "user@-host:x", "user@host:-x", "ssh://git:secret@host/x", "https://ada:a%0Ab@host/x",
    ],
)  # fmt: skip
def test_what_is_no_address_or_might_run_something_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the message must not repeat it)
        Remote(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://git.example/team/flows.git", "https://git.example/team/flows.git"),
        ("https://ada:secret@git.example:8443/flows/", "https://git.example:8443/flows"),
        ("ssh://git@git.example:2222/flows.git", "ssh://git@git.example:2222/flows.git"),
        ("git@git.example:team/flows.git", "git@git.example:team/flows.git"),
        ("file:///srv/flows.git", "file:///srv/flows.git"),
        ("/srv/flows.git", "/srv/flows.git"),
        ("flows.git", f"{Path.cwd()}/flows.git"),
    ],
)
def test_an_address_shows_no_secret(text: str, url: str) -> None:
    assert address(text).url == url
    assert "secret" not in repr(address(text))


def test_the_users_configuration_cannot_lead_to_a_transport_that_runs_programs(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    leads_there = f'[url "ext::touch {ran} "]\n\tinsteadOf = https://git.example/\n'
    (tmp_path / "config").write_text(f'{leads_there}[protocol "ext"]\n\tallow = always\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    with pytest.raises(RemoteError, match="transport 'ext' not allowed"):
        Remote("https://git.example/x").refs(bare)
    assert not ran.exists()


def test_a_pack_that_is_too_large_is_given_up_and_leaves_nothing(bare: Path, tmp_path: Path) -> None:
    source = Repository.ensure(tmp_path / "source.git").path
    clone = Clone.new(tmp_path / "clone", str(source))
    clone.commit({f"{n}": os.urandom(1000) for n in range(200)})
    clone.git("push", "--quiet", "origin", "main")
    left = bare / "objects" / "pack" / "tmp_pack_old"
    left.parent.mkdir(exist_ok=True)
    left.touch()
    os.utime(left, (0, 0))
    small = Remote(str(source), limits=Limits(file=64 * 1024))
    with pytest.raises(RemoteError, match="cannot be fetched from"):
        small.fetch(bare, ["refs/heads/main"])
    assert list((bare / "objects" / "pack").iterdir()) == []
    Remote(str(source)).fetch(bare, ["refs/heads/main"])


def test_a_file_that_is_too_large_is_given_up_and_leaves_nothing(bare: Path, tmp_path: Path) -> None:
    source = Repository.ensure(tmp_path / "source.git").path
    clone = Clone.new(tmp_path / "clone", str(source))
    clone.commit({"large": os.urandom(200_000)})  # so few objects are no pack
    clone.git("push", "--quiet", "origin", "main")
    small = Remote(str(source), limits=Limits(file=64 * 1024))
    for _ in range(3):
        with pytest.raises(RemoteError, match="cannot be fetched from"):
            small.fetch(bare, ["refs/heads/main"])
    assert list((bare / "objects").rglob("tmp_*")) == []


def test_a_limit_that_cannot_be_set_is_not_what_the_operator_reads(bare: Path) -> None:
    read = "import sys; from pathlib import Path; from reconciler.upstream.remote import Remote;"
    read += "Remote('/nowhere/a.git').refs(Path(sys.argv[1]))"
    limited = ["sh", "-c", 'ulimit -f 20000; exec "$@"', "sh", sys.executable, "-c", read, str(bare)]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(limited, capture_output=True, text=True, env=environ, check=False)
    assert "cannot be read: '/nowhere/a.git' does not appear to be" in done.stderr


def test_git_is_asked_by_nobodys_environment_but_the_users_keys_and_proxies() -> None:
    given = {
        "PATH": "/bin", "HOME": "/home/ada", "HTTPS_PROXY": "http://proxy", "GIT_SSH_COMMAND": "ssh -i key",
        "GIT_DIR": "/elsewhere", "GIT_TRACE": "1", "GIT_ASKPASS": "window", "SSH_ASKPASS": "window",
        "WEFT_UPSTREAM_TOKEN": "hunter2", "GIT_SSL_CAINFO": "/ca.pem",
    }  # fmt: skip
    found = environment(None, given)
    kept = {key: value for key, value in found.items() if given.get(key) == value}
    assert sorted(kept) == ["GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "HOME", "HTTPS_PROXY", "PATH"]
    assert found["GIT_TERMINAL_PROMPT"] == "0"
    assert "BatchMode=yes" in environment(None, {})["GIT_SSH_COMMAND"]
