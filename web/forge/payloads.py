"""What an event says, as far as Weft acts on it: pure. Nothing of it is believed but that something happened.

The pull request itself is asked for at the forge: events come late, twice, and in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs

import orjson

from reconciler.forges.address import ForgeKind
from schemas.pattern import JSON

MOST_NUMBER = 2_147_483_647
FORM = "application/x-www-form-urlencoded"
EVENT_HEADERS = {
    ForgeKind.GITHUB: ("x-github-event",),
    ForgeKind.GITLAB: ("x-gitlab-event",),
    ForgeKind.GITEA: ("x-forgejo-event", "x-gitea-event"),
}
PINGS = frozenset({"ping"})
PUSHES = frozenset({"push", "Push Hook", "Tag Push Hook"})
PULL_REQUESTS = frozenset({"pull_request", "pull_request_sync", "Merge Request Hook"})

# After which a pull request's plan may be another one, or nobody's business any more.
_TELLING = frozenset(
    {"opened", "reopened", "synchronize", "synchronized", "ready_for_review", "closed"}
    | {"open", "reopen", "merge", "close"}
)


class PayloadError(Exception):
    """It cannot be read: the message says what is wrong with it."""


class Happened(StrEnum):
    PING = "ping"
    PUSH = "push"
    PULL_REQUEST = "pull_request"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Event:
    """`name` is the forge's own, with its action; `repository` owner/name; `number` that of a pull request."""

    happened: Happened
    name: str
    repository: str | None = None
    number: int | None = None


def read_event(kind: ForgeKind, headers: Mapping[str, str], body: bytes) -> Event:
    """`headers` are in lower case. Raises PayloadError."""
    name = next((headers[key] for key in EVENT_HEADERS[kind] if key in headers), None)
    if name is None:
        raise PayloadError(f"The header {EVENT_HEADERS[kind][-1]} is missing: it says what happened.")
    payload = _payload(headers.get("content-type", ""), body)
    repository = _repository(kind, payload)
    if name in PUSHES:
        return Event(happened=Happened.PUSH, name=name, repository=repository)
    if name in PULL_REQUESTS:
        return _pull_request(kind, name, payload, repository)
    happened = Happened.PING if name in PINGS else Happened.OTHER
    return Event(happened=happened, name=name, repository=repository)


def _payload(content_type: str, body: bytes) -> Mapping[str, JSON]:
    """GitHub and Gitea can also send it as the field `payload` of a form."""
    try:
        if content_type.partition(";")[0].strip().lower() == FORM:
            fields = parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)
            body = fields["payload"][0].encode()
        value = orjson.loads(body)
    except (ValueError, KeyError):
        raise PayloadError("The body is not JSON: let the forge send application/json.") from None
    if not isinstance(value, dict):
        raise PayloadError("The body is not a JSON object.")
    return value


def _repository(kind: ForgeKind, payload: Mapping[str, JSON]) -> str | None:
    """Of a merge request it is the one that it goes to."""
    found = (
        _at(payload, "project", "path_with_namespace")
        if kind is ForgeKind.GITLAB
        else _at(payload, "repository", "full_name")
    )
    return found if isinstance(found, str) else None


def _pull_request(kind: ForgeKind, name: str, payload: Mapping[str, JSON], repository: str | None) -> Event:
    gitlab = kind is ForgeKind.GITLAB
    number = _at(payload, "object_attributes", "iid") if gitlab else payload.get("number")
    action = _at(payload, "object_attributes", "action") if gitlab else payload.get("action")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= MOST_NUMBER:
        raise PayloadError("The event has no number of a pull request.")
    told = f"{name} {action}" if isinstance(action, str) else name
    happened = Happened.PULL_REQUEST if _tells(gitlab, action, payload) else Happened.OTHER
    return Event(happened=happened, name=told, repository=repository, number=number)


def _tells(gitlab: bool, action: JSON, payload: Mapping[str, JSON]) -> bool:
    changes = payload.get("changes")
    changed = changes.keys() if isinstance(changes, Mapping) else set()
    if gitlab and action == "update":
        return bool(_at(payload, "object_attributes", "oldrev")) or bool({"target_branch", "draft"} & changed)
    if action == "edited":
        # GitHub tells the base's change under `base`, Gitea under `ref`; older ones of Gitea tell nothing.
        return bool({"base", "ref"} & changed) or not changed
    return action is None or action in _TELLING


def _at(value: JSON, *path: str) -> JSON:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
