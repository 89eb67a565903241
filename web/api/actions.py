"""What people do to deployments: each request is a commit or a moved tag in the user's name."""

from __future__ import annotations

from reconciler.actions.requests import Action, Clone, Deploy, Promote, RollBack, SetState, Undeploy
from schemas.deployment import State
from schemas.pattern import JSON
from store import circuits
from store.database import Database
from web.api.acting import Acting, done_json
from web.api.deployments import no_deployment
from web.api.query import is_label, revision, wrong
from web.api.resource import Call, Work
from web.api.values import flag, label, message, number, text

PROMOTE_BODY = ("version", "tag", "fromEnvironment", "follow", "message")
ROLLBACK_BODY = ("to", "revert", "message")
STATE_BODY = ("message",)
SETTINGS = (
    "environment",
    "source",
    "state",
    "variables",
    "schedules",
    "retry",
    "timeout",
    "concurrency",
    "circuitBreaker",
)
DEPLOY_BODY = ("pattern", "name", *SETTINGS, "message")
CLONE_BODY = ("name", "message")


class Actions:
    def __init__(self, acting: Acting, database: Database) -> None:
        self._acting = acting
        self._database = database

    def promote(self, call: Call) -> JSON:
        return self._do(call, _promotion(call.body))

    def roll_back(self, call: Call) -> JSON:
        to = number(call.body, "to") if "to" in call.body else None
        return self._do(call, RollBack(to=to, revert=flag(call.body, "revert")))

    def set_state(self, state: State) -> Work:
        return lambda call: self._do(call, SetState(state=state))

    def resume(self, call: Call) -> JSON:
        """Of one that is active and has an open circuit: closes it, which is no commit."""
        message(call.body)
        name = call.path["name"]
        if not is_label(name):
            raise no_deployment(name)
        with self._database.connection() as connection:
            closed = circuits.close_named(connection, call.identity.organisation, name)
        if closed:
            return {"commit": None, "ref": None, "plan": None, "circuit": "closed"}
        return self._do(call, SetState(state=State.ACTIVE))

    def undeploy(self, call: Call) -> JSON:
        return self._do(call, Undeploy())

    def deploy(self, call: Call) -> JSON:
        pattern = text(call.body, "pattern", label)
        name = text(call.body, "name", label) if "name" in call.body else pattern
        settings = {key: call.body[key] for key in SETTINGS if key in call.body}
        return self._do(call, Deploy(pattern=pattern, settings=settings), name)

    def clone(self, call: Call) -> JSON:
        return self._do(call, Clone(pattern=call.path["name"]), text(call.body, "name", label))

    def _do(self, call: Call, action: Action, name: str | None = None) -> JSON:
        said = message(call.body)
        return done_json(self._acting.do(call, action, name or call.path["name"], said))


def _promotion(body: JSON) -> Promote:
    ways = [key for key in PROMOTE_BODY if key in body and key != "message"]
    if len(ways) != 1:
        choices = ", ".join(PROMOTE_BODY[:-1])
        found = "both" if len(ways) == 2 else f"{len(ways)} of them" if ways else "none"
        raise wrong(
            "keys of the body", [{"path": "", "message": f"exactly one of {choices} is needed, not {found}"}]
        )
    match ways[0]:
        case "version":
            return Promote(version=number(body, "version"))
        case "tag":
            return Promote(tag=text(body, "tag", revision))
        case "fromEnvironment":
            return Promote(environment=text(body, "fromEnvironment", label))
        case _:
            return Promote(branch=text(body, "follow", revision))
