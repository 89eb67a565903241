"""Changes under review: branches that were pushed, what merging them would do, and what people say of that."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reconciler.git.commits import Commit
from reconciler.required_tests import Tried
from reconciler.reviews.changes import Change, State
from reconciler.reviews.desk import ReviewDesk, Wish
from reconciler.steps import problem_json
from schemas.pattern import JSON
from store.changes import Approval
from web.api.acting import done_json
from web.api.encoding import rfc3339
from web.api.query import DEFAULT_LIMIT, Parser, limit, one_of, wrong
from web.api.refusals import doing
from web.api.resource import Call
from web.api.values import message

ALL = "all"
LONGEST_NAME = 1000  # characters
MOST_COMMITS = 250  # of one change that are listed; its authors are those of all


def branch(text: str) -> str:
    """Of a name that was a page's last, whether it is still there or not."""
    if not 1 <= len(text) <= LONGEST_NAME or "\0" in text:
        raise ValueError("it takes the name of a branch")
    return text


LIST_QUERY: Mapping[str, Parser] = {"state": one_of([*State, ALL]), "cursor": branch, "limit": limit}
BODY = ("head", "message")


class Changes:
    def __init__(self, desk: ReviewDesk) -> None:
        self._desk = desk

    def list(self, call: Call) -> JSON:
        asked = call.query["state"] or State.OPEN
        state = None if asked == ALL else State(asked)
        most = call.query["limit"] or DEFAULT_LIMIT
        organisation, after = call.identity.organisation, call.query["cursor"]
        with doing():
            found, following = self._desk.list(organisation, state, after, most)
        return {"items": [_brief_json(change) for change in found], "next": following}

    def one(self, call: Call) -> JSON:
        with doing():
            return _change_json(self._desk.one(call.identity.organisation, call.path["branch"]))

    def approve(self, call: Call) -> JSON:
        with doing():
            return _brief_json(self._desk.approve(call.identity.organisation, _wish(call)))

    def close(self, call: Call) -> JSON:
        with doing():
            return _brief_json(self._desk.close(call.identity.organisation, _wish(call)))

    def merge(self, call: Call) -> JSON:
        with doing():
            return done_json(self._desk.merge(call.identity.organisation, _wish(call)))


def _wish(call: Call) -> Wish:
    branch, actor = call.path["branch"], call.identity.actor
    return Wish(branch=branch, actor=actor, head=_head(call.body), message=message(call.body))


def _head(body: Mapping[str, JSON]) -> str | None:
    value = body.get("head")
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{7,40}", value):
        raise wrong("values", [{"path": "head", "message": "it takes a commit id of 7 to 40 hex digits"}])
    return value


def _brief_json(change: Change) -> dict[str, JSON]:
    return {
        "branch": change.branch,
        "state": str(change.state),
        "head": change.head.id,
        "subject": change.head.message,
        "authors": list(change.authors.names),
        "updatedAt": rfc3339(change.updated_at),
        "approved": len(change.counting),
        "required": change.rules.approvals,
    }


def _change_json(change: Change) -> dict[str, JSON]:
    outlook = change.outlook
    plan = outlook.plan if outlook else None
    commits = change.authors.commits
    return {
        **_brief_json(change),
        "base": change.base,
        "target": change.target,
        "commits": [_commit_json(commit) for commit in commits[:MOST_COMMITS]],
        "moreCommits": max(0, len(commits) - MOST_COMMITS),
        "approvals": [_approval_json(change, approval) for approval in change.approvals],
        "mergeable": not change.reasons,
        "reasons": list(change.reasons),
        "problems": [problem_json(problem) for problem in change.problems],
        "checks": _checks_json(outlook.tried if outlook else None),
        "plan": plan.visible_as_json() if plan else None,
        "diff": outlook.patch.text if outlook else "",
        "diffTruncated": outlook.patch.is_cut if outlook else False,
    }


def _checks_json(tried: Tried | None) -> list[JSON]:
    """What the project requires to pass before it is merged, beside the gate itself."""
    if tried is None:
        return []
    return [
        {
            "name": "tests",
            "passed": not tried.problems,
            "summary": tried.text,
            "tests": tried.tests,
            "cases": tried.cases,
        }
    ]


def _commit_json(commit: Commit) -> dict[str, JSON]:
    return {"id": commit.id, "author": commit.author, "subject": commit.message, "at": rfc3339(commit.at)}


def _approval_json(change: Change, approval: Approval) -> dict[str, JSON]:
    why = change.discounted(approval)
    return {
        "user": approval.user,
        "at": rfc3339(approval.at),
        "head": approval.head,
        "message": approval.message,
        "counts": why is None,
        "why": why,
    }
