"""A run's log, node by node."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from cli.printing import moment, short, styled, took, version
from schemas.pattern import JSON

SETTLED = ("completed", "failed", "skipped", "cancelled")
LONGEST = 2000  # characters of one line where no terminal limits it


def header(run: JSON) -> Text:
    parts: list[str | Text] = [
        Text(run["pattern"], style="bold"),
        f" {version(run['version'])}  {run['id']}  ",
        "test  " if run["mode"] == "test" else "",
        styled(run["status"]),
    ]
    if run["durationMs"] is not None:
        parts.append(f" after {took(run['durationMs'])}")
    return Text.assemble(*parts)


def about(run: JSON, attempt: int | None = None) -> Iterator[str]:
    """Where it comes from, and which of its attempts is shown."""
    by = f" by {run['actor']}" if run["actor"] else ""
    what = "a test run" if run["mode"] == "test" else run["deployment"]
    yield f"{run['trigger']}{by} at {moment(run['createdAt'])}, {what} ({run['environment']})"
    if run["replayOf"]:
        start = "" if run["replayFrom"] in (None, "start") else f", from {run['replayFrom']}"
        yield f"once more what was run {run['replayOf']}{start}"
    if run["parentId"]:
        yield f"called by run {run['parentId']}"
    if attempt is not None:
        yield f"attempt {attempt} of {run['attempt']}"
    elif run["attempt"] > 1:
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
    if node.get("waitsFor"):
        yield Text(f"{indent}waits for {short(waits_for(node['waitsFor']), room - 10)}", style="yellow")
    if node.get("wakesAt"):
        what = "tries again at" if node["error"] else "until"
        yield Text(f"{indent}{what} {node['wakesAt']}", style="yellow")
    if node.get("secrets"):
        yield Text(f"{indent}secrets: {', '.join(node['secrets'])}", style="dim")
    if node["childRunId"]:
        yield Text(f"{indent}run {node['childRunId']}")
    if node["error"]:
        yield from error_lines(node["error"], indent, room)
    elif node.get("secret"):
        yield Text(f"{indent}→ (secret)", style="dim")
    elif node.get("outputTooLong"):
        yield Text(f"{indent}→ ({node['outputTooLong']:,} characters)", style="dim")
    elif node.get("outputSize"):
        yield Text(f"{indent}→ {kept_apart(node)}", style="dim")
    elif node["output"] is not None:
        yield Text(indent + "→ " + short(node["output"], room - 2))


def waits_for(asked: JSON) -> str:
    """What a `wait` or `approve` node waits for, in words."""
    if "event" in asked:
        return f"the event {asked['event']}: weft post RUN {asked['event']}"
    given = f", {', '.join(asked['approvedBy'])} approved" if asked.get("approvedBy") else ""
    count = f"{asked['count']} approvals" if asked.get("count", 1) > 1 else "an approval"
    who = f" of {', '.join(asked['approvers'])}" if asked.get("approvers") else ""
    return f"{count}{who}{given}: {asked.get('message') or ''} (weft answer RUN yes)"


def error_lines(error: JSON, indent: str, room: int) -> Iterator[Text]:
    for at, line in enumerate(str(error.get("message", "")).splitlines() or [""]):
        text = f"{error.get('type', 'error')}: {line}" if at == 0 else line
        yield Text(indent + short(text, room), style="red")
    if error.get("hint"):
        yield Text(f"{indent}hint: {error['hint']}", style="yellow")


_TURN = re.compile(r"([^~\[]+)((?:~\d+)?(?:\[\d+\])?)")


def tree_lines(nodes: Sequence[JSON], width: int) -> Iterator[Text]:
    """The nodes in the order in which they began, each followed by what is in it: item by item, round by round."""
    inside: dict[str, dict[str, list[JSON]]] = {}
    for node in nodes:
        around, turn = _around(node["path"])
        inside.setdefault(around, {}).setdefault(turn, []).append(node)
    yield from _branch_lines("", inside, width)


def _branch_lines(path: str, inside: Mapping[str, Mapping[str, list[JSON]]], width: int) -> Iterator[Text]:
    for turn, nodes in inside.get(path, {}).items():
        if turn:
            depth = "  " * (path.count("/") + 1)
            yield Text(f"  {depth}{turn}", style="dim")
        for node in nodes:
            yield from node_lines(node, width)
            yield from _branch_lines(node["path"], inside, width)


def _around(path: str) -> tuple[str, str]:
    """The path of the container that a node is in, and which attempt, item or round of it: `each`, `[3]`."""
    before, slash, _ = path.rpartition("/")
    if not slash:
        return "", ""
    above, slash, last = before.rpartition("/")
    found = _TURN.fullmatch(last)
    assert found is not None, path
    return f"{above}{slash}{found[1]}", found[2]


def print_log(console: Console, run: JSON, attempt: int | None = None) -> None:
    """Everything that is known of a run now; its nodes are those of `attempt`, else of the latest."""
    width = width_of(console)
    console.print(header(run), soft_wrap=True)
    for line in about(run, attempt):
        console.print(Text(f"  {line}"), soft_wrap=True)
    for taken in taken_lines(run, width):
        console.print(taken, soft_wrap=True)
    for text in tree_lines(run["nodes"], width):
        console.print(text, soft_wrap=True)
    said = any(
        node["error"] and run["error"] and node["path"] == run["error"].get("node") for node in run["nodes"]
    )
    for text in end_lines(run, width, said=said):
        console.print(text, soft_wrap=True)


def end_lines(run: JSON, width: int, *, said: bool) -> Iterator[Text]:
    """What the whole run gave, or why it ended. `said`: a node has told that."""
    if run["error"] and not said:
        yield from error_lines(run["error"], "  ", width - 2)
    if run.get("secret") and run["endedAt"]:
        yield Text("  = (secret)", style="dim")
    elif run["output"] is not None:
        yield Text("  = " + short(run["output"], width - 4))
    elif run.get("outputTooLong"):
        yield Text(f"  = ({run['outputTooLong']:,} characters)", style="dim")
    elif run.get("outputSize"):
        yield Text(f"  = {kept_apart(run)}", style="dim")


def kept_apart(one: JSON) -> str:
    """An output that is too large to be shown with its run: how large, and where it is."""
    return f"({one['outputSize']:,} bytes: GET {one['outputUrl']})"


def width_of(console: Console) -> int:
    """Columns of a line."""
    return min(console.width, LONGEST)
