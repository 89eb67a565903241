"""The `git` program: for refs (atomic), connectivity (thorough) and whatever libgit2 does less well."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from reconciler.git.errors import GitError


def run_git(
    directory: Path, *arguments: str, stdin: str | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """What `git` prints. Raises GitError with the last line of what it says on standard error."""
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *arguments],
        cwd=directory,
        env={**git_environment(), **(environment or {})},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise GitError(f"git {arguments[0]}: {said[-1]}")
    return done.stdout


def git_environment() -> dict[str, str]:
    """For every `git` of ours: of this process's environment the PATH alone, and no configuration of the user's.

    There are keys and secrets in it, and what was started with another program shows its own to scripts, which run
    as the same user.
    """
    path = os.environ.get("PATH", os.defpath)
    return {
        "PATH": path,
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
