"""Cold rebuild: an empty database and a repository with a history. `python -m bench.rebuild`

Floor: Git itself printing every object of that history.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bench.repository import callee, fast_import, first_commit, name, pattern, reconciling
from bench.table import show
from reconciler.git.program import git_environment
from store.deployments import all_deployments
from store.versions import numbers

PATTERNS = 2_000
COMMITS = 2_000


def git_alone(repository: Path) -> float:
    """Seconds in which Git reads it all."""
    began = time.perf_counter()
    subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"],
        cwd=repository,
        env=git_environment(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - began


def main() -> None:
    history = [first_commit(PATTERNS, PATTERNS)]
    for n in range(1, COMMITS):
        which = n % PATTERNS
        history.append({f"patterns/{name(which)}.yaml": pattern(name(which), f"change {n}", callee(which))})
    with reconciling() as (reconciler, database, _):
        repository = reconciler.ensure("default")
        fast_import(repository, history)
        began = time.perf_counter()
        reconciler.reconcile("default")
        took = time.perf_counter() - began
        with database.connection() as connection:
            versions = sum(map(len, numbers(connection, "default").values()))
            live = len(all_deployments(connection, "default"))
        floor = git_alone(repository)
    what = f"{PATTERNS:,} patterns, {COMMITS:,} commits"
    note = f"git reads it in {floor:.2f} s; {versions:,} versions, {live:,} deployments"
    show("Cold rebuild from Git", [(what, "≤ 20 s", f"{took:.1f} s", note)])


if __name__ == "__main__":
    main()
