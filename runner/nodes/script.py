"""`script`: a function of a Python file of the version, or of Python written in the pattern."""

from __future__ import annotations

from runner.nodes.base import NodeContext, NodeError
from runner.scripts.hosts import ScriptCall, ScriptHosts
from schemas.pattern import JSON


class ScriptNode:
    """Takes `{file | code, function = "main", input = null}`, gives what the function returns.

    Errors: `script_error`, `script_crashed`, `timeout`, `cancelled`.
    """

    def __init__(self, hosts: ScriptHosts) -> None:
        self._hosts = hosts

    def __call__(self, context: NodeContext, inputs: JSON) -> JSON:
        file, source = _source(context, inputs)
        call = ScriptCall(
            version=context.version_id,
            file=file,
            source=source,
            function=inputs.get("function", "main"),
            input=inputs.get("input"),
        )
        return self._hosts.call(
            call, timeout=context.remaining(), cancelled=context.cancelled, log=context.log
        )


def _source(context: NodeContext, inputs: JSON) -> tuple[str, str]:
    """The name of the Python text in tracebacks, and the text."""
    if "code" in inputs:
        return f"<code of {context.path}>", inputs["code"]
    file = inputs["file"]
    try:
        return file, context.assets.read(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NodeError(
            "script_error", f"{file} is not UTF-8 text: {error}", hint="save it as UTF-8", retryable=False
        ) from error
