"""What a webhook's guards cost, and how soon a caller that waits has its answer. `python -m bench.webhooks`"""

from __future__ import annotations

import hmac
import statistics
import time

import httpx

from bench.installation import LIGHT, Installation, installation, settle
from bench.latency import BODY, PAUSE
from bench.load import Caller, post
from bench.table import milliseconds, show, spread
from store.database import scalar

SECRET = "a-secret-of-the-bench"
CLIENTS = 64
SECONDS = 3.0
ROUNDS = 8
CALLS = 300

GUARDED = """{webhook: {verify: {provider: github, secret: BENCH}, body: {type: object, required: [total, customer],
    properties: {total: {type: number, minimum: 0}, customer: {type: string, pattern: "^c-[0-9]+$"}}}}}"""
WAITS = "{webhook: {respond: last-node}}"


def pattern(name: str, on: str) -> str:
    return LIGHT.replace("{name: light}", f"{{name: {name}}}").replace("{webhook: {}}", on)


def rate(weft: Installation, hook: str, headers: str) -> float:
    """Runs per second, until the last one has completed."""
    with weft.database() as connection:
        before = scalar(connection, "SELECT count(*) FROM runs")
        began = time.perf_counter()
        load = post(hook, BODY, clients=CLIENTS, seconds=SECONDS, headers=headers)
        settle(connection)
        took = time.perf_counter() - began
        ended = scalar(connection, "SELECT count(*) FROM runs WHERE status = 'completed'")
        done = int(ended) - int(before)
    assert load.statuses == {202: done}, (load.statuses, done)
    return done / took


def waited(caller: Caller, hook: str) -> list[float]:
    """Seconds until the answer with the run's output."""
    taken = []
    for _ in range(CALLS):
        time.sleep(PAUSE)
        began = time.perf_counter()
        status, answer = caller.call(hook, BODY)
        taken.append(time.perf_counter() - began)
        assert (status, answer) == (200, {"ok": True}), answer
    return taken


def main() -> None:
    signature = f"X-Hub-Signature-256: sha256={hmac.new(SECRET.encode(), BODY, 'sha256').hexdigest()}\r\n"
    with installation() as weft:
        address = f"{weft.url}/api/v1/secrets/BENCH"
        token = {"authorization": f"Bearer {weft.token}"}
        httpx.put(address, json={"value": SECRET}, headers=token).raise_for_status()
        hooks = {name: weft.deploy(name, pattern(name, on)) for name, on in _PATTERNS.items()}
        for hook in (hooks["plain"], hooks["guarded"]):
            rate(weft, hook, signature)
        ratios, plain, guarded = [], [], []
        for number in range(ROUNDS):
            order = ["plain", "guarded"] if number % 2 else ["guarded", "plain"]
            found = {name: rate(weft, hooks[name], signature) for name in order}
            plain.append(found["plain"])
            guarded.append(found["guarded"])
            ratios.append(found["guarded"] / found["plain"])
        caller = Caller(hooks["waits"])
        taken = waited(caller, hooks["waits"])
        alone = waited_for_nothing(caller, hooks["plain"])
        caller.close()
    cost = 1 - statistics.median(ratios)
    note = f"plain {statistics.median(plain):,.0f}/s, guarded {statistics.median(guarded):,.0f}/s"
    show(
        f"Webhooks: {CLIENTS} clients in turn, {ROUNDS} rounds; {CALLS} single calls of three light nodes",
        [
            ("`verify: github` and a `body` schema cost", "≤ 15 %", f"{cost * 100:.1f} %", note),
            (
                "`last-node`: sent → the run's output",
                "p50 ≤ 8 ms",
                spread(taken),
                f"202 alone {milliseconds(alone)}",
            ),
        ],
    )


def waited_for_nothing(caller: Caller, hook: str) -> float:
    """The median until a call is acknowledged."""
    taken = []
    for _ in range(100):
        time.sleep(PAUSE)
        began = time.perf_counter()
        caller.call(hook, BODY)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


_PATTERNS = {"plain": "{webhook: {}}", "guarded": GUARDED, "waits": WAITS}

if __name__ == "__main__":
    main()
