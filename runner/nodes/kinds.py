"""The node kinds that a worker knows."""

from __future__ import annotations

from pathlib import Path

from runner.nodes.base import NodeHandler
from runner.nodes.email import EmailNode
from runner.nodes.http import HttpNode
from runner.nodes.inside import INSIDE
from runner.nodes.late import Late
from runner.nodes.script import ScriptNode
from runner.nodes.shell import ShellNode
from runner.scripts.commands import Commands
from runner.scripts.hosts import ScriptHosts


class Kinds:
    """`handlers` by the word in `uses`. Make it after forking: its handlers own connections and processes.

    `databases` is the folder of the databases that are files; None: this worker has none.
    """

    def __init__(self, databases: Path | None = None) -> None:
        self._hosts = ScriptHosts()
        self._http = HttpNode()
        self._sql = Late("runner.nodes.sql", "SqlNode", databases)  # SQLAlchemy
        self._email = EmailNode()
        self.handlers: dict[str, NodeHandler] = {
            **INSIDE,
            "http": self._http,
            "sql": self._sql,
            "email": self._email,
            "script": ScriptNode(self._hosts),
            "shell": ShellNode(Commands(self._hosts.zygotes)),
        }

    def close(self) -> None:
        self._hosts.close()
        self._http.close()
        self._sql.close()
        self._email.close()
