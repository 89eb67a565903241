"""A push of one changed pattern into a repository of many. `python -m bench.push [patterns] [pushes]`

Ours: what the reconciler takes from the arrived objects to the answer. Seen by `git push`: the whole command against
a running Weft, and the same push into a bare repository on this disk as the floor.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.installation import installation
from bench.repository import Files, callee, fast_import, first_commit, name, pattern, reconciling
from bench.table import show
from reconciler.quarantine import PREFIX
from reconciler.reconciler import Reconciler
from reconciler.repository import RefUpdate, git_environment

MAIN = "refs/heads/main"


def change(number: int, patterns: int) -> Files:
    which = number % patterns
    return {f"patterns/{name(which)}.yaml": pattern(name(which), f"push {number}", callee(which))}


def inside(patterns: int, pushes: int) -> list[float]:
    """Milliseconds inside the reconciler, push by push."""
    with reconciling() as (reconciler, _, folder):
        bare, clone = reconciler.ensure("default"), folder / "clone"
        fast_import(bare, [first_commit(patterns, patterns)])
        reconciler.reconcile("default")
        _git(folder, "clone", "--quiet", str(bare), str(clone))
        return [_handed_over(reconciler, bare, clone, change(n, patterns)) for n in range(1, pushes + 1)]


def _handed_over(reconciler: Reconciler, bare: Path, clone: Path, files: Files) -> float:
    old = _git(clone, "rev-parse", "HEAD")
    new = _commit(clone, files)
    wanted = f"{new}\n^{old}\n".encode()
    pack = _git_bytes(clone, wanted, "pack-objects", "--revs", "--stdout", "--quiet")
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=bare / "objects") as quarantine:
        places = {
            "GIT_OBJECT_DIRECTORY": quarantine,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(bare / "objects"),
        }
        _git_bytes(bare, pack, "unpack-objects", "-q", "--strict", **places)
        update = RefUpdate(ref=MAIN, old=old, new=new)
        began = time.perf_counter()
        outcome = reconciler.push("default", [update], quarantine=Path(quarantine), pusher="bench")
        took = time.perf_counter() - began
    if outcome.refused:
        raise RuntimeError("\n".join(outcome.lines))
    return took * 1000


def outside(patterns: int, pushes: int) -> tuple[list[float], list[float]]:
    """Milliseconds of `git push`, into Weft and into a plain bare repository."""
    with installation() as weft:
        weft.push(first_commit(patterns, patterns))
        plain = weft.folder / "plain.git"
        weft.git("init", "--quiet", "--bare", "--initial-branch=main", str(plain), at=weft.folder)
        weft.git("push", "--quiet", str(plain), "main")
        ours, floor = [], []
        for number in range(1, pushes + 1):
            ours.append(weft.push(change(number, patterns)) * 1000)
            began = time.perf_counter()
            weft.git("push", "--quiet", str(plain), "main")
            floor.append((time.perf_counter() - began) * 1000)
        return ours, floor


def _commit(clone: Path, files: Files) -> str:
    for path, text in files.items():
        (clone / path).write_text(text)
    _git(clone, "-c", "user.name=bench", "-c", "user.email=bench@weft.example", "commit", "--quiet", "-a", "-m", "x")
    return _git(clone, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str:
    return _git_bytes(folder, None, *arguments).decode().strip()


def _git_bytes(folder: Path, stdin: bytes | None, *arguments: str, **places: str) -> bytes:
    environment = {**git_environment(), **places}
    done = subprocess.run(["git", *arguments], cwd=folder, input=stdin, env=environment, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"git {arguments[0]}: {done.stderr.decode()}")
    return done.stdout


def _spread(milliseconds: list[float]) -> str:
    ranked = sorted(milliseconds)
    return f"p50 {statistics.median(ranked):.0f} ms, p95 {ranked[int(len(ranked) * 0.95)]:.0f} ms"


def main() -> None:
    patterns = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    pushes = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    rows = [("gate, freeze, plan, apply", "p50 ≤ 40 ms", _spread(inside(patterns, pushes)), "")]
    ours, floor = outside(patterns, pushes)
    rows.append(("seen by git push", "p50 ≤ 150 ms", _spread(ours), f"into a bare repository {_spread(floor)}"))
    show(f"One changed pattern of {patterns:,}, each deployed", rows)


if __name__ == "__main__":
    main()
