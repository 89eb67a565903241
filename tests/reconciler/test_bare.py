"""A new repository, as Git itself sees it."""

from pathlib import Path

from reconciler.git.bare import CONFIGURATION, make_bare
from reconciler.git.program import run_git


def test_git_reads_the_configuration_of_a_new_repository(tmp_path: Path) -> None:
    bare = tmp_path / "default.git"
    make_bare(bare)
    read = {key: run_git(bare, "config", "--get-all", key).strip() for key in CONFIGURATION}
    assert read == CONFIGURATION
    assert run_git(bare, "config", "--type=bool", "core.bare").strip() == "true"
    assert run_git(bare, "symbolic-ref", "HEAD").strip() == "refs/heads/main"
