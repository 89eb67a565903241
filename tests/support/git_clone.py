"""A work tree and the real `git`, undisturbed by whoever runs the tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git_environment(home: Path, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    person = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", "Eve"), ("EMAIL", "eve@example.org"))
    }
    isolated = {"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    return {**kept, **person, **isolated, **more}


class Clone:
    """A repository with a work tree. `git` gives what the command said; a failure raises unless expected."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self.url = url

    @classmethod
    def new(cls, path: Path, url: str) -> Clone:
        path.mkdir()
        clone = cls(path, url)
        clone.git("init", "--quiet", "--initial-branch=main")
        clone.git("remote", "add", "origin", url)
        return clone

    @classmethod
    def of(cls, path: Path, url: str, *options: str) -> Clone:
        clone = cls(path, url)
        subprocess.run(
            ["git", "clone", "--quiet", *options, url, str(path)],
            env=git_environment(path.parent),
            check=True,
            capture_output=True,
        )
        return clone

    def git(self, *arguments: str, fails: bool = False, **environment: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env=git_environment(self.path.parent, **environment),
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, (
            f"git {' '.join(arguments)} ended with {done.returncode}:\n{said}"
        )
        return said.strip()

    def commit(self, files: dict[str, str | bytes], message: str = "Change something") -> str:
        """Write, commit; the commit's id."""
        for name, content in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.head()

    def head(self, revision: str = "HEAD") -> str:
        return self.git("rev-parse", revision)
