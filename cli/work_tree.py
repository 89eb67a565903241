"""A Git work tree, handled by the same `git` that people use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cli.errors import CommandError

BRANCH = "main"
REMOTE = "weft"


class GitFailed(CommandError):
    """A `git` command failed; the message has what it said."""


class WorkTree:
    """The folder of a repository whose remote `weft` is a server of ours.

    `author` is "Name <address>". Nothing of the user's own Git configuration has a say in it.
    """

    def __init__(self, folder: Path, author: str) -> None:
        self.folder = folder
        name, _, address = author.rstrip(">").partition(" <")
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        self._environ = kept | {
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": address,
            "GIT_COMMITTER_NAME": name,
            "GIT_COMMITTER_EMAIL": address,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
            "NO_PROXY": "*",
            "no_proxy": "*",
        }

    def connect(self, url: str) -> None:
        """Makes the repository, with what the server at `url` has already."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch", BRANCH)
        self.git("remote", "add", REMOTE, url)
        self.git("fetch", "--quiet", REMOTE)
        if self.git("branch", "--remotes", "--list", f"{REMOTE}/{BRANCH}"):
            self.git("reset", "--quiet", "--hard", f"{REMOTE}/{BRANCH}")

    def commit(self, message: str) -> bool:
        """Commits everything. False where there is nothing to commit."""
        self.git("add", "--all")
        if not self.git("status", "--porcelain"):
            return False
        self.git("commit", "--quiet", "--message", message)
        return True

    def push(self) -> list[str]:
        """Pushes the branch; gives the lines that the server said."""
        done = self._run(["push", REMOTE, BRANCH])
        return [line.removeprefix("remote:").strip() for line in remote_lines(done.stderr)]

    def revert(self) -> None:
        """Commits the opposite of the last commit."""
        self.git("revert", "--no-edit", "HEAD")

    def changed_lines(self) -> list[str]:
        """The lines that the last commit took out and put in, with their `-` and `+`."""
        shown = self.git("show", "--format=", "--unified=0", "HEAD").splitlines()
        return [line for line in shown if line[:1] in ("-", "+") and line[:3] not in ("---", "+++")]

    def git(self, *arguments: str) -> str:
        """What the command prints, without the last newline. Raises GitFailed."""
        return self._run(arguments).stdout.rstrip("\n")

    def _run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = " / ".join(line.strip() for line in done.stderr.strip().splitlines())
            raise GitFailed(f"git {arguments[0]} failed: {said or f'exit code {done.returncode}'}")
        return done


def remote_lines(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("remote:") and line.strip() != "remote:"]
