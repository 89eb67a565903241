"""The node kinds that a worker knows."""

from __future__ import annotations

from pathlib import Path

from runner.nodes.base import NodeHandler
from runner.nodes.email import EmailNode
from runner.nodes.found import Probe
from runner.nodes.http import HttpNode
from runner.nodes.inside import INSIDE
from runner.nodes.late import Late
from runner.nodes.probe import ProbeNode
from runner.nodes.redis import RedisNode
from runner.nodes.s3 import S3Node
from runner.nodes.script import ScriptNode
from runner.nodes.shell import ShellNode
from runner.nodes.turns import InTurn, Turns
from runner.scripts.commands import Commands
from runner.scripts.hosts import ScriptHosts
from schemas.connection import DATABASES, ConnectionType


class Kinds:
    """`handlers` by the word in `uses`. Make it after forking: its handlers own connections and processes.

    `databases` is the folder of the databases that are files; None: this worker has none. `turns` are those at
    connections with a limit; None: nobody else uses them.
    """

    def __init__(self, databases: Path | None = None, turns: Turns | None = None) -> None:
        self._hosts = ScriptHosts()
        self._http = HttpNode()
        self._sql = Late("runner.nodes.sql", "SqlNode", databases)  # SQLAlchemy
        self._email = EmailNode()
        self._redis = RedisNode()
        self._s3 = S3Node()
        connected: dict[str, NodeHandler] = {
            "http": self._http,
            "sql": self._sql,
            "email": self._email,
            "redis": self._redis,
            "s3": self._s3,
            "probe": ProbeNode(self._probes()),
        }
        if turns is not None:
            connected = {kind: InTurn(handler, turns) for kind, handler in connected.items()}
        self.handlers: dict[str, NodeHandler] = {
            **INSIDE,
            **connected,
            "script": ScriptNode(self._hosts),
            "shell": ShellNode(Commands(self._hosts.zygotes)),
        }

    def _probes(self) -> dict[str, Probe]:
        return {
            **dict.fromkeys(DATABASES, self._sql.probe),
            ConnectionType.HTTP: self._http.probe,
            ConnectionType.SMTP: self._email.probe,
            ConnectionType.REDIS: self._redis.probe,
            ConnectionType.S3: self._s3.probe,
        }

    def forget(self) -> None:
        """A commit was applied: what is kept open may not be wanted any more."""
        self._redis.forget()

    def close(self) -> None:
        self._hosts.close()
        self._http.close()
        self._sql.close()
        self._email.close()
        self._redis.close()
        self._s3.close()
