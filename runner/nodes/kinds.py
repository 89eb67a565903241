"""The node kinds that a worker knows."""

from __future__ import annotations

from runner.nodes import light
from runner.nodes.base import NodeHandler
from runner.nodes.http import HttpNode
from runner.nodes.script import ScriptNode
from runner.scripts.hosts import ScriptHosts


class Kinds:
    """`handlers` by the word in `uses`. Make it after forking: its handlers own connections and processes."""

    def __init__(self) -> None:
        self._hosts = ScriptHosts()
        self._http = HttpNode()
        self.handlers: dict[str, NodeHandler] = {
            "log": light.log,
            "fail": light.fail,
            "stop": light.stop,
            "http": self._http,
            "script": ScriptNode(self._hosts),
        }

    def close(self) -> None:
        self._hosts.close()
        self._http.close()
