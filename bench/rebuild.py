"""Cold rebuild: an empty database and a repository with a history. `python -m bench.rebuild [patterns] [commits]`"""

from __future__ import annotations

import sys
import time

from bench.repository import callee, fast_import, first_commit, name, pattern, reconciling
from bench.table import show
from store.deployments import all_deployments
from store.versions import numbers


def main() -> None:
    patterns, commits = (int(sys.argv[n]) if len(sys.argv) > n else 2_000 for n in (1, 2))
    history = [first_commit(patterns, patterns)]
    for n in range(1, commits):
        which = n % patterns
        history.append({f"patterns/{name(which)}.yaml": pattern(name(which), f"change {n}", callee(which))})
    with reconciling() as (reconciler, database, _):
        fast_import(reconciler.ensure("default"), history)
        began = time.perf_counter()
        reconciler.reconcile("default")
        took = time.perf_counter() - began
        with database.connection() as connection:
            versions = sum(map(len, numbers(connection, "default").values()))
            live = len(all_deployments(connection, "default"))
    what = f"cold rebuild, {patterns:,} patterns, {commits:,} commits"
    show("Rebuild from Git", [(what, "≤ 20 s", f"{took:.1f} s", f"{versions:,} versions, {live:,} deployments")])


if __name__ == "__main__":
    main()
