"""What a webhook lets in: addresses, rates, bodies and their schemas, calls that come twice."""

from __future__ import annotations

import gzip
import hmac
import json
import socket
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eventually import eventually
from hook_calls import JSON, Answer, call
from installation import Installation, installation, live

SEEN = "- {id: seen, uses: set, with: {body: '${{ trigger.body }}', address: '${{ trigger.address }}'}}"
SIGNED_HOOK = "a-secret-of-this-test"
BODY = {
    "type": "object",
    "required": ["id", "total"],
    "properties": {"id": {"type": "integer"}, "total": {"type": "number"}, "lines": {"type": "array"}},
}


@pytest.fixture(scope="module")
def weft() -> Iterator[Installation]:
    settings = {"WEFT_TRUSTED_PROXIES": "127.0.0.0/8, 10.9.0.0/16", "WEFT_SECRET_SIGNED_HOOK": SIGNED_HOOK}
    with installation("--workers", "1", **settings) as weft:
        files = live("open", SEEN)
        files |= live("office", SEEN, on={"webhook": {"allowFrom": ["192.0.2.0/24", "2001:db8::/32"]}})
        files |= live("orders", SEEN, on={"webhook": {"body": BODY, "methods": ["GET", "POST"]}})
        files |= live("small", SEEN, on={"webhook": {"maxBody": "1KiB"}})
        files |= live("three", SEEN, on={"webhook": {"rateLimit": "3/m"}})
        signed = {"verify": {"provider": "github", "secret": "SIGNED_HOOK"}, "rateLimit": "2/h"}
        files |= live("signed", SEEN, on={"webhook": signed})
        files |= live("second", SEEN, on={"webhook": {"rateLimit": "5/s"}})
        files |= live("once", SEEN, on={"webhook": {"dedupe": "${{ headers['x-delivery'] }}"}})
        files |= live(
            "once-waits",
            "- {id: nap, uses: delay, with: {for: 1s}}\n- {id: a, uses: set, with: {id: '${{ run.id }}'}}",
            on={"webhook": {"dedupe": "order-${{ body.id }}", "respond": "last-node"}},
        )
        weft.push(files)
        yield weft


def post(weft: Installation, name: str, body: Any = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(weft, weft.hook(name), json.dumps(body), JSON | named)


def trigger(weft: Installation, answer: Answer) -> Any:
    [[text]] = weft.rows("SELECT trigger::text FROM runs WHERE id = %s", [answer.run])
    return json.loads(text)


def told(answer: Answer) -> tuple[int, str]:
    """Status and kind of problem."""
    return answer.status, str(answer.json["type"]).rpartition(":")[2]


FROM = [
    ("192.0.2.7", 202),
    ("198.51.100.1, 192.0.2.7", 202),  # who is farther away may say what they like
    ("192.0.2.7, 198.51.100.1", 403),
    ("192.0.2.7, 10.9.1.1, 10.9.0.2", 202),  # a row of trusted proxies
    ("192.0.2.7:4711", 202),
    ("2001:db8::7", 202),
    ("[2001:db8::7]:443", 202),
    ("::ffff:192.0.2.7", 202),
    ("198.51.100.1", 403),
    ("nonsense", 403),
    ("", 403),
    ("192.0.2.7, ", 403),
]


@pytest.mark.parametrize(("forwarded", "status"), FROM)
def test_only_the_allowed_addresses_may_call(weft: Installation, forwarded: str, status: int) -> None:
    answer = post(weft, "office", {}, X_Forwarded_For=forwarded)
    assert answer.status == status, answer.text
    if status == 403:
        assert told(answer) == (403, "address-not-allowed")


def test_without_a_trusted_proxy_nobody_believes_what_a_header_says() -> None:
    with installation("--workers", "1") as weft:
        weft.push(live("office", SEEN, on={"webhook": {"allowFrom": ["192.0.2.0/24"]}}) | live("open", SEEN))
        assert told(post(weft, "office", {}, X_Forwarded_For="192.0.2.7")) == (403, "address-not-allowed")
        answer = post(weft, "open", {}, X_Forwarded_For="192.0.2.7")
        assert trigger(weft, answer)["address"] == "127.0.0.1"


def test_a_run_knows_who_called(weft: Installation) -> None:
    assert trigger(weft, post(weft, "open", {}, X_Forwarded_For="192.0.2.7"))["address"] == "192.0.2.7"


def test_every_reason_against_a_body_is_told(weft: Installation) -> None:
    answer = post(weft, "orders", {"total": "much", "lines": 3})
    assert told(answer) == (422, "invalid-body")
    problems = {one["path"]: one["message"] for one in answer.json["problems"]}
    assert set(problems) == {"", "total", "lines"}
    assert '"id" is a required property' in problems[""]
    assert post(weft, "orders", {"id": 1, "total": 2.5}).status == 202
    assert told(call(weft, weft.hook("orders"), "", {}))[0] == 422


def test_a_get_has_no_body_to_be_checked(weft: Installation) -> None:
    assert call(weft, weft.hook("orders"), method="GET").status == 202


def test_compressed_bodies_are_unpacked(weft: Installation) -> None:
    body = json.dumps({"id": 1, "total": 2}).encode()
    for encoding, packed in {"gzip": gzip.compress(body), "deflate": zlib.compress(body)}.items():
        answer = call(weft, weft.hook("orders"), packed, JSON | {"Content-Encoding": encoding})
        assert trigger(weft, answer)["body"] == {"id": 1, "total": 2}


def test_a_bomb_is_not_unpacked(weft: Installation) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    assert len(bomb) < 1024 * 60
    before = memory(weft)
    for _ in range(20):
        answer = call(weft, weft.hook("orders"), bomb, JSON | {"Content-Encoding": "gzip"})
        assert told(answer) == (413, "too-large")
    assert memory(weft) - before < 20_000_000
    assert (
        told(call(weft, weft.hook("small"), gzip.compress(b"0" * 2000), {"Content-Encoding": "gzip"}))[0]
        == 413
    )


def memory(weft: Installation) -> int:
    """Bytes of the web process."""
    [pid] = weft.pids("weft-web")
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:"))


PACKED = gzip.compress(b"{}", mtime=0)


@pytest.mark.parametrize("packed", [b"not gzip", PACKED[:-5], PACKED + b"more"])
def test_what_is_not_compressed_as_it_says_is_refused(weft: Installation, packed: bytes) -> None:
    answer = call(weft, weft.hook("open"), packed, JSON | {"Content-Encoding": "gzip"})
    assert told(answer) == (400, "not-compressed")


def test_an_encoding_that_nobody_knows_is_415(weft: Installation) -> None:
    answer = call(weft, weft.hook("open"), b"x", {"Content-Encoding": "br"})
    assert told(answer) == (415, "unknown-encoding")
    assert answer.headers["accept-encoding"] == "gzip, deflate"


def test_calls_beyond_the_rate_wait_as_long_as_they_are_told(weft: Installation) -> None:
    answers = [post(weft, "three", {"n": n}) for n in range(5)]
    assert [answer.status for answer in answers] == [202, 202, 202, 429, 429]
    assert told(answers[-1]) == (429, "rate-limited")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    statuses = [post(weft, "second", {}).status for _ in range(8)]
    assert statuses.count(202) >= 5
    eventually(lambda: post(weft, "second", {}).status == 202, seconds=5, pause=0.3)


def test_a_broker_that_is_away_lets_calls_in_and_still_counts_them(weft: Installation) -> None:
    import os
    import signal

    [pid] = weft.pids("valkey-server")
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        statuses = [post(weft, "three", {}).status for _ in range(5)]
        assert time.monotonic() - began < 8
    finally:
        os.kill(pid, signal.SIGCONT)
    assert statuses == [202, 202, 202, 429, 429]


def test_the_same_key_starts_one_run(weft: Installation) -> None:
    first = post(weft, "once", {"id": 1}, X_Delivery="a")
    again = post(weft, "once", {"id": 1}, X_Delivery="a")
    assert (first.status, again.status, again.run) == (202, 202, first.run)
    assert (first.headers["idempotent-replayed"], again.headers["idempotent-replayed"]) == (None, "true")
    assert post(weft, "once", {"id": 1}, X_Delivery="b").run != first.run
    other = post(weft, "once", {"id": 2}, X_Delivery="a")
    assert told(other) == (409, "same-key-other-body")
    assert first.run in other.json["detail"]


def test_calls_without_a_key_all_count(weft: Installation) -> None:
    assert post(weft, "once", {"id": 1}).run != post(weft, "once", {"id": 1}).run


def test_the_same_key_at_the_same_time_starts_one_run(weft: Installation) -> None:
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: post(weft, "once", {"id": 3}, X_Delivery="crowd"), range(64)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.run for answer in answers}) == 1
    [[count]] = weft.rows("SELECT count(*) FROM runs WHERE trigger->'headers'->>'x-delivery' = 'crowd'")
    assert count == 1


def test_a_repeated_call_waits_for_the_first_ones_answer(weft: Installation) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: post(weft, "once-waits", {"id": 7}), range(4)))
    later = post(weft, "once-waits", {"id": 7})
    assert {answer.status for answer in [*answers, later]} == {200}
    assert len({answer.json["id"] for answer in [*answers, later]}) == 1
    assert later.headers["idempotent-replayed"] == "true"


def test_a_key_is_good_for_a_day(weft: Installation) -> None:
    first = post(weft, "once", {"id": 1}, X_Delivery="old")
    weft.rows("UPDATE run_keys SET at = at - interval '23 hours 59 minutes' RETURNING 1")
    assert post(weft, "once", {"id": 1}, X_Delivery="old").run == first.run
    weft.rows("UPDATE run_keys SET at = at - interval '2 minutes' RETURNING 1")
    assert post(weft, "once", {"id": 1}, X_Delivery="old").run != first.run


def test_a_refused_call_does_not_hold_its_key(weft: Installation) -> None:
    from installation import deployment

    weft.push({"deployments/once.yaml": deployment("once", state="paused")})
    assert told(post(weft, "once", {"id": 1}, X_Delivery="early")) == (503, "paused")
    weft.push({"deployments/once.yaml": deployment("once")})
    assert post(weft, "once", {"id": 2}, X_Delivery="early").status == 202


def test_a_ping_tells_who_would_answer_and_starts_nothing(weft: Installation) -> None:
    before = weft.rows("SELECT count(*) FROM runs")
    answer = call(weft, weft.hook("open") + "?ping", method="GET")
    assert (answer.status, answer.json["deployment"], answer.json["state"]) == (200, "open", "active")
    assert answer.json["version"]["number"] == 1
    assert len(answer.json["version"]["id"]) >= 40
    assert weft.rows("SELECT count(*) FROM runs") == before
    assert call(weft, "/hooks/unknown?ping", method="GET").status == 404


def test_bodies_that_are_being_sent_cannot_take_all_memory(weft: Installation) -> None:
    """Forty callers that each stop one byte before the end of a megabyte."""
    host, _, port = weft.address.rpartition(":")
    before = memory(weft)
    callers = []
    try:
        for _ in range(40):
            caller = socket.create_connection((host, int(port)))
            callers.append(caller)
            head = f"POST {weft.hook('open')} HTTP/1.1\r\nHost: w\r\nContent-Length: 1048576\r\n\r\n"
            caller.sendall(head.encode() + b"x" * 1_048_575)
        assert memory(weft) - before < 60_000_000
    finally:
        for caller in callers:
            caller.close()
    assert post(weft, "open", {}).status == 202


def test_whoever_may_not_call_may_not_ask_either(weft: Installation) -> None:
    url = f"{weft.hook('office')}?ping"
    assert told(call(weft, url, headers={"X-Forwarded-For": "198.51.100.1"}, method="GET"))[0] == 403
    assert call(weft, url, headers={"X-Forwarded-For": "192.0.2.7"}, method="GET").status == 200


def test_calls_that_are_not_signed_use_up_nobodys_rate(weft: Installation) -> None:
    for _ in range(5):
        assert told(post(weft, "signed", {})) == (401, "not-signed")
    signature = hmac.new(SIGNED_HOOK.encode(), b"{}", "sha256").hexdigest()
    answers = [post(weft, "signed", {}, X_Hub_Signature_256=f"sha256={signature}").status for _ in range(3)]
    assert answers == [202, 202, 429]
