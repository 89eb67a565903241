"""Commands of other programs, each in a process of its own that watches over it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from runner.nodes.base import Cancelled, NodeError
from runner.scripts.channel import Channel, Patience, ProcessLost, signal_name
from runner.scripts.host import Log
from runner.scripts.output import MAX_LINES
from runner.scripts.zygote import Zygotes
from schemas.pattern import JSON

_TAIL = 2_000  # characters of the standard error that an error's message has
_LONGEST_ESCAPE = 6  # bytes that JSON needs for one, at most: \u0000


@dataclass(frozen=True, kw_only=True)
class Command:
    """`arguments` begin with the program. `files`: content by path within the working folder, executable.

    `environment` comes on top of PATH, LANG, HOME and TMPDIR. `limit`: bytes of standard output.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, bytes]
    stdin: str | None
    limit: int


class Commands:
    """Runs commands, for any number of threads."""

    def __init__(self, zygotes: Zygotes) -> None:
        self._zygotes = zygotes

    def run(self, command: Command, *, timeout: float, cancelled: Cancelled, log: Log) -> JSON:
        """`{exitCode, stdout, stderr}`. When this returns or raises, nothing of the command goes on for long:
        the process that watched over it ends, and with it all that the command started, within moments.

        Raises NodeError: `shell_exit`, `shell_not_found`, `shell_output`, `shell_crashed`, `no_process`,
        `timeout`, `cancelled`.
        """
        name = command.arguments[0]
        patience = Patience.start("the command", f"{name} did not end", timeout, cancelled)
        patience.slice()
        channel = self._zygotes.fork("shell")
        try:
            return _result(command, _answer(channel, command, patience, log))
        except ProcessLost as lost:
            raise NodeError("shell_crashed", f"the process that watches over {name} ended: {lost}") from lost
        finally:
            channel.close()


def _answer(channel: Channel, command: Command, patience: Patience, log: Log) -> dict[str, JSON]:
    channel.send(_request(command), patience)
    most = 2 * command.limit * _LONGEST_ESCAPE + 64 * 1024
    for _ in range(MAX_LINES + 2):
        message = channel.receive(patience, most)
        if "log" not in message:
            return message
        log(message["log"], message["text"])
    raise ProcessLost("the command wrote to the channel of its own process")


def _request(command: Command) -> bytes:
    return orjson.dumps(
        {
            "command": command.arguments,
            "env": command.environment,
            "files": {path: base64.b64encode(content).decode() for path, content in command.files.items()},
            "stdin": command.stdin,
            "limit": command.limit,
        }
    )


def _result(command: Command, answer: dict[str, JSON]) -> JSON:
    name = command.arguments[0]
    if "refused" in answer:
        raise _refused(name, answer)
    if answer["flood"]:
        message = f"{name} wrote more than {command.limit:,} bytes to its standard output"
        raise NodeError("shell_output", message, hint="raise `maxOutput` (at most 4MiB), or write less")
    code, stderr = answer["exit"], answer["stderr"]
    if code != 0:
        how = f"ended with exit code {code}" if code > 0 else f"was killed by {signal_name(-code)}"
        said = stderr.strip()[-_TAIL:]
        raise NodeError("shell_exit", f"{name} {how}{f': {said}' if said else ''}")
    return {"exitCode": code, "stdout": answer["stdout"], "stderr": stderr}


def _refused(name: str, answer: dict[str, JSON]) -> NodeError:
    if answer["missing"] and "/" in name:
        message = f"there is no {name}, or not the program that its first line (#!) names"
    elif answer["missing"]:
        message = f"there is no command {name} on the PATH"
    else:
        message = f"{name} cannot be executed: {answer['refused']}"
    return NodeError("shell_not_found", message, retryable=False)
