"""A Weft of its own for a measurement: `weft up` in a temporary folder, patterns pushed by real `git`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from cli.embedded import postgres, valkey
from store.database import Connection

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


def script_pattern(name: str, file: str, inputs: Sequence[int]) -> str:
    """A list of `script` nodes that call `main` of `file`, one for each of `inputs`."""
    nodes = (
        f"- {{id: n{at:02}, uses: script, with: {{file: {file}, input: {given}}}}}"
        for at, given in enumerate(inputs)
    )
    listed = "\n    ".join(nodes)
    return f"""\
apiVersion: weft/v1
kind: Pattern
metadata: {{name: {name}}}
spec:
  on: {{webhook: {{}}}}
  nodes:
    {listed}
"""


@dataclass(frozen=True, kw_only=True)
class Push:
    """What `git push` took, in seconds, and what it printed."""

    seconds: float
    said: str

    @property
    def server_seconds(self) -> float:
        """The server's own time, as the pusher reads it: `live in 24 ms`."""
        found = re.search(r"live in (\d+) ms", self.said)
        assert found is not None, self.said
        return int(found[1]) / 1000


class Installation:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.work = folder / "work"
        self.process: subprocess.Popen[bytes] | None = None
        self.started_in = 0.0
        """Seconds that the last start took, until ready."""

    def start(self, *flags: str) -> None:
        """Start and wait until ready."""
        began = time.perf_counter()
        command = [sys.executable, "-m", "cli", "up", "--data", str(self.data), "--port", "0", *flags]
        # Whatever is set for another installation is not for this one.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        while not self._ready():
            if self.process.poll() is not None or time.perf_counter() - began > 60:
                raise RuntimeError((self.folder / "log").read_text()[-4000:])
            time.sleep(0.005)
        self.started_in = time.perf_counter() - began

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

    def push(self, files: Mapping[str, str], message: str = "change") -> Push:
        """Commit and push `files`."""
        if not self.work.exists():
            self.git("init", "-q", "-b", "main", str(self.work), at=self.folder)
            self.git("remote", "add", "origin", "nowhere")
        for path, text in files.items():
            target = self.work / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        # Again each time: the port is another one after a restart.
        address = self.url.replace("://", f"://bench:{self.token}@") + "/git/default.git"
        self.git("remote", "set-url", "origin", address)
        began = time.perf_counter()
        said = self.git("push", "-q", "origin", "main")
        return Push(seconds=time.perf_counter() - began, said=said)

    def deploy(self, name: str, text: str, **assets: str) -> str:
        """Push a pattern, its deployment, its scripts (`name=text`). Gives the webhook's URL."""
        scripts = {f"scripts/{file}.py": source for file, source in assets.items()}
        self.push({f"patterns/{name}.yaml": text, f"deployments/{name}.yaml": deployment(name), **scripts})
        return self.webhook(name)

    def webhook(self, name: str) -> str:
        return str(self.get(f"/api/v1/deployments/{name}")["webhookUrl"])

    def git(self, *arguments: str, at: Path | None = None) -> str:
        """What the command printed for people."""
        done = subprocess.run(
            ["git", *AUTHOR, *arguments], cwd=at or self.work, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"git {arguments[0]}: {done.stderr}")
        return done.stderr

    def get(self, path: str) -> Any:
        answer = httpx.get(self.url + path, headers={"authorization": f"Bearer {self.token}"}, timeout=30)
        return answer.raise_for_status().json()

    def database(self) -> Connection:
        url = postgres.running_url(self.data)
        assert url is not None
        return psycopg.connect(url, autocommit=True)

    @property
    def broker_url(self) -> str:
        url = valkey.running_url(self.data)
        assert url is not None
        return url

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


def settle(connection: Connection) -> None:
    """Wait until every run has ended."""
    while connection.execute("SELECT 1 FROM runs WHERE ended_at IS NULL LIMIT 1").fetchone():
        time.sleep(0.002)


@contextmanager
def installation(*flags: str) -> Iterator[Installation]:
    """Running when entered, gone when left, also when we are asked to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
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
