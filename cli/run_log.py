"""A run's log, node by node: whole, or as it comes."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from cli.client import Server
from cli.printing import moment, short, styled, took, version
from schemas.pattern import JSON

LOOK = 0.25
"""Seconds between two looks at a run that goes on."""

SETTLED = ("completed", "failed", "skipped", "cancelled")
LONGEST = 2000  # characters of one line where no terminal limits it


def header(run: JSON) -> Text:
    parts: list[str | Text] = [
        Text(run["pattern"], style="bold"),
        f" {version(run['version'])}  {run['id']}  ",
        styled(run["status"]),
    ]
    if run["durationMs"] is not None:
        parts.append(f" after {took(run['durationMs'])}")
    return Text.assemble(*parts)


def about(run: JSON) -> Iterator[str]:
    """Where it comes from."""
    by = f" by {run['actor']}" if run["actor"] else ""
    yield f"{run['trigger']}{by} at {moment(run['createdAt'])}, {run['deployment']} ({run['environment']})"
    if run["replayOf"]:
        yield f"once more what was run {run['replayOf']}"
    if run["parentId"]:
        yield f"called by run {run['parentId']}"
    if run["attempt"] > 1:
        yield f"attempt {run['attempt']}"


def taken_lines(run: JSON, width: int) -> Iterator[Text]:
    """What the run was given: the body of a webhook call, or its input."""
    given = run["input"] if run["input"] is not None else run["triggerData"].get("body")
    if given is not None:
        yield Text("  ← " + short(given, width - 4), style="dim")


def node_lines(node: JSON, width: int) -> Iterator[Text]:
    """One node: what it is and how it went, what it logged, what it gave or why it failed."""
    depth = "  " * node["path"].count("/")
    took_ = took(node["durationMs"]) if node["status"] in SETTLED else ""
    tries = f"  attempt {node['attempt']}" if node["attempt"] > 1 else ""
    named = f"  {node['name']}" if node["name"] != node["id"] else ""
    yield Text.assemble(
        f"  {depth}",
        Text(node["path"].rsplit("/", 1)[-1], style="bold"),
        f"  {node['uses'] or ''}{named}  ",
        styled(node["status"]),
        f"  {took_}{tries}",
    )
    indent = f"      {depth}"
    room = max(width - len(indent), 20)
    for line in node["log"]:
        level = line.get("level", "info")
        yield Text(f"{indent}{level}  {short(line.get('message', ''), room - len(level) - 2)}", style="dim")
    if node["childRunId"]:
        yield Text(f"{indent}run {node['childRunId']}")
    if node["error"]:
        yield from error_lines(node["error"], indent, room)
    elif node.get("secret"):
        yield Text(f"{indent}→ (secret)", style="dim")
    elif node["output"] is not None:
        yield Text(indent + "→ " + short(node["output"], room - 2))


def error_lines(error: JSON, indent: str, room: int) -> Iterator[Text]:
    for at, line in enumerate(str(error.get("message", "")).splitlines() or [""]):
        text = f"{error.get('type', 'error')}: {line}" if at == 0 else line
        yield Text(indent + short(text, room), style="red")
    if error.get("hint"):
        yield Text(f"{indent}hint: {error['hint']}", style="yellow")


def print_log(console: Console, run: JSON) -> None:
    """Everything that is known of a run now."""
    width = _width(console)
    console.print(header(run), soft_wrap=True)
    for line in about(run):
        console.print(Text(f"  {line}"), soft_wrap=True)
    for taken in taken_lines(run, width):
        console.print(taken, soft_wrap=True)
    for node in run["nodes"]:
        _print_node(console, node, width)
    _print_end(console, run, width)


def follow(console: Console, server: Server, id_: str) -> JSON:
    """Prints a run's nodes as they come to their ends, until the run does. Gives the ended run."""
    printed: set[tuple[int, str]] = set()
    attempt, introduced = 1, False
    while True:
        run = server.get("runs", id_, attempt=attempt)
        if not introduced:
            console.print(header(run), soft_wrap=True)
            introduced = True
        for node in run["nodes"]:
            if node["status"] in SETTLED and (attempt, node["path"]) not in printed:
                printed.add((attempt, node["path"]))
                _print_node(console, node, _width(console))
        if run["attempt"] > attempt:
            attempt += 1
            console.print(f"  attempt {attempt}")
        elif run["endedAt"]:
            _print_end(console, run, _width(console))
            console.print(header(run), soft_wrap=True)
            return run
        else:
            time.sleep(LOOK)


def wait_for_end(server: Server, id_: str) -> JSON:
    """The run once it has ended."""
    while not (run := server.get("runs", id_))["endedAt"]:
        time.sleep(LOOK)
    return run


def _print_node(console: Console, node: JSON, width: int) -> None:
    for line in node_lines(node, width):
        console.print(line, soft_wrap=True)


def _print_end(console: Console, run: JSON, width: int) -> None:
    """What the whole run gave, or why it ended, when no node has said it."""
    said = any(
        node["error"] and run["error"] and node["path"] == run["error"].get("node") for node in run["nodes"]
    )
    if run["error"] and not said:
        for line in error_lines(run["error"], "  ", width - 2):
            console.print(line, soft_wrap=True)
    if run.get("secret") and run["endedAt"]:
        console.print(Text("  = (secret)", style="dim"))
    elif run["output"] is not None:
        console.print(Text("  = " + short(run["output"], width - 4)), soft_wrap=True)


def _width(console: Console) -> int:
    return min(console.width, LONGEST)
