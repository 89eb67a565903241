"""A Weft of its own for a measurement: `weft up` in a temporary folder, patterns pushed by real `git`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg

from cli.embedded import postgres

AUTHOR = ("-c", "user.name=bench", "-c", "user.email=bench@weft.example")

LIGHT = """\
apiVersion: weft/v1
kind: Pattern
metadata: {name: light}
spec:
  on: {webhook: {}}
  nodes:
    - id: order
      uses: set
      with: {total: "${{ trigger.body.total }}", customer: "${{ trigger.body.customer }}"}
    - {id: note, uses: log, with: {message: "an order of ${{ nodes.order.total }}"}}
    - {id: result, uses: set, with: {ok: true}}
"""


def deployment(name: str) -> str:
    return f"apiVersion: weft/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec: {{pattern: {name}}}\n"


class Installation:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.work = folder / "work"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> float:
        """Start and wait until ready. Gives the seconds that took."""
        began = time.perf_counter()
        command = [sys.executable, "-m", "cli", "up", "--data", str(self.data), "--port", "0", *flags]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        while not self._ready():
            if self.process.poll() is not None or time.perf_counter() - began > 60:
                raise RuntimeError((self.folder / "log").read_text()[-4000:])
            time.sleep(0.005)
        return time.perf_counter() - began

    def _ready(self) -> bool:
        with suppress(OSError, httpx.HTTPError):
            return httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200
        return False

    @property
    def url(self) -> str:
        return (self.data / "url").read_text().strip()

    @property
    def token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)

    def push(self, files: Mapping[str, str], message: str = "change") -> float:
        """Commit and push `files`. Gives the seconds that `git push` took."""
        if not self.work.exists():
            self.git("init", "-q", "-b", "main", str(self.work), at=self.folder)
            address = self.url.replace("://", f"://bench:{self.token}@") + "/git/default.git"
            self.git("remote", "add", "origin", address)
        for path, text in files.items():
            target = self.work / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        began = time.perf_counter()
        self.git("push", "-q", "origin", "main")
        return time.perf_counter() - began

    def git(self, *arguments: str, at: Path | None = None) -> None:
        done = subprocess.run(
            ["git", *AUTHOR, *arguments], cwd=at or self.work, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"git {arguments[0]}: {done.stderr}")

    def get(self, path: str) -> Any:
        answer = httpx.get(self.url + path, headers={"authorization": f"Bearer {self.token}"}, timeout=30)
        return answer.raise_for_status().json()

    def webhook(self, name: str) -> str:
        return str(self.get(f"/api/v1/deployments/{name}")["webhookUrl"])

    def database(self) -> psycopg.Connection[Any]:
        url = postgres.running_url(self.data)
        assert url is not None
        return psycopg.connect(url, autocommit=True)


@contextmanager
def installation(*flags: str) -> Iterator[Installation]:
    """Running when entered, gone when left."""
    # PostgreSQL's own system user has to reach the folder when this runs as root.
    folder = Path(tempfile.mkdtemp(prefix="weft-bench-"))
    folder.chmod(0o711)
    made = Installation(folder)
    try:
        made.start(*flags)
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def cores() -> int:
    return len(os.sched_getaffinity(0))
