"""A Git server as the service runs it, but with a receiver that accepts what Git itself would accept.

As a program (`python git_server.py ROOT`) it prints its port and serves until its standard input closes.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from reconciler.quarantine import migrate
from reconciler.repository import RefConflict, RefUpdate, Repository
from web.git.app import GitApp
from web.git.limits import GitLimits


@dataclass(frozen=True, kw_only=True)
class Person:
    user: str
    role: str
    organisation: str = "default"


PEOPLE = {
    "token-of-eve": Person(user="eve", role="editor"),
    "token-of-vic": Person(user="vic", role="viewer"),
    "token-of-olga": Person(user="olga", role="admin", organisation="other"),
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    lines: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


class PlainReceiver:
    """Moves objects and refs with real Git, one push at a time; keeps what it was asked."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self.pushes: list[tuple[str, list[RefUpdate]]] = []
        self.lines: tuple[str, ...] = ("hello from weft",)
        self.forbidden: dict[str, str] = {}
        self.seconds = 0.0
        self.failure: Exception | None = None

    def push(
        self, organisation: str, updates: Sequence[RefUpdate], *, quarantine: Path | None, pusher: str
    ) -> Outcome:
        with self._lock:
            self.pushes.append((pusher, list(updates)))
            time.sleep(self.seconds)
            if self.failure is not None:
                raise self.failure
            refused = {
                update.ref: self.forbidden[update.ref] for update in updates if update.ref in self.forbidden
            }
            if not refused:
                refused = self._move(organisation, updates, quarantine)
            return Outcome(lines=self.lines, refused=refused)

    def _move(
        self, organisation: str, updates: Sequence[RefUpdate], quarantine: Path | None
    ) -> dict[str, str]:
        repository = Repository(self._root / f"{organisation}.git")
        if quarantine is not None:
            migrate(quarantine, repository.path / "objects")
        try:
            repository.update_refs(updates)
        except RefConflict as conflict:
            return {update.ref: f"fetch first ({conflict})" for update in updates}
        return {}


class GitServer:
    """`GitApp` under uvicorn on a free port, in a thread of this process."""

    def __init__(self, root: Path, *, limits: GitLimits | None = None) -> None:
        self.root = root
        self.repository = Repository.ensure(root / "default.git").path
        self.receiver = PlainReceiver(root)
        self.app = GitApp(root, self.receiver, PEOPLE.get, limits=limits)
        config = uvicorn.Config(self.app, port=0, log_level="error", lifespan="off", loop="uvloop", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self.port = 0

    def start(self) -> None:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self.app.close()

    def url(self, token: str = "token-of-eve", organisation: str = "default") -> str:
        return f"http://anyone:{token}@127.0.0.1:{self.port}/git/{organisation}.git"

    def quarantines(self) -> list[Path]:
        return list((self.repository / "objects").glob("incoming-*"))


def main() -> None:
    server = GitServer(Path(sys.argv[1]))
    server.start()
    print(server.port, flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
