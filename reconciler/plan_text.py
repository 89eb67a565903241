"""How people read a plan: from its JSON, so that the server and every client print the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from schemas.pattern import JSON

MOST_CHANGES: Final = 20  # lines about one deployment; `--format json` has them all
MOST_NAMES: Final = 10  # patterns or deployments in one line
LONGEST_COMMENT: Final = 60_000  # characters; GitHub takes 65,536
SCHEDULES: Final = ("on.schedule.", "deployment.schedules.")
WORDS: Final = {
    "create": "created",
    "change": "changed",
    "unchanged": "unchanged",
    "undeploy": "undeployed",
    "stalled": "stalled",
    "refused": "refused",
}
"""What happens to a deployment, by action."""


def plan_text(plan: JSON) -> str:
    """For a terminal: the summary, a line for each deployment that something happens to, its changes below it."""
    steps = _visible(plan)
    rows = table([(step["name"], _versions(step), _verdict(step)) for step in steps])
    lines = [_headline(plan)]
    for row, step in zip(rows, steps, strict=True):
        lines += [row, *(f"    {text}" for text in _details(step))]
    return "\n".join([*lines, *connection_lines(plan), *warning_lines(plan)])


def plan_markdown(plan: JSON) -> str:
    """For a comment on a review: a table, then the details. Whatever somebody wrote stands in code blocks."""
    steps = _visible(plan)
    lines = [f"**Weft plan:** {_headline(plan)}"]
    if steps:
        lines += ["", "| deployment | version | what |", "|---|---|---|"]
    lines += [f"| `{step['name']}` | {_versions(step)} | {WORDS[step['action']]} |" for step in steps]
    lines += [f"- `{line}`" for line in (*connection_lines(plan), *warning_lines(plan))]
    size = sum(map(len, lines))
    for number, step in enumerate(steps):
        block = _block(step)
        size += sum(map(len, block))
        if size > LONGEST_COMMENT:
            left = f"… and the details of {len(steps) - number} more; `weft plan` shows them all."
            return "\n".join([*lines, "", left]) + "\n"
        lines += block
    return "\n".join(lines) + "\n"


def connection_lines(plan: JSON) -> list[str]:
    """One for each change of a connection. A plan of an older server tells of none."""
    texts = [_line(change["text"]) for change in plan.get("connections", ())]
    more = len(texts) - MOST_CHANGES
    return [*texts[:MOST_CHANGES], *([f"… and {more} more changes of connections"] if more > 0 else [])]


def warning_lines(plan: JSON) -> list[str]:
    """One for each secret that is needed and not there. A plan of an older server tells of none."""
    lines = [
        f"warning: {_line(one['message'])}, which {_some(one['neededBy'])} {_needs(one['neededBy'])}: {one['hint']}"
        for one in plan.get("warnings", ())
    ]
    more = len(lines) - MOST_CHANGES
    return [*lines[:MOST_CHANGES], *([f"… and {more} more secrets that are not there"] if more > 0 else [])]


def _needs(users: list[str]) -> str:
    return "needs" if len(users) == 1 else "need"


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Lines with aligned columns, two spaces between them, none at the end."""
    cells = list(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def version_text(version: JSON) -> str:
    """`v3`; content that the default branch has not held goes by the beginning of its id."""
    return f"v{version['number']}" if version["number"] else str(version["id"])[:10]


def _headline(plan: JSON) -> str:
    merged = f" (merged into {plan['base'][:10]})" if plan.get("merge") else ""
    return f"{plan['summary']}{merged}"


def _visible(plan: JSON) -> list[JSON]:
    return [step for step in plan["deployments"] if step["action"] != "unchanged"]


def _versions(step: JSON) -> str:
    ends = (step["version"][end] for end in ("from", "to"))
    return " → ".join(dict.fromkeys(version_text(version) for version in ends if version))


def _verdict(step: JSON) -> str:
    reasons = [_line(problem["message"]) for problem in step["problems"][:1]]
    return ": ".join([WORDS[step["action"]], *(reasons if _is_bad(step) else [])])


def _is_bad(step: JSON) -> bool:
    return step["action"] in ("stalled", "refused")


def _block(step: JSON) -> list[str]:
    """Fenced by more backticks than any line has in a row, so that nothing in them ends it."""
    reasons = [_line(problem["message"]) for problem in step["problems"][:1]] if _is_bad(step) else []
    details = [*reasons, *_details(step)]
    if not details:
        return []
    longest = max((len(run) for line in details for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return ["", f"**`{step['name']}`**", "", f"{fence}text", *details, fence]


def _details(step: JSON) -> list[str]:
    texts = [_line(change["text"]) for change in step["changes"][:MOST_CHANGES]]
    more = len(step["changes"]) - MOST_CHANGES
    return [*texts, *([f"… and {more} more changes"] if more > 0 else []), *_callers(step), *_fires(step)]


def _callers(step: JSON) -> list[str]:
    listed = step.get("callers", [])
    if not listed:
        return []
    names = [f"{caller['pattern']} ({_moved(caller['deployments'])})" for caller in listed]
    return [f"callers that change with it: {_some(names)}"]


def _moved(deployments: list[str]) -> str:
    if not deployments:
        return "nothing live"
    return f"{'deployment' if len(deployments) == 1 else 'deployments'} {_some(deployments)}"


def _some(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join([*names[:MOST_NAMES], *([f"{more} more"] if more > 0 else [])])


def _fires(step: JSON) -> list[str]:
    """Said once: a schedule that changes says it in its own line, on its own clock."""
    told = any(
        change["path"].startswith(SCHEDULES) and ", next " in change["text"] for change in step["changes"]
    )
    if told or not step["nextFireTimes"]:
        return []
    return [f"next runs by schedule: {', '.join(map(_instant, step['nextFireTimes']))} UTC"]


def _instant(text: str) -> str:
    return text.replace("T", " ").removesuffix("Z").split(".")[0].removesuffix(":00")


def _line(text: str) -> str:
    """One line without control characters, whatever a message quotes."""
    return "".join(char if char.isprintable() else " " for char in text)
