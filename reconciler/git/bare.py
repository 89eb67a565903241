"""A bare repository as Weft keeps it, made."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from reconciler.git.program import run_git

# Everything a push leaves behind is on disk before the pusher hears that it was accepted.
CONFIGURATION = {
    "core.fsync": "loose-object,pack,pack-metadata,reference",
    "core.logAllRefUpdates": "false",
    "gc.auto": "0",
    "receive.autogc": "false",
}


def make_bare(path: Path) -> None:
    """With HEAD on `main`. Several processes may make it at once: the first to be done wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".made-", dir=path.parent, ignore_cleanup_errors=True) as folder:
        made = Path(folder) / path.name
        _make(made)
        try:
            made.rename(path)
        except OSError:
            if not (path / "HEAD").exists():
                raise


def _make(path: Path) -> None:
    path.mkdir()
    run_git(path, "init", "--quiet", "--bare", "--initial-branch=main", "--template=", ".")
    with (path / "config").open("a") as config:
        for key, value in CONFIGURATION.items():
            section, _, name = key.partition(".")
            config.write(f"[{section}]\n\t{name} = {value}\n")
