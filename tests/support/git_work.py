"""A person's clone of a Weft repository, and pushes as the Git-over-HTTP side hands them over."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pygit2

from reconciler.actor import Actor
from reconciler.answer import PushOutcome
from reconciler.git.refs import ABSENT, RefUpdate
from reconciler.git.repository import Repository
from reconciler.reconciler import Reconciler

ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "1",  # each commit would start a process to see whether to tidy up
    "GIT_CONFIG_KEY_0": "maintenance.auto",
    "GIT_CONFIG_VALUE_0": "false",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


class Work:
    """A work tree with real `git`, and the server's bare repository that it pushes to."""

    def __init__(self, folder: Path, reconciler: Reconciler, organisation: str = "default") -> None:
        self.folder = folder
        self.reconciler = reconciler
        self.organisation = organisation
        self.bare = reconciler.ensure(organisation)
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main", "--template=")

    def git(self, *arguments: str, stdin: bytes | None = None, **environment: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env={**ENVIRONMENT, **environment}, input=stdin,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def server_git(self, *arguments: str) -> None:
        """What somebody does in the server's repository itself, past the gate."""
        subprocess.run(["git", *arguments], cwd=self.bare, env=ENVIRONMENT, check=True)

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        """Files by path; None removes."""
        for path, content in files.items():
            place = self.folder / path
            if content is None:
                place.unlink()
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: Mapping[str, str | bytes | None], message: str = "Change") -> str:
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return str(self._opened().head.target)

    def push(self, *refs: str, pusher: str = "ada", admin: bool = False) -> PushOutcome:
        """Push refs by name (`main`, `refs/tags/v1`; `:name` deletes) in one go, objects in a quarantine."""
        updates = [self.update(ref) for ref in refs or ("main",)]
        with tempfile.TemporaryDirectory(prefix="incoming-", dir=self.bare / "objects") as quarantine:
            self.transfer([u.new for u in updates if u.new != ABSENT], Path(quarantine))
            return self.reconciler.push(
                self.organisation,
                updates,
                quarantine=Path(quarantine),
                pusher=Actor(user=pusher, admin=admin),
            )

    def update(self, ref: str) -> RefUpdate:
        name = ref.removeprefix(":")
        full = name if name.startswith("refs/") else f"refs/heads/{name}"
        old = Repository(self.bare).refs().get(full, ABSENT)
        new = ABSENT if ref.startswith(":") else str(self._opened().references[full].target)
        return RefUpdate(ref=full, old=old, new=new)

    def transfer(self, ids: list[str], quarantine: Path) -> None:
        """What `git receive-pack` would leave in its quarantine: one pack of what the server does not have."""
        known = [f"^{object_id}" for object_id in self._known(Repository(self.bare).refs().values())]
        wanted = "\n".join([*ids, *known]) + "\n"
        pack = subprocess.run(
            ["git", "pack-objects", "--revs", "--stdout", "--quiet", "--delta-base-offset"],
            cwd=self.folder, env=ENVIRONMENT, input=wanted.encode(), capture_output=True, check=True,
        ).stdout  # fmt: skip
        subprocess.run(
            ["git", "index-pack", "--stdin", "--strict", "--fix-thin"],
            cwd=self.bare, input=pack, capture_output=True, check=True,
            env={
                **ENVIRONMENT,
                "GIT_OBJECT_DIRECTORY": str(quarantine),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.bare / "objects"),
            },
        )  # fmt: skip

    def _opened(self) -> pygit2.Repository:
        """As it is now, which is read more quickly than a process is started."""
        return pygit2.Repository(str(self.folder))

    def _known(self, ids: Iterable[str]) -> list[str]:
        """Those of the objects that are here, too."""
        told = self.git("cat-file", "--batch-check=%(objectname)", stdin="\n".join(ids).encode())
        return [line for line in told.splitlines() if not line.endswith(" missing")]


def pattern(
    name: str, message: str = "hello", *, calls: str = "", script: str = "", webhook: bool = True
) -> str:
    """A pattern's file: a log node, and what else is asked for. `calls` is "name" or "name@3"."""
    lines = [
        "apiVersion: weft/v1", "kind: Pattern", f"metadata: {{name: {name}}}", "spec:",
        "  on: {webhook: {}, call: {}}" if webhook else "  on: {call: {}}", "  nodes:",
        f'    - {{id: say, uses: log, with: {{message: "{message}"}}}}',
    ]  # fmt: skip
    if calls:
        callee, _, number = calls.partition("@")
        version = f", version: {number}" if number else ""
        lines.append(f"    - {{id: ask, uses: call, with: {{pattern: {callee}{version}}}}}")
    if script:
        lines.append(f"    - {{id: work, uses: script, with: {{file: {script}}}}}")
    return "\n".join(lines) + "\n"


def deployment(name: str, of: str | None = None, **spec: str) -> str:
    """A deployment's file; values of `spec` are YAML."""
    lines = ["apiVersion: weft/v1", "kind: Deployment", f"metadata: {{name: {name}}}", "spec:"]
    lines += [f"  pattern: {of or name}", *(f"  {key}: {value}" for key, value in spec.items())]
    return "\n".join(lines) + "\n"


def trial(name: str, of: str, node: str, **case: str) -> str:
    """A test's file with one case, in which a node gives 1; values of `case` are YAML."""
    lines = ["apiVersion: weft/v1", "kind: PatternTest", f"metadata: {{name: {name}}}", "spec:"]
    lines += [f"  pattern: {of}", "  cases:", "    - name: one", f"      stubs: {{{node}: 1}}"]
    lines += [f"      {key}: {value}" for key, value in ({"expect": "{status: completed}"} | case).items()]
    return "\n".join(lines) + "\n"
