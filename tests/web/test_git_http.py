"""The Git server below the client: who is let in, what is not Git's protocol, what a broken sender gets."""

import asyncio
import base64
import gc
import gzip
import hashlib
import itertools
import os
import socket
import subprocess
import time
import zlib
from pathlib import Path

import httpx
import pytest
from git_clone import Clone, git_environment
from git_server import GitServer
from no_tls import NO_TLS

from reconciler.git.refs import ABSENT
from reconciler.git.repository import Repository
from store.database import StoreError
from web.git.child import Child, environment
from web.git.limits import GitLimits
from web.git.protocol import FLUSH, packet
from web.git.threads import Threads

PUSH = "git-receive-pack"
FETCH = "git-upload-pack"
SOMETHING = "1" * 40


@pytest.fixture
def http(git_server):
    with httpx.Client(
        base_url=f"http://127.0.0.1:{git_server.port}", auth=("any", "token-of-eve"), verify=NO_TLS
    ) as client:
        yield client


def post(http: httpx.Client, service: str, content: bytes, **headers: str) -> httpx.Response:
    fixed = {"content-type": f"application/x-{service}-request"}
    return http.post(f"/git/default.git/{service}", content=content, headers={**fixed, **headers})


def commands(*lines: str, capabilities: str = "report-status side-band-64k") -> bytes:
    first, *others = lines
    return (
        b"".join([packet(f"{first}\0 {capabilities}".encode()), *(packet(line.encode()) for line in others)])
        + FLUSH
    )


def pack_of(clone: Clone, *arguments: str) -> bytes:
    return subprocess.run(
        ["git", "pack-objects", "--stdout", "--revs", "--quiet"],
        input="\n".join(arguments).encode() + b"\n",
        cwd=clone.path,
        env=git_environment(clone.path.parent),
        check=True,
        capture_output=True,
    ).stdout


def refs(server: GitServer) -> dict[str, str]:
    return Repository(server.repository).refs()


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/git/default.git", 404, "/git/{organisation}.git"),
        ("/git/default/info/refs?service=git-upload-pack", 404, "/git/{organisation}.git"),
        ("/git/default.git/objects/info/packs", 404, "nothing here"),
        ("/git/default.git/HEAD", 404, "nothing here"),
        ("/git/other.git/info/refs?service=git-upload-pack", 404, "the organisation default"),
        ("/git/no-such.git/info/refs?service=git-upload-pack", 404, "the organisation default"),
        ("/git/../default.git/info/refs/../HEAD", 404, "nothing here"),
        ("/git/..%2f..%2fdefault.git/info/refs?service=git-upload-pack", 404, "nothing here"),
        ("/git/default.git%2f/info/refs?service=git-upload-pack", 404, "nothing here"),
        ("/git/default.git/info/refs", 403, "smart HTTP"),
        ("/git/default.git/info/refs?service=git-upload-archive", 403, "smart HTTP"),
        ("/git/default.git/git-receive-pack", 405, "POST"),
    ],
)
def test_what_is_no_git_route_is_refused_in_a_line_of_text(http, path, status, text):
    answer = http.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8")
    assert text in answer.text


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"eve:wrong").decode(),
        "Basic /w==",
        "Bearer wrong",
        "Digest x",
    ],
)
def test_without_a_right_token_one_learns_where_it_is(git_server, authorization):
    headers = {} if authorization is None else {"authorization": authorization}
    answer = httpx.get(
        f"http://127.0.0.1:{git_server.port}/git/default.git/info/refs?service=git-upload-pack",
        headers=headers,
        verify=NO_TLS,
    )

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Basic realm="Weft"')
    assert "admin-token" in answer.text


def test_a_wrong_token_is_said_in_the_terminal(git_server, clone):
    said = clone.git("ls-remote", git_server.url("wrong"), fails=True)

    assert "remote: Weft asks for a token: any user name, the token as the password." in said
    assert "Authentication failed" in said


def test_without_a_database_nobody_is_called_a_stranger(git_server, http, monkeypatch):
    def fail(token: str) -> None:
        raise StoreError("The database does not answer.")

    monkeypatch.setattr(git_server.app, "_authenticate", fail)
    answer = http.get("/git/default.git/info/refs?service=git-upload-pack")

    assert (answer.status_code, answer.text) == (503, "The database does not answer.\n")
    assert answer.headers["retry-after"] == "1"


def test_a_bearer_token_serves_too(git_server, clone):
    url = f"http://127.0.0.1:{git_server.port}/git/default.git"
    assert clone.git("-c", "http.extraHeader=Authorization: Bearer token-of-eve", "ls-remote", url) == ""


def test_a_viewer_may_fetch_and_not_push(git_server, clone):
    head = clone.commit({"a": "1"})
    clone.git("push", "origin", "main")

    assert head in clone.git("ls-remote", git_server.url("token-of-vic"))
    said = clone.git("push", git_server.url("token-of-vic"), "main:other", fails=True)
    assert "remote: A push needs the role editor; vic is viewer." in said


def test_a_token_opens_no_other_organisation(git_server, clone):
    assert "not found" in clone.git("ls-remote", git_server.url("token-of-olga"), fails=True)
    Repository.ensure(git_server.root / "other.git")
    assert clone.git("ls-remote", git_server.url("token-of-olga", "other")) == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"00",
        b"zzzz",
        b"0003",
        b"fff5" + b"x" * 100,
        b"0010short",
        packet(b"hello"),
        packet(b"hello") + FLUSH,
        packet(f"{ABSENT} {SOMETHING}".encode()) + FLUSH,
        packet(f"{ABSENT} {'x' * 40} refs/heads/main\0 report-status".encode()) + FLUSH,
        packet(f"{ABSENT} {SOMETHING} refs/heads/\xff\0".encode("latin-1")) + FLUSH,
        packet(f"shallow {SOMETHING}".encode()) + FLUSH,
        packet(b"push-cert\0report-status") + FLUSH,
        os.urandom(5000),
    ],
    ids=itertools.count(),
)
def test_what_is_no_push_is_refused_in_a_line_of_text(http, git_server, content):
    answer = post(http, PUSH, content)

    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")
    assert answer.text.startswith("This is not Git's protocol: ")
    assert "Traceback" not in answer.text
    assert git_server.quarantines() == []


def test_a_form_of_some_web_page_is_no_push(http):
    answer = http.post(
        "/git/default.git/git-receive-pack", content=b"0000", headers={"content-type": "text/plain"}
    )

    assert answer.status_code == 415


def test_the_probe_before_a_large_push_is_answered_with_nothing(http):
    answer = post(http, PUSH, FLUSH)

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("pieces", [1, 7, 100_000])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_push_arrives_whole_however_it_is_cut_and_packed(http, git_server, clone, pieces, compressed):
    head = clone.commit({"a": os.urandom(70_000), "b": "b" * 300_000})
    content = commands(f"{ABSENT} {head} refs/heads/main") + pack_of(clone, head)
    content = gzip.compress(content) if compressed else content

    async def cut():
        for start in range(0, len(content), pieces):
            yield content[start : start + pieces]

    if pieces == 1:  # a byte at a time is for the beginning, the rest in one go
        content, rest = content[:600], content[600:]

        async def cut():
            for byte in content:
                yield bytes([byte])
            yield rest

    answer = asyncio.run(_post_stream(git_server, cut(), "gzip" if compressed else "identity"))
    assert b"unpack ok" in answer.content
    assert refs(git_server) == {"refs/heads/main": head}


async def _post_stream(server, stream, encoding):
    headers = {"content-type": f"application/x-{PUSH}-request", "content-encoding": encoding}
    async with httpx.AsyncClient(auth=("any", "token-of-eve"), verify=NO_TLS) as client:
        url = f"http://127.0.0.1:{server.port}/git/default.git/{PUSH}"
        return await client.post(url, content=stream, headers=headers)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda pack: b"", "the push ended before its pack"),
        (lambda pack: b"JUNK" + pack, "not a pack"),
        (lambda pack: pack[:-30], "the pack is broken"),
        # Behind its head and that of its first object, a commit: where what is compressed begins.
        (lambda pack: pack[:14] + bytes([pack[14] ^ 0xFF]) + pack[15:], "the pack is broken"),
        (lambda pack: pack[:-20] + b"\0" * 20, "the pack is broken"),
        (lambda pack: pack[:11] + bytes([pack[11] + 1]) + pack[12:], "the pack is broken"),
        (lambda pack: pack[:8] + b"\xff\xff\xff\xff" + pack[12:], "the pack is broken"),
    ],
)
def test_a_damaged_pack_is_refused_with_the_reason(http, git_server, clone, damage, reason):
    head = clone.commit({"a": "1", "b": "2"})
    answer = post(http, PUSH, commands(f"{ABSENT} {head} refs/heads/main") + damage(pack_of(clone, head)))

    assert answer.status_code == 200
    assert f"unpack {reason}" in answer.text or reason in answer.text
    assert "ng refs/heads/main its objects did not arrive" in answer.text
    assert refs(git_server) == {}
    assert git_server.quarantines() == []


def test_a_pack_that_lacks_what_its_commit_leads_to_is_refused(http, git_server, clone):
    clone.commit({"a": "1"})
    head = clone.commit({"a": "2"})
    answer = post(http, PUSH, commands(f"{ABSENT} {head} refs/heads/main") + pack_of(clone, head, "^HEAD~1"))

    assert "objects are missing" in answer.text
    assert refs(git_server) == {}


def test_an_id_that_is_not_in_the_pack_is_refused(http, git_server, clone):
    head = clone.commit({"a": "1"})
    answer = post(http, PUSH, commands(f"{ABSENT} {SOMETHING} refs/heads/main") + pack_of(clone, head))

    assert "unpack ok" in answer.text
    assert "ng refs/heads/main " in answer.text
    assert refs(git_server) == {}


def test_a_branch_leads_to_a_commit(http, git_server, clone):
    head = clone.commit({"a": "1"})
    tree = clone.head("HEAD^{tree}")
    answer = post(http, PUSH, commands(f"{ABSENT} {tree} refs/heads/main") + pack_of(clone, head))

    assert "ng refs/heads/main a branch must point to a commit" in answer.text
    assert refs(git_server) == {}


def test_a_ref_that_is_elsewhere_than_the_pusher_believes_stays(http, git_server, clone):
    one = clone.commit({"a": "1"})
    clone.git("push", "origin", "main")
    two = clone.commit({"a": "2"})
    answer = post(http, PUSH, commands(f"{ABSENT} {two} refs/heads/main") + pack_of(clone, two))

    assert "ng refs/heads/main it has moved meanwhile; run git fetch" in answer.text
    assert refs(git_server) == {"refs/heads/main": one}


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        ("refs/heads/a..b", "git check-ref-format"),
        ("refs/heads/a.lock", "git check-ref-format"),
        ("refs/heads/../../../config", "git check-ref-format"),
        ("refs/heads/-x", "git check-ref-format"),
        ("refs/heads/HEAD", "mistaken for something else"),
        ("refs/heads/refs/heads/main", "mistaken for something else"),
        ("refs/heads/" + "x" * 300, "File name too long"),
        ("refs/replace/" + SOMETHING, "only branches"),
        ("HEAD", "only branches"),
        ("config", "only branches"),
    ],
)
def test_a_name_that_no_ref_may_have_is_refused(http, git_server, clone, ref, reason):
    head = clone.commit({"a": "1"})
    answer = post(http, PUSH, commands(f"{ABSENT} {head} {ref}") + pack_of(clone, head))

    assert f"ng {ref} " in answer.text
    assert reason in answer.text
    assert refs(git_server) == {}


def test_one_ref_twice_in_one_push_is_refused(http, git_server, clone):
    head = clone.commit({"a": "1"})
    line = f"{ABSENT} {head} refs/heads/main"
    answer = post(http, PUSH, commands(line, line) + pack_of(clone, head))

    assert "ng refs/heads/main named more than once in one push" in answer.text
    assert refs(git_server) == {}


def test_deleting_what_is_not_there_is_refused(http):
    answer = post(http, PUSH, commands(f"{ABSENT} {ABSENT} refs/heads/main"))

    assert "ng refs/heads/main there is nothing to delete" in answer.text


def test_a_client_without_side_bands_gets_the_plain_report(http, clone):
    head = clone.commit({"a": "1"})
    lines = commands(f"{ABSENT} {head} refs/heads/main", capabilities="report-status")
    answer = post(http, PUSH, lines + pack_of(clone, head))

    assert answer.content == packet(b"unpack ok\n") + packet(b"ok refs/heads/main\n") + FLUSH


def test_while_the_gate_works_the_connection_is_kept_alive(make_git_server, tmp_path):
    server = make_git_server(GitLimits(keep_alive=0.05))
    server.receiver.seconds = 0.5
    clone = Clone.new(tmp_path / "clone", server.url())
    head = clone.commit({"a": "1"})
    with httpx.Client(
        base_url=f"http://127.0.0.1:{server.port}", auth=("any", "token-of-eve"), verify=NO_TLS
    ) as http:
        answer = post(http, PUSH, commands(f"{ABSENT} {head} refs/heads/main") + pack_of(clone, head))

    assert answer.content.count(b"0005\x01") >= 4
    assert b"ok refs/heads/main" in answer.content


def test_too_many_refs_in_one_push_are_refused(make_git_server):
    server = make_git_server(GitLimits(commands=10))
    with httpx.Client(
        base_url=f"http://127.0.0.1:{server.port}", auth=("any", "token-of-eve"), verify=NO_TLS
    ) as http:
        answer = post(http, PUSH, commands(*(f"{ABSENT} {SOMETHING} refs/heads/{n}" for n in range(11))))

    assert answer.status_code == 413
    assert "push them in several steps" in answer.text


@pytest.mark.parametrize("service", [PUSH, FETCH])
def test_a_small_gzip_that_becomes_huge_is_refused(make_git_server, service):
    server = make_git_server(GitLimits(request=1 << 20))
    bomb = gzip.compress(packet(b"want " + b"x" * 1000) * 50_000)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{server.port}", auth=("any", "token-of-eve"), verify=NO_TLS
    ) as http:
        answer = post(http, service, bomb, **{"content-encoding": "gzip"})

    assert answer.status_code == 413
    assert "more than 1 MiB" in answer.text


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(FLUSH)[:-4], gzip.compress(FLUSH) + b"more"],
    ids=["none", "cut", "longer"],
)
def test_a_broken_gzip_is_refused_in_a_line_of_text(http, content):
    answer = post(http, FETCH, content, **{"content-encoding": "gzip"})

    assert answer.status_code == 400
    assert "gzip'd" in answer.text


def test_an_encoding_that_is_not_understood_is_named(http):
    answer = post(http, FETCH, b"x", **{"content-encoding": "br"})

    assert answer.status_code == 415
    assert "'br'" in answer.text


def test_a_client_that_keeps_still_is_let_go(impatient_git_server):
    server = impatient_git_server
    head = _request_head(PUSH, length=1000)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head + commands(f"{ABSENT} {SOMETHING} refs/heads/main") + b"PACK")
        _wait_for(lambda: server.quarantines() != [])
        connection.settimeout(10)
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 408 ")
    _wait_for(lambda: server.quarantines() == [])


def test_a_connection_that_breaks_within_the_pack_leaves_nothing(git_server, clone):
    head = clone.commit({"a": os.urandom(500_000)})
    content = commands(f"{ABSENT} {head} refs/heads/main") + pack_of(clone, head)
    with socket.create_connection(("127.0.0.1", git_server.port)) as connection:
        connection.sendall(_request_head(PUSH, length=len(content)) + content[:300_000])
        _wait_for(lambda: git_server.quarantines() != [])
    _wait_for(lambda: git_server.quarantines() == [])

    assert git_server.receiver.pushes == []
    assert refs(git_server) == {}


def test_a_small_pack_that_describes_a_huge_object_is_refused(http, git_server):
    """A delta of a few bytes on a small base, said to become 4 GiB."""
    base = b"a" * 0x10000
    copies = b"\xb0\x00\x00" * 0x10000  # each copies 64 KiB
    delta = _varint(len(base)) + _varint(len(base) * 0x10000) + copies
    objects = _entry(3, base) + _entry(7, delta, hashlib.sha1(b"blob %d\0" % len(base) + base).digest())
    pack = b"PACK" + (2).to_bytes(4, "big") + (2).to_bytes(4, "big") + objects
    answer = post(
        http, PUSH, commands(f"{ABSENT} {SOMETHING} refs/heads/main") + pack + hashlib.sha1(pack).digest()
    )

    assert "unpack one object is too large" in answer.text
    assert refs(git_server) == {}


def _entry(kind: int, data: bytes, base: bytes = b"") -> bytes:
    size = len(data)
    head = [(kind << 4) | (size & 15)]
    size >>= 4
    while size:
        head[-1] |= 0x80
        head.append(size & 0x7F)
        size >>= 7
    return bytes(head) + base + zlib.compress(data)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _request_head(service: str, *, length: int) -> bytes:
    token = base64.b64encode(b"any:token-of-eve").decode()
    return (
        f"POST /git/default.git/{service} HTTP/1.1\r\nHost: weft\r\nAuthorization: Basic {token}\r\n"
        f"Content-Type: application/x-{service}-request\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def _wait_for(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_a_git_process_is_not_left_behind_when_the_server_closes_under_it(tmp_path):
    """The pool is closed, or whoever waits is cancelled, while the process starts: it is closed all the same."""
    repository = Repository.ensure(tmp_path / "a.git").path
    arguments = ("upload-pack", "--stateless-rpc", str(repository))

    async def start(threads: Threads) -> Child:
        return await threads.start_child(
            arguments, environment=environment(repository), stdin=subprocess.PIPE
        )

    async def after_close() -> None:
        threads = Threads(1)
        threads.close()
        child = await start(threads)
        await threads.start(child.close)
        assert child.read() == b""

    async def cancelled() -> None:
        threads = Threads(1)
        held = threads.start(time.sleep, 0.2)
        starting = asyncio.ensure_future(start(threads))
        await asyncio.sleep(0.05)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await held
        await threads.start(time.sleep, 0.05)
        await asyncio.sleep(0.05)
        threads.close()

    asyncio.run(after_close())
    asyncio.run(cancelled())
    gc.collect()  # an open pipe that nobody holds is a warning, and a warning is an error
    running = [place for place in Path("/proc").glob("[0-9]*/cmdline") if _names(place, repository)]
    assert running == []


def _names(place: Path, repository: Path) -> bool:
    try:
        return str(repository).encode() in place.read_bytes()
    except OSError:  # it has ended
        return False
