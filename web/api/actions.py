"""What people do to deployments: each request is a commit or a moved tag in the user's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol
from urllib.parse import urlsplit

from reconciler.actions import (
    Action,
    ActionRefusedError,
    Clone,
    Deploy,
    Promote,
    RollBack,
    SetState,
    Undeploy,
    Why,
)
from reconciler.authoring import Author, Request
from reconciler.reconciler import Done, RepositoryLostError
from reconciler.snapshot import TooManyDocumentsError
from schemas.deployment import State
from schemas.pattern import JSON
from web.api.query import is_label, revision, wrong
from web.api.resource import Call, Work
from web.problems import Kind, Refusal

LONGEST_MESSAGE = 10_000  # characters
MOST = 2_147_483_647

PROMOTE_BODY = ("version", "tag", "fromEnvironment", "follow", "message")
ROLLBACK_BODY = ("to", "revert", "message")
STATE_BODY = ("message",)
SETTINGS = ("environment", "source", "state", "variables", "schedules", "retry", "timeout")
DEPLOY_BODY = ("pattern", "name", *SETTINGS, "message")
CLONE_BODY = ("name", "message")

KINDS = {
    Why.UNKNOWN: Kind.NOT_FOUND,
    Why.CONFLICT: Kind.CONFLICT,
    Why.INVALID: Kind.GATE,
    Why.FORBIDDEN: Kind.FORBIDDEN,
}


class Actor(Protocol):
    """The reconciler, as far as actions need it."""

    def act(self, organisation: str, request: Request) -> Done: ...


class Actions:
    def __init__(self, reconciler: Actor, public_url: str) -> None:
        self._reconciler = reconciler
        self._host = urlsplit(public_url).hostname or "localhost"

    def promote(self, call: Call) -> JSON:
        return self._do(call, _promotion(call.body))

    def roll_back(self, call: Call) -> JSON:
        to = _number(call.body, "to") if "to" in call.body else None
        return self._do(call, RollBack(to=to, revert=_flag(call.body, "revert")))

    def set_state(self, state: State) -> Work:
        return lambda call: self._do(call, SetState(state=state))

    def undeploy(self, call: Call) -> JSON:
        return self._do(call, Undeploy())

    def deploy(self, call: Call) -> JSON:
        pattern = _text(call.body, "pattern", _label)
        name = _text(call.body, "name", _label) if "name" in call.body else pattern
        settings = {key: call.body[key] for key in SETTINGS if key in call.body}
        return self._do(call, Deploy(pattern=pattern, settings=settings), name)

    def clone(self, call: Call) -> JSON:
        return self._do(call, Clone(pattern=call.path["name"]), _text(call.body, "name", _label))

    def _do(self, call: Call, action: Action, name: str | None = None) -> JSON:
        user, admin = call.identity.user, call.identity.actor.admin
        request = Request(
            name=name or call.path["name"],
            action=action,
            author=Author(name=user, email=f"{user}@{self._host}", admin=admin),
            message=message(call.body),
        )
        try:
            done = self._reconciler.act(call.identity.organisation, request)
        except ActionRefusedError as refused:
            raise Refusal(KINDS[refused.why], str(refused)) from None
        except TooManyDocumentsError as error:
            raise Refusal(Kind.GATE, error.reason.message) from None
        except RepositoryLostError as error:
            raise Refusal(Kind.UNAVAILABLE, str(error)) from None
        # What stays as it is may be thousands of deployments.
        plan = replace(done.plan, looked_at=done.plan.visible, settled=())
        return {"commit": done.commit, "ref": done.ref, "plan": plan.as_json()}


def _promotion(body: JSON) -> Promote:
    ways = [key for key in PROMOTE_BODY if key in body and key != "message"]
    if len(ways) != 1:
        choices = ", ".join(PROMOTE_BODY[:-1])
        found = "both" if len(ways) == 2 else "none" if not ways else "all of them"
        raise wrong(
            "keys of the body", [{"path": "", "message": f"exactly one of {choices} is needed, not {found}"}]
        )
    match ways[0]:
        case "version":
            return Promote(version=_number(body, "version"))
        case "tag":
            return Promote(tag=_text(body, "tag", revision))
        case "fromEnvironment":
            return Promote(environment=_text(body, "fromEnvironment", _label))
        case _:
            return Promote(branch=_text(body, "follow", revision))


def _number(body: JSON, key: str) -> int:
    value = body[key]
    if type(value) is not int or not 1 <= value <= MOST:
        raise wrong("values", [{"path": key, "message": "it takes the number of a version, such as 3"}])
    return value


def _flag(body: JSON, key: str) -> bool:
    value = body.get(key, False)
    if not isinstance(value, bool):
        raise wrong("values", [{"path": key, "message": "it takes true or false"}])
    return value


def _text(body: JSON, key: str, parse: Callable[[str], str]) -> str:
    value = body.get(key)
    try:
        return parse(value if isinstance(value, str) else "")
    except ValueError as error:
        raise wrong("values", [{"path": key, "message": str(error)}]) from None


def _label(text: str) -> str:
    if not is_label(text):
        raise ValueError("it takes a name: lower-case letters, digits and hyphens, at most 63")
    return text


def message(body: Mapping[str, JSON]) -> str:
    """What a body has to say in a commit. Raises Refusal."""
    value = body.get("message", "")
    if not isinstance(value, str) or len(value) > LONGEST_MESSAGE or "\0" in value:
        said = f"it takes a text of at most {LONGEST_MESSAGE:,} characters"
        raise wrong("values", [{"path": "message", "message": said}])
    return value
