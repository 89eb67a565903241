"""What people install: the built wheel with the locked packages, in an environment that has nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"schemas", "store", "reconciler", "runner", "web", "cli"}


def run(*argv: str | Path, cwd: Path) -> str:
    """What the command prints, in an environment without this checkout; fails with what it said."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("WEFT_", "PYTHON"))}
    done = subprocess.run([str(word) for word in argv], cwd=cwd, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_the_wheel_holds_the_six_folders_with_their_data_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == FOLDERS
    for pattern in ("schemas/**/*.json", "store/**/*.sql", "examples-repo/**/*.yaml"):
        in_checkout = {str(file.relative_to(ROOT)) for file in ROOT.glob(pattern)}
        expected = {f"cli/{name}" if name.startswith("examples-repo") else name for name in in_checkout}
        assert expected, f"the checkout has no {pattern}"
        assert expected <= set(names)
    assert [name for name in names if name.endswith("/licenses/LICENSE")]


@pytest.mark.timeout(600)  # the packages come from pip's cache at best
def test_a_clean_environment_runs_weft_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    install = (
        *pip,
        "install",
        "--quiet",
        "--no-compile",
    )  # bytecode of all that nobody imports here takes longest
    run(*install, "--require-hashes", "-r", ROOT / "requirements.lock", cwd=tmp_path)
    run(*install, "--no-deps", wheel, cwd=tmp_path)
    run(*pip, "check", cwd=tmp_path)
    weft = tmp_path / "venv" / "bin" / "weft"
    assert run(weft, "--version", cwd=tmp_path) == "weft 0.1.0\n"
    where = run(python, "-c", "import cli; print(cli.__path__[0])", cwd=tmp_path).strip()
    assert where.startswith(str(tmp_path))
    run(weft, "validate", f"{where}/examples-repo", cwd=tmp_path)
