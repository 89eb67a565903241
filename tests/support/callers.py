"""Callers of webhooks that note what they were answered, and an outside world that notes what was done to it."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from installation import Installation, live

EFFECT = """\
import os, random, time

def main(input):
    nonce = random.getrandbits(64)
    line = f"{input['run']} {input['node']} {nonce:x} {os.getpid()}\\n"
    time.sleep(input.get("before", 0))
    with open(input["world"], "ab", buffering=0) as world:
        world.write(line.encode())
    time.sleep(input.get("after", 0))
    return f"{nonce:x}"
"""


@dataclass(frozen=True)
class Call:
    """One that was acknowledged. Times are seconds since the epoch."""

    name: str
    number: int
    sent: float
    answered: float


class Callers:
    """Threads that post while this is entered, each with one call under way.

    `urls` are (deployment, path) pairs, called in turn. A call that was not accepted is made again.
    """

    def __init__(
        self,
        weft: Installation,
        urls: Sequence[tuple[str, str]],
        *,
        threads: int = 8,
        limit: int | None = None,
        pause: float = 0.0,
    ) -> None:
        self._address = weft.address
        self._urls = urls
        self._pause = pause
        self._numbers = iter(range(limit)) if limit is not None else itertools.count()
        self._mutex = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._call_on, daemon=True) for _ in range(threads)]
        self.acknowledged: dict[str, Call] = {}
        self.statuses: Counter[int] = Counter()
        self.cut_off = 0  # calls whose connection was refused or broke

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.join()

    def join(self, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), "a caller was never answered"

    def stop(self) -> None:
        self._stopping.set()

    @property
    def runs(self) -> set[str]:
        with self._mutex:
            return set(self.acknowledged)

    def _call_on(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=50)
        while not self._stopping.is_set():
            with self._mutex:
                number = next(self._numbers, None)
            if number is None:
                break
            name, url = self._urls[number % len(self._urls)]
            while not self._stopping.is_set() and not self._call(connection, name, url, number):
                self._stopping.wait(0.02)
            self._stopping.wait(self._pause)
        connection.close()

    def _call(self, connection: http.client.HTTPConnection, name: str, url: str, number: int) -> bool:
        sent = time.time()
        try:
            body = json.dumps({"number": number})
            connection.request("POST", url, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            with self._mutex:
                self.cut_off += 1
            return False
        with self._mutex:
            self.statuses[answer.status] += 1
            if answer.status == 202:
                call = Call(name, number, sent, time.time())
                self.acknowledged[json.loads(text)["run"]["id"]] = call
        return answer.status == 202


@dataclass(frozen=True)
class Effect:
    run: str
    node: str
    nonce: str
    pid: int


@dataclass
class World:
    """A file outside that `script` nodes append to: what was really done, and how often."""

    path: Path
    files: dict[str, str] = field(default_factory=lambda: {"scripts/effect.py": EFFECT})

    def node(self, id_: str, *, before: float = 0.0, after: float = 0.0, **keys: object) -> str:
        """A node, as a line of YAML, that leaves a trace `before` seconds from its start, then takes `after`."""
        given = {"run": "${{ run.id }}", "node": id_, "world": str(self.path)}
        with_ = {"file": "scripts/effect.py", "input": given | {"before": before, "after": after}}
        return f"- {json.dumps({'id': id_, 'uses': 'script', 'with': with_} | keys)}"

    def nodes(self, count: int, *, before: float = 0.0, after: float = 0.0) -> str:
        return "\n".join(self.node(f"n{at}", before=before, after=after) for at in range(1, count + 1))

    def live(self, name: str, nodes: str, **spec: object) -> dict[str, str]:
        return self.files | live(name, nodes, **spec)

    def effects(self) -> list[Effect]:
        with suppress(FileNotFoundError):
            lines = self.path.read_text().splitlines()
            return [Effect(run, node, nonce, int(pid)) for run, node, nonce, pid in map(str.split, lines)]
        return []

    def done(self) -> Counter[tuple[str, str]]:
        """(run, node) → how often it was done."""
        return Counter((effect.run, effect.node) for effect in self.effects())
