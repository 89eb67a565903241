"""`weft changes`, `weft change`, `weft approve`, `weft merge`, `weft close`: branches under review."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.text import Text

from cli.acting import act, said
from cli.client import open_server
from cli.options import Data, Json
from cli.printing import columns, facts, make_console, moment, print_json, problem_line, styled
from reconciler.plan_text import plan_text
from schemas.pattern import JSON

MOST = 10_000
MOST_COMMITS = 10  # of a change that are shown

Branch = Annotated[str, typer.Argument(help="As `weft changes` lists it.")]
Message = Annotated[str | None, typer.Option("--message", "-m", help="Why.", show_default=False)]
Head = Annotated[
    str | None,
    typer.Option(metavar="COMMIT", help="Only while the branch is at this commit.", show_default=False),
]


def register(app: typer.Typer) -> None:
    for command in (changes, change, approve, merge, close):
        app.command()(command)


def changes(
    all_: Annotated[bool, typer.Option("--all", help="Merged and closed ones, too.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the branches that wait to be reviewed and merged.

    Example: weft changes
    """
    with open_server(data) as server:
        found = list(server.items("changes", most=MOST, state="all" if all_ else None))
    if as_json:
        print_json(found)
    elif not found:
        make_console().print("No change is open: push a branch to propose one.")
    else:
        headers = ("BRANCH", "STATE", "APPROVALS", "HEAD", "PUSHED", "BY", "SUBJECT")
        make_console().print(columns(headers, map(_row, found), cut=("BRANCH", "BY", "SUBJECT")))


def _row(found: JSON) -> tuple[str | Text, ...]:
    by = ", ".join(found["authors"])
    pushed = moment(found["updatedAt"])
    return (
        found["branch"],
        styled(found["state"]),
        _count(found),
        found["head"][:10],
        pushed,
        by,
        found["subject"],
    )


def _count(found: JSON) -> str:
    return f"{found['approved']} of {found['required']}" if found["required"] else str(found["approved"])


def change(
    branch: Branch,
    diff: Annotated[bool, typer.Option("--diff", help="Show what the files change, too.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show one change: what merging it would do to what is live, who approved it, and what is missing.

    Example: weft change alice/my-change --diff
    """
    with open_server(data) as server:
        found = server.get("changes", branch)
    if as_json:
        print_json(found)
        return
    console = make_console()
    console.print(facts(_facts(found)))
    for problem in found["problems"]:
        typer.echo(problem_line(problem))
    if found["plan"] is not None:
        typer.echo()
        typer.echo(plan_text(found["plan"]))
    if diff and found["diff"]:
        typer.echo()
        typer.echo(_harmless(found["diff"]).rstrip("\n"))
        if found["diffTruncated"]:
            typer.echo(f"… and more: git diff {found['base'][:10]}...{found['head'][:10]}")


def _facts(found: JSON) -> Iterator[tuple[str, str | Text]]:
    yield "Change", Text.assemble(found["branch"], ", ", styled(found["state"]))
    yield "Head", f"{found['head'][:10]}, pushed {moment(found['updatedAt'])}"
    if found["authors"]:  # of what the default branch has long had, there are none
        yield "By", ", ".join(found["authors"])
    for commit in found["commits"][:MOST_COMMITS]:
        yield "Commit", f"{commit['id'][:10]} {commit['subject']}"
    more = len(found["commits"]) + found["moreCommits"] - MOST_COMMITS
    if more > 0:
        yield "", f"and {more} more"
    for check in found["checks"]:
        style = "green" if check["passed"] else "red"
        yield check["name"].capitalize(), Text(check["summary"], style=style)
    yield "Approvals", _count(found)
    for approval in found["approvals"]:
        yield "", _approval(approval)
    if found["mergeable"]:
        yield "Merge", f"weft merge {found['branch']}"
    for reason in found["reasons"]:
        yield "Missing" if found["state"] == "open" else "State", Text(reason, style="yellow")


def _approval(approval: JSON) -> str:
    said = f": {approval['message']}" if approval["message"] else ""
    why = "" if approval["counts"] else f" (does not count: {approval['why']})"
    return f"{approval['user']} {moment(approval['at'])}{said}{why}"


def _harmless(text: str) -> str:
    """What a file holds must not drive the terminal."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def approve(
    branch: Branch, message: Message = None, head: Head = None, data: Data = None, as_json: Json = False
) -> None:
    """Approve a change as it is now: its head, and its plan.

    Example: weft approve alice/my-change
    """
    with open_server(data) as server:
        found = server.post("changes", branch, "approve", body=_body(message, head))
    if as_json:
        print_json(found)
        return
    typer.echo(f"{branch} is approved at {found['head'][:10]}; approvals: {_count(found)}")
    if found["approved"] >= found["required"]:
        typer.echo(f"merge it: weft merge {branch}")


def merge(
    branch: Branch, message: Message = None, head: Head = None, data: Data = None, as_json: Json = False
) -> None:
    """Merge a change into the default branch: what its plan says is live.

    Example: weft merge alice/my-change
    """
    act(("changes", branch, "merge"), _body(message, head), data, as_json=as_json)


def close(
    branch: Branch, message: Message = None, head: Head = None, data: Data = None, as_json: Json = False
) -> None:
    """Close a change without merging it. The branch stays; a push to it opens it again.

    Example: weft close alice/my-change -m 'solved otherwise'
    """
    with open_server(data) as server:
        found = server.post("changes", branch, "close", body=_body(message, head))
    if as_json:
        print_json(found)
        return
    typer.echo(f"{branch} is closed at {found['head'][:10]}; a push to it opens it again")


def _body(message: str | None, head: str | None) -> dict[str, JSON]:
    return said(message) | ({} if head is None else {"head": head})
