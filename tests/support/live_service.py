"""A `weft up` as somebody has it whose home is empty."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, kw_only=True)
class LiveService:
    """`environ` finds `weft` on its PATH, and through it this service. `url` has no slash at its end."""

    url: str
    token: str
    environ: dict[str, str]

    def shell(self, script: str, folder: Path, **variables: str) -> str:
        """What a script prints, run as people would type it; every command in it must succeed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=self.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout


@contextmanager
def live_service() -> Iterator[LiveService]:
    """Starts it on a free port, with the data folder where the README says that it is."""
    home = Path(tempfile.mkdtemp(prefix="weft-test-live-"))
    home.chmod(0o711)
    data, environ = home / ".local" / "share" / "weft", _environ(home)
    with (home / "log").open("w") as log:
        service = subprocess.Popen(
            [sys.executable, "-m", "cli", "up"], env=environ, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert service.stdout is not None
        assert any("Weft is up" in line for line in service.stdout), (home / "log").read_text()
        url, token = ((data / name).read_text().strip() for name in ("url", "admin-token"))
        yield LiveService(url=url, token=token, environ=environ)
    finally:
        service.send_signal(signal.SIGTERM)
        service.communicate(timeout=30)
        shutil.rmtree(home, ignore_errors=True)


def _environ(home: Path) -> dict[str, str]:
    tools = home / "bin"
    tools.mkdir()
    (tools / "weft").write_text(f'#!/bin/sh\nexec {sys.executable} -m cli "$@"\n')
    (tools / "weft").chmod(0o755)
    own = ("GIT_", "WEFT_", "XDG_")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(own)} | {
        "HOME": str(home),
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "WEFT_DATA": str(home / ".local" / "share" / "weft"),
        "WEFT_PORT": "0",
        "NO_PROXY": "*",
        "no_proxy": "*",
    }
    for who in ("AUTHOR", "COMMITTER"):
        environ |= {f"GIT_{who}_NAME": "Ada", f"GIT_{who}_EMAIL": "ada@weft.example"}
    return environ
