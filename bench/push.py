"""A real `git push` into a repository of many patterns, each deployed. `python -m bench.push`

Seen by `git push`: the whole command against a running Weft. Ours: the server's own time from the arrived
objects to live, as it prints it to the pusher. Floor: the same push into a bare repository on this disk.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench.installation import Installation, Push, deployment, installation
from bench.repository import Files, callee, first_commit, name, pattern
from bench.table import show, spread

PATTERNS = 1_000
PUSHES = 30

Pushed = list[tuple[Push, float]]
"""Pushes into Weft, and the seconds of the same into a plain repository."""


def changes() -> Iterator[Files]:
    for number in range(1, PUSHES + 1):
        text = pattern(name(number), f"push {number}", callee(number))
        yield {f"patterns/{name(number)}.yaml": text}


def additions() -> Iterator[Files]:
    for number in range(PATTERNS + 1, PATTERNS + PUSHES + 1):
        new = name(number)
        yield {f"patterns/{new}.yaml": pattern(new, "new"), f"deployments/{new}.yaml": deployment(new)}


def push_all(weft: Installation, plain: Path, commits: Iterator[Files]) -> Pushed:
    pushed = []
    for files in commits:
        ours = weft.push(files)
        began = time.perf_counter()
        weft.git("push", "--quiet", str(plain), "main")
        pushed.append((ours, time.perf_counter() - began))
    return pushed


def rows(what: str, pushed: Pushed) -> list[tuple[str, str, str, str]]:
    seen, ours = [push.seconds for push, _ in pushed], [push.server_seconds for push, _ in pushed]
    floor = f"into a bare repository {spread([plain for _, plain in pushed])}"
    return [
        (f"{what}: seen by git push", "p50 ≤ 150 ms", spread(seen), floor),
        (f"{what}: of which ours", "p50 ≤ 40 ms", spread(ours), "checked, frozen, planned, live"),
    ]


def main() -> None:
    with installation() as weft:
        first = weft.push(first_commit(PATTERNS, PATTERNS))
        plain = weft.folder / "plain.git"
        weft.git("init", "--quiet", "--bare", "--initial-branch=main", str(plain), at=weft.folder)
        weft.git("push", "--quiet", str(plain), "main")
        changed = push_all(weft, plain, changes())
        added = push_all(weft, plain, additions())
    everything = (f"all {PATTERNS:,} at once", "", f"{first.seconds:.1f} s", "the repository's first push")
    show(
        f"Push of one pattern of {PATTERNS:,}, each deployed, {PUSHES} times",
        [*rows("changed", changed), *rows("new", added), everything],
    )


if __name__ == "__main__":
    main()
