"""`shell`: a command with its arguments, as a list that no shell reads."""

from __future__ import annotations

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.formats.limits import called
from runner.scripts.commands import Command, Commands
from schemas.data_rules import LARGEST_OUTPUT
from schemas.pattern import JSON
from schemas.quantities import size_in_bytes


class ShellNode:
    """Takes `{command, env, stdin, files, maxOutput}`, gives `{exitCode, stdout, stderr}`.

    Errors: `bad_command`, `missing_asset` and those of `Commands.run`.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def __call__(self, context: NodeContext, inputs: JSON) -> JSON:
        return self._commands.run(
            _command(context, inputs),
            timeout=context.remaining(),
            cancelled=context.cancelled,
            log=context.log,
        )


def _command(context: NodeContext, inputs: JSON) -> Command:
    files = {path: context.assets.read(path) for path in inputs.get("files", ())}
    name, *arguments = _arguments(inputs["command"])
    # A file in the root of the working folder would be looked for on the PATH.
    return Command(
        arguments=(f"./{name}" if name in files and "/" not in name else name, *arguments),
        environment=_environment(inputs.get("env", {})),
        files=files,
        stdin=None if inputs.get("stdin") is None else _text(inputs["stdin"], '"stdin"', nul=True),
        limit=_limit(inputs.get("maxOutput", "1MiB")),
    )


def _arguments(value: JSON) -> list[str]:
    if not isinstance(value, list) or not value:
        raise _bad(f'"command" must be a list that begins with a program, not {called(value)}')
    arguments = [_text(one, f'item {at} of "command"') for at, one in enumerate(value, start=1)]
    if not arguments[0]:
        raise _bad('item 1 of "command" is empty: there is no program to run')
    return arguments


def _environment(value: JSON) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _bad(f'"env" must be a mapping, not {called(value)}')
    for name in value:
        if not name or "=" in name or "\0" in name:
            raise _bad(f'"env": {name!r:.80} cannot be the name of a variable')
    return {name: _text(one, f'"env": {name}') for name, one in value.items()}


def _text(value: JSON, what: str, *, nul: bool = False) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _bad(f"{what} must be text, not {called(value)}")
    text = str(value)
    if "\0" in text and not nul:
        raise _bad(f"{what} holds a NUL character")
    return text


def _limit(size: str) -> int:
    limit = size_in_bytes(size)
    if limit > LARGEST_OUTPUT:
        raise _bad(f'"maxOutput" is {size}; at most 4MiB are allowed')
    return limit


def _bad(message: str) -> NodeError:
    return NodeError("bad_command", message, retryable=False)
