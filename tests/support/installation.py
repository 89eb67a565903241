"""A `weft up` of the test's own: started, pushed to, called, looked into, and killed in every way."""

from __future__ import annotations

import http.client
import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis
from eventually import eventually
from weft_command import WEFT, environment

from cli.embedded import postgres, valkey

AUTHOR = ("-c", "user.name=ada", "-c", "user.email=ada@weft.example")
ENDED = ("completed", "failed", "timeout", "cancelled", "dead_letter")


def pattern(name: str, nodes: str, **spec: Any) -> str:
    """A Pattern as a file; `nodes` is the YAML list below `nodes:`, `spec` what stands beside it."""
    spec = {"on": {"webhook": {}}} | spec
    beside = "".join(f"  {key}: {json.dumps(value)}\n" for key, value in spec.items())
    listed = "".join(f"    {line}\n" for line in nodes.strip("\n").splitlines())
    head = f"apiVersion: weft/v1\nkind: Pattern\nmetadata: {{name: {name}}}\nspec:\n"
    return f"{head}{beside}  nodes:\n{listed}"


def deployment(name: str, **spec: Any) -> str:
    spec = {"pattern": name} | spec
    head = "apiVersion: weft/v1\nkind: Deployment\n"
    return f"{head}metadata: {{name: {name}}}\nspec: {json.dumps(spec)}\n"


def live(name: str, nodes: str, **spec: Any) -> dict[str, str]:
    """The two files that make a pattern and its deployment."""
    files = {f"patterns/{name}.yaml": pattern(name, nodes, **spec)}
    return files | {f"deployments/{name}.yaml": deployment(name)}


class Installation:
    """`folder` holds the data folder, a Git work tree and the log."""

    def __init__(self, folder: Path, *flags: str, **environ: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.work = folder / "work"
        self.flags = flags
        self.environ = environ
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, largest_file: int = resource.RLIM_INFINITY) -> None:
        """Returns once it is ready. `largest_file`: bytes beyond which no file of it can grow."""
        command = [*WEFT, "up", "--data", str(self.data), "--port", "0", *self.flags]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=environment(**self.environ),
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: _limit_files(largest_file),
            )
        eventually(self._ready, seconds=60, otherwise=self.log)

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"weft up ended:\n{self.log()}"
        with suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/readyz")[0] == 200
        return False

    def log(self) -> str:
        """The end of what it wrote to standard error."""
        return (self.folder / "log").read_text()[-6000:]

    def events(self) -> list[dict[str, Any]]:
        lines = (self.folder / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def stop(self, seconds: float = 40.0) -> int:
        """SIGTERM. Gives the exit code; fails when it does not end in time."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill_everything(self) -> None:
        """The supervisor and all that it started, at once, as when the machine goes."""
        assert self.process is not None
        family = self.family()
        for pid in [self.process.pid, *family]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        eventually(lambda: not any(_lives(pid) for pid in family), seconds=20)

    def family(self) -> list[int]:
        """All processes below the supervisor, parents first."""
        assert self.process is not None
        found, rest = [], [self.process.pid]
        while rest:
            children = _children(rest.pop())
            found += children
            rest += children
        return found

    def named(self, name: str) -> list[int]:
        """All processes below the supervisor of that name, such as PostgreSQL's many."""
        return [pid for pid in self.family() if _name(pid) == name]

    def pids(self, name: str) -> list[int]:
        """The supervisor's own children by name: `weft-web`, `weft-worker`, `postgres`, `valkey-server`."""
        assert self.process is not None
        return [pid for pid in _children(self.process.pid) if _name(pid) == name]

    @property
    def address(self) -> str:
        """host:port"""
        return urlsplit((self.data / "url").read_text().strip()).netloc

    @property
    def token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    def request(self, method: str, path: str, body: Any = None, *, seconds: float = 60.0) -> tuple[int, Any]:
        """One request as the admin. Gives the status and the parsed body."""
        connection = http.client.HTTPConnection(self.address, timeout=seconds)
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text.decode()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        status, body = self.request("GET", path)
        assert status == 200, (path, status, body)
        return body

    def hook(self, name: str) -> str:
        """The path of a deployment's webhook."""
        return urlsplit(self.get(f"/api/v1/deployments/{name}")["webhookUrl"]).path

    def push(self, files: Mapping[str, str | None], message: str = "change") -> str:
        """Commit and push; None deletes a file. Gives the commit."""
        if not self.work.exists():
            self.git("init", "-q", "-b", "main", str(self.work), at=self.folder)
        for path, text in files.items():
            target = self.work / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                target.unlink()
            else:
                target.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.push_head()

    def push_head(self) -> str:
        self.git("push", "-q", f"http://ada:{self.token}@{self.address}/git/default.git", "main")
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str, at: Path | None = None) -> str:
        command = ["git", *AUTHOR, *arguments]
        done = subprocess.run(command, cwd=at or self.work, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def database(self) -> psycopg.Connection[Any]:
        url = postgres.running_url(self.data)
        assert url is not None, "PostgreSQL does not run"
        return psycopg.connect(url, autocommit=True)

    def broker(self) -> redis.Redis:
        url = valkey.running_url(self.data)
        assert url is not None, "the broker does not run"
        return redis.Redis.from_url(url)

    def rows(self, sql: str, arguments: Any = None) -> list[tuple[Any, ...]]:
        with self.database() as connection:
            return connection.execute(sql.encode(), arguments).fetchall()

    def statuses(self) -> dict[str, str]:
        """Run id → status, of all runs."""
        return dict(self.rows("SELECT id::text, status FROM runs"))

    def await_ends(self, runs: set[str] | None = None, *, seconds: float = 60.0) -> dict[str, str]:
        """Waits until `runs` (all there are) have ended. Gives run id → status of all."""

        def unfinished() -> list[str]:
            known = self.statuses()
            wanted = known.keys() if runs is None else runs
            return [run for run in wanted if known.get(run) not in ENDED]

        eventually(
            lambda: not unfinished(), seconds=seconds, pause=0.1, otherwise=lambda: self.about(unfinished())
        )
        return self.statuses()

    def about(self, runs: list[str]) -> str:
        """What a failed test should say of these runs."""
        columns = "id::text, status, lease, worker, crashes, attempt, due_at - now(), now() - created_at"
        some = self.rows(f"SELECT {columns} FROM runs WHERE id = ANY(%s::uuid[])", [runs[:10]])
        return f"{len(runs)} runs: {some}\n{self.log()}"


@contextmanager
def installation(*flags: str, **environ: str) -> Iterator[Installation]:
    """Running when entered; gone when left, whatever happened to it."""
    folder = Path(tempfile.mkdtemp(prefix="weft-tests-"))
    folder.chmod(0o711)
    made = Installation(folder, *flags, **environ)
    try:
        made.start()
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.kill_everything()
        shutil.rmtree(folder, ignore_errors=True)


def _limit_files(size: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _lives(pid: int) -> bool:
    """Whether it still runs; a zombie does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
