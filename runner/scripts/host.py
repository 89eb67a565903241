"""One script host, seen from the worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from runner.nodes.base import NodeError
from runner.scripts.channel import Channel, Patience, ProcessLost
from runner.scripts.host_main import MAX_RESULT
from runner.scripts.output import MAX_LINES
from schemas.pattern import JSON

Log = Callable[[str, str], None]

# A message is a result with a few words round it, or a log line.
_MAX_MESSAGE = MAX_RESULT + 64 * 1024


@dataclass(frozen=True, kw_only=True)
class ScriptCall:
    """`function(input)` of the Python text `source`, which tracebacks call `file`. `version` keeps apart."""

    version: str
    file: str
    source: str
    function: str
    input: JSON


class Host:
    """Takes one call at a time. Where `reusable` is False after it, only `close` is left to do."""

    def __init__(self, *, version: str, channel: Channel) -> None:
        self.version = version
        self.reusable = True
        self.idle_since = 0.0
        self._channel = channel
        self._modules: dict[tuple[str, str], int] = {}

    def alive(self) -> bool:
        """Whether the process waits for a call."""
        return self._channel.silent()

    def call(self, call: ScriptCall, patience: Patience, log: Log) -> JSON:
        """What the function returned. Raises NodeError as `ScriptHosts.call` does."""
        self.reusable = False
        try:
            return self._answer(call, patience, log)
        except ProcessLost as lost:
            what = f"the script's process ended before its function returned: {lost}"
            raise NodeError("script_crashed", what) from lost

    def close(self) -> None:
        """End the process with all that it started."""
        self._channel.close()

    def _answer(self, call: ScriptCall, patience: Patience, log: Log) -> JSON:
        self._channel.send(self._request(call), patience)
        for _ in range(MAX_LINES + 2):
            message = self._channel.receive(patience, _MAX_MESSAGE)
            if "log" not in message:
                return self._outcome(message, call)
            log(message["log"], message["text"])
        raise ProcessLost("the script wrote to the channel of its own process")

    def _request(self, call: ScriptCall) -> bytes:
        request = {"function": call.function, "input": call.input}
        key = (call.file, call.source)
        if key not in self._modules:
            self._modules[key] = len(self._modules)
            request |= {"file": call.file, "source": call.source}
        request["module"] = self._modules[key]
        return orjson.dumps(request)

    def _outcome(self, message: dict[str, JSON], call: ScriptCall) -> JSON:
        error = message.get("error") or {}
        self.reusable = not message["left"] and not error.get("memory")
        if error.get("memory"):
            raise NodeError(
                "script_error", error["message"], hint="the script needs more memory than its process may use"
            )
        if error:
            raise NodeError("script_error", error["message"], retryable=not error.get("final"))
        return _checked(message["result"], call)


def _checked(value: JSON, call: ScriptCall) -> JSON:
    """Refuse what only Python calls JSON: integers past 64 bits, lone surrogates, extreme depth."""
    try:
        orjson.dumps(value)
    except TypeError as error:
        problem = f"{call.function} returned something that is not JSON: {error}"
        raise NodeError("script_error", problem, retryable=False) from error
    return value
