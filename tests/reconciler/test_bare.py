"""A new repository, as Git itself sees it."""

from pathlib import Path

import pytest

from reconciler.git.bare import CONFIGURATION, make_bare
from reconciler.git.program import run_git


def test_git_reads_the_configuration_of_a_new_repository(tmp_path: Path) -> None:
    bare = tmp_path / "default.git"
    make_bare(bare)
    read = {key: run_git(bare, "config", "--get-all", key).strip() for key in CONFIGURATION}
    assert read == CONFIGURATION
    assert run_git(bare, "config", "--type=bool", "core.bare").strip() == "true"
    assert run_git(bare, "symbolic-ref", "HEAD").strip() == "refs/heads/main"


def test_git_is_told_nothing_of_what_this_process_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scripts run as the same user, and could read it in /proc while Git runs."""
    monkeypatch.setenv("WEFT_SECRETS_KEY", "5ecret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "5ecret")
    bare = tmp_path / "default.git"
    make_bare(bare)
    seen = run_git(bare, "-c", "alias.environment=!env", "environment")
    assert "PATH=" in seen
    assert "5ecret" not in seen
