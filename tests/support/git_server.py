"""A Git server as the service runs it, but with a receiver that only looks at refs.

As a program (`python git_server.py ROOT`) it prints its port and serves until its standard input closes.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from served import Served

from reconciler.actor import Actor
from reconciler.gate import refused_refs
from reconciler.git.errors import RefConflictError
from reconciler.git.quarantine import migrate
from reconciler.git.refs import RefUpdate
from reconciler.git.repository import Repository
from reconciler.session import Session
from store import database
from web.auth import Identity, Role
from web.connections import Connection
from web.git.app import GitApp
from web.git.limits import GitLimits

PEOPLE = {
    "token-of-eve": Identity(organisation="default", user="eve", role=Role.EDITOR),
    "token-of-vic": Identity(organisation="default", user="vic", role=Role.VIEWER),
    "token-of-olga": Identity(organisation="other", user="olga", role=Role.ADMIN),
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
        self, organisation: str, updates: Sequence[RefUpdate], *, quarantine: Path | None, pusher: Actor
    ) -> Outcome:
        with self._lock:
            self.pushes.append((pusher.user, list(updates)))
            time.sleep(self.seconds)
            if self.failure is not None:
                raise self.failure
            return Outcome(lines=self.lines, refused=self._taken(organisation, updates, quarantine))

    def _taken(
        self, organisation: str, updates: Sequence[RefUpdate], quarantine: Path | None
    ) -> Mapping[str, str]:
        path = self._root / f"{organisation}.git"
        repository = Repository(path, quarantine=quarantine)
        session = Session(
            organisation=organisation,
            connection=cast(database.Connection, None),  # the rules about refs ask Git alone
            repository=repository,
            refs=repository.refs(),
            default_ref=repository.default_ref(),
        )
        refused = self.forbidden or refused_refs(updates, session, session.refs.get(session.default_ref))
        if refused:
            return {update.ref: refused.get(update.ref, "another ref was refused") for update in updates}
        if quarantine is not None:
            migrate(quarantine, path / "objects")
        try:
            repository.update_refs(updates)
        except RefConflictError as conflict:
            return {update.ref: str(conflict) for update in updates}
        return {}


class Host:
    """A free port, served in a thread of this process; `app` is what it serves at the moment."""

    def __init__(self, folder: Path, *, patience: float = Connection.patience) -> None:
        self.template = Repository.ensure(folder / "template.git").path
        self.app: GitApp | None = None
        self._served = Served(self, patience=patience)
        self._served.start()
        self.port = self._served.port

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)

    def stop(self) -> None:
        self._served.stop()


class GitServer:
    """`GitApp` with an empty repository `default` below `root`."""

    def __init__(self, root: Path, host: Host, *, limits: GitLimits | None = None) -> None:
        self.root = root
        self.port = host.port
        self.repository = root / "default.git"
        shutil.copytree(host.template, self.repository)
        self.receiver = PlainReceiver(root)
        self.app = host.app = GitApp(root, self.receiver, PEOPLE.get, limits=limits)

    def url(self, token: str = "token-of-eve", organisation: str = "default") -> str:
        return f"http://anyone:{token}@127.0.0.1:{self.port}/git/{organisation}.git"

    def quarantines(self) -> list[Path]:
        return list((self.repository / "objects").glob("incoming-*"))

    def close(self) -> None:
        self.app.close()


def main() -> None:
    root = Path(sys.argv[1])
    host = Host(root)
    GitServer(root, host)
    print(host.port, flush=True)
    sys.stdin.read()
    host.stop()


if __name__ == "__main__":
    main()
