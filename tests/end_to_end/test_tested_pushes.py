"""A repository that requires tests, pushed with real Git to a service that runs."""

from __future__ import annotations

import shutil
from pathlib import Path

from live_service import live_service

EXAMPLES = Path(__file__).parents[2] / "examples-repo"


def test_a_push_that_breaks_a_test_is_refused_in_the_pushers_terminal_and_one_that_mends_it_is_live(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "repository"
    shutil.copytree(EXAMPLES, folder)
    project = folder / "weft.yaml"
    project.write_text(project.read_text() + "  requireTests: true\n")
    with live_service() as service:

        def shell(block: str) -> str:
            remote = f"{service.url.replace('://', f'://weft:{service.token}@')}/git/default.git"
            return service.shell(block, folder, REMOTE=remote)

        shell("git init -q -b main; git add .; git commit -qm Examples")
        assert "remote: tests: 27 cases of 8 tests passed" in shell("git push $REMOTE main 2>&1")
        script = folder / "scripts" / "report.py"
        script.write_text(script.read_text().replace("sold - returned", "sold + returned"))
        said = shell("git commit -qam Oops; ! git push $REMOTE main 2>&1")
        assert "remote: 1 problem in 1 file:" in said
        assert "remote: tests/nightly-report.yaml:9:7: the case" in said
        assert "should be" in said
        assert "[test-failed] `weft test the-report-adds-up` shows it side by side." in said
        said = shell("git revert --no-edit HEAD; git push $REMOTE main 2>&1")
        assert "main -> main" in said
