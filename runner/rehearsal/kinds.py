"""The node kinds that a test runs as they are: those that stay within the run, and scripts."""

from __future__ import annotations

from runner.nodes.base import NodeHandler
from runner.nodes.inside import INSIDE
from runner.nodes.script import ScriptNode
from runner.scripts.hosts import ScriptHosts


class RehearsedKinds:
    """`handlers` by the word in `uses`. All others are in no test, and so need not be imported for one."""

    def __init__(self) -> None:
        self._hosts = ScriptHosts()
        self.handlers: dict[str, NodeHandler] = {**INSIDE, "script": ScriptNode(self._hosts)}

    def close(self) -> None:
        self._hosts.close()
