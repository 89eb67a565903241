"""A repository of many patterns, made quickly with `git fast-import`, and a reconciler over it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.installation import deployment
from cli.embedded.child import stop
from cli.embedded.postgres import open_postgres
from reconciler.git.program import git_environment
from reconciler.reconciler import Reconciler
from store.database import Database, migrate

Files = dict[str, str]


def pattern(name: str, text: str, calls: str | None = None) -> str:
    """A pattern of middling size: a webhook, five nodes, expressions."""
    call = f"    - {{id: ask, uses: call, with: {{pattern: {calls}}}}}\n" if calls else ""
    return f"""\
apiVersion: weft/v1
kind: Pattern
metadata: {{name: {name}, description: One of many}}
spec:
  on: {{webhook: {{methods: [POST]}}, call: {{}}}}
  variables: {{threshold: 100}}
  nodes:
    - id: order
      uses: set
      with: {{total: "${{{{ trigger.body.total }}}}", who: "${{{{ trigger.body.customer }}}}"}}
    - id: decide
      uses: branch
      if: ${{{{ trigger.body.total > vars.threshold }}}}
      then:
        - {{id: big, uses: log, with: {{message: "big: ${{{{ nodes.order.total }}}}"}}}}
      else:
        - {{id: small, uses: log, with: {{message: "small"}}}}
{call}    - {{id: last, uses: log, with: {{message: "{text}"}}}}
"""


def name(number: int) -> str:
    return f"pattern-{number:05}"


def callee(number: int) -> str | None:
    """One in ten calls its neighbour, which calls nobody."""
    return name(number + 1) if number % 10 == 0 else None


def first_commit(patterns: int, deployments: int) -> Files:
    files = {f"patterns/{name(n)}.yaml": pattern(name(n), "first", callee(n)) for n in range(patterns)}
    files |= {f"deployments/{name(n)}.yaml": deployment(name(n)) for n in range(deployments)}
    return files


def fast_import(folder: Path, commits: Sequence[Files]) -> None:
    """Commits on `main` of the repository at `folder`, one for each mapping of changed files."""
    stream = bytearray()
    for number, files in enumerate(commits):
        stream += b"commit refs/heads/main\n"
        stream += f"committer bench <bench@weft.example> {1_700_000_000 + number} +0000\n".encode()
        stream += b"data 6\nchange\n"
        for path, text in files.items():
            content = text.encode()
            stream += f"M 100644 inline {path}\ndata {len(content)}\n".encode() + content + b"\n"
        stream += b"\n"
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=folder, input=bytes(stream), env=git_environment(), check=True
    )


@contextmanager
def reconciling() -> Iterator[tuple[Reconciler, Database, Path]]:
    """A reconciler on a durable PostgreSQL of its own, its database, and a folder for clones."""
    folder = Path(tempfile.mkdtemp(prefix="weft-bench-"))
    folder.chmod(0o711)
    postgres = open_postgres(folder, durable=True)
    process = postgres.spawn()
    try:
        postgres.wait_ready(process)
        migrate(postgres.url)
        database = Database(postgres.url, connections=4)
        yield (
            Reconciler(database, folder / "git", installation_key=b"b" * 32, public_url="http://bench"),
            database,
            folder,
        )
        database.close()
    finally:
        stop(process, postgres.stop_signal)
        shutil.rmtree(folder, ignore_errors=True)
