"""How people read a plan: from its JSON, so that the server and every client print the same."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.pattern import JSON

MOST_CHANGES = 20  # lines about one deployment; `--format json` has them all


def plan_text(plan: JSON) -> str:
    """For a terminal: the summary, a line for each deployment that something happens to, its changes below it."""
    steps = _visible(plan)
    rows = table([(step["name"], _versions(step), _words(step)) for step in steps])
    lines = [plan["summary"]]
    for row, step in zip(rows, steps, strict=True):
        lines += [row, *(f"    {text}" for text in _details(step))]
    return "\n".join(lines)


def plan_markdown(plan: JSON) -> str:
    """For a comment on a pull request."""
    steps = _visible(plan)
    lines = [f"**Weft plan:** {plan['summary']}"]
    if steps:
        lines += ["", "| deployment | version | what |", "|---|---|---|"]
    lines += [f"| `{step['name']}` | {_versions(step)} | {_escaped(_words(step))} |" for step in steps]
    for step in steps:
        details = _details(step)
        if details:
            lines += ["", f"`{step['name']}`", "", *(f"- {_escaped(text)}" for text in details)]
    return "\n".join(lines) + "\n"


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


def _visible(plan: JSON) -> list[JSON]:
    return [step for step in plan["deployments"] if step["action"] != "unchanged"]


def _versions(step: JSON) -> str:
    ends = (step["version"][end] for end in ("from", "to"))
    return " → ".join(dict.fromkeys(version_text(version) for version in ends if version))


def _words(step: JSON) -> str:
    if step["action"] not in ("stalled", "refused") or not step["problems"]:
        return str(step["action"])
    return f"{step['action']}: {step['problems'][0]['message']}"


def _details(step: JSON) -> list[str]:
    texts = [change["text"] for change in step["changes"][:MOST_CHANGES]]
    more = len(step["changes"]) - MOST_CHANGES
    fires = [f"fires at {', '.join(step['nextFireTimes'])}"] if step["nextFireTimes"] else []
    return [*texts, *([f"… and {more} more changes"] if more > 0 else []), *fires]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
