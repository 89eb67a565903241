"""The API's paths, and what answers there."""

from __future__ import annotations

from collections.abc import Callable

from starlette.routing import Route

from reconciler.reconciler import Reconciler
from schemas.deployment import State
from store.blobs import Blobs
from store.database import Database
from store.secrets import SecretBook
from web.api.acting import Acting
from web.api.actions import (
    CLONE_BODY,
    DEPLOY_BODY,
    PROMOTE_BODY,
    ROLLBACK_BODY,
    STATE_BODY,
    Actions,
)
from web.api.backfills import BODY as BACKFILL_BODY
from web.api.backfills import LIST_QUERY as BACKFILLS_QUERY
from web.api.backfills import Backfills
from web.api.changes import BODY as CHANGE_BODY
from web.api.changes import LIST_QUERY as CHANGES_QUERY
from web.api.changes import Changes
from web.api.connections import TEST_BODY as CONNECTION_BODY
from web.api.connections import Connections
from web.api.deliveries import LIST_QUERY as DELIVERIES_QUERY
from web.api.deliveries import Deliveries
from web.api.deployments import LIST_QUERY as DEPLOYMENTS_QUERY
from web.api.deployments import REVISIONS_QUERY, Deployments
from web.api.files import READ_QUERY, REMOVE_QUERY, SAVE_BODY, Files
from web.api.letters import DISCARD_MANY_BODY, RETRY_BODY, RETRY_MANY_BODY, Letters
from web.api.letters import LIST_QUERY as LETTERS_QUERY
from web.api.live.events import QUERY as EVENTS_QUERY
from web.api.live.events import Events
from web.api.live.feeds import Feeds
from web.api.moves import LIST_QUERY as MOVES_QUERY
from web.api.moves import Moves
from web.api.outputs import QUERY as OUTPUT_QUERY
from web.api.outputs import Outputs
from web.api.patterns import DIFF_QUERY, VERSIONS_QUERY, Patterns
from web.api.patterns import LIST_QUERY as PATTERNS_QUERY
from web.api.plans import PLAN_QUERY, Plans
from web.api.posting import BODY as POST_BODY
from web.api.posting import Posting
from web.api.pulls import LIST_QUERY as PULLS_QUERY
from web.api.pulls import Pulls
from web.api.query import wait
from web.api.repeating import Repeating
from web.api.resource import Endpoint, Resource, acts, administers, answers, commits, reads, tries
from web.api.runs import LIST_QUERY as RUNS_QUERY
from web.api.runs import ONE_QUERY, Runs
from web.api.secret_uses import LIST_QUERY as SECRET_USES_QUERY
from web.api.secret_uses import SecretUses
from web.api.secrets import DELETE_QUERY as SECRET_DELETE_QUERY
from web.api.secrets import LIST_QUERY as SECRETS_QUERY
from web.api.secrets import PUT_BODY as SECRET_BODY
from web.api.secrets import Secrets
from web.api.slots import LIST_QUERY as SLOTS_QUERY
from web.api.slots import Slots
from web.api.starting import Ring, Starting
from web.api.templates import CREATE_BODY, USE_BODY, Templates
from web.api.templates import LIST_QUERY as TEMPLATES_QUERY
from web.api.testing import BODY as TEST_BODY
from web.api.testing import MOST_SENT, Testing
from web.api.tokens import LIST_QUERY as TOKENS_QUERY
from web.api.tokens import NEW_BODY, Tokens
from web.api.upstream import Upstream
from web.auth import Authenticator, Role
from web.contents import Contents

PREFIX = "/api/v1"


class Api:
    """Everything below `/api`, for somebody with a token."""

    def __init__(
        self,
        *,
        database: Database,
        authenticator: Authenticator,
        reconciler: Reconciler,
        contents: Contents,
        ring: Ring,
        blobs: Callable[[], Blobs],
        secrets: SecretBook,
        public_url: str,
    ) -> None:
        """`blobs` opens where large outputs are kept."""
        self._authenticator = authenticator
        self._deployments = Deployments(database, contents, public_url)
        self._slots = Slots(database, contents)
        self._backfills = Backfills(database, contents)
        self._patterns = Patterns(database)
        self._runs = Runs(database, contents)
        self.feeds = Feeds(database, contents)
        self._events = Events(database, self.feeds)
        self._starting = Starting(database, contents, self._runs, ring)
        self._repeating = Repeating(database, contents, self._runs, ring)
        self._testing = Testing(database, reconciler, contents, self._runs, ring)
        self._deliveries = Deliveries(database, contents, self._runs, ring)
        self._connections = Connections(database, self._runs, ring)
        self._letters = Letters(database, self._repeating, self._runs, ring)
        self._posting = Posting(database, ring)
        self._outputs = Outputs(database, contents, blobs)
        self._plans = Plans(reconciler)
        acting = Acting(reconciler)
        self._actions = Actions(acting, database)
        self._files = Files(reconciler, acting)
        self._changes = Changes(reconciler.changes)
        self._templates = Templates(reconciler, acting)
        self._moves = Moves(database)
        self._upstream = Upstream(database)
        self._pulls = Pulls(database)
        self._tokens = Tokens(database, authenticator)
        self._secrets = Secrets(secrets)
        self._secret_uses = SecretUses(database)

    def leave(self) -> None:
        """No more requests come: end the answers that would go on. In any thread."""
        self.feeds.stop()
        self._starting.leave()

    @property
    def routes(self) -> list[Route]:
        return [
            *self._deployment_routes(),
            *self._schedule_routes(),
            *self._action_routes(),
            *self._pattern_routes(),
            *self._template_routes(),
            *self._run_routes(),
            *self._delivery_routes(),
            *self._letter_routes(),
            *self._connection_routes(),
            self._route("/plan", get=reads(self._plans.plan, PLAN_QUERY)),
            *self._change_routes(),
            self._file_route(),
            self._route("/refs/moves", get=reads(self._moves.list, MOVES_QUERY)),
            self._route("/upstream", get=reads(self._upstream.state)),
            self._route("/pull-requests", get=reads(self._pulls.list, PULLS_QUERY)),
            *self._token_routes(),
            *self._secret_routes(),
            Route("/api", Resource(self._authenticator)),
            Route("/api/{path:path}", Resource(self._authenticator)),
        ]

    def _deployment_routes(self) -> list[Route]:
        start = Endpoint(
            role=Role.OPERATOR, handle=self._starting.start, query={"wait": wait}, body=("input", "trigger")
        )
        return [
            self._route(
                "/deployments",
                get=reads(self._deployments.list, DEPLOYMENTS_QUERY),
                post=commits(self._actions.deploy, body=DEPLOY_BODY),
            ),
            self._route("/deployments/{name}", get=reads(self._deployments.one)),
            self._route(
                "/deployments/{name}/revisions", get=reads(self._deployments.revisions, REVISIONS_QUERY)
            ),
            self._route("/deployments/{name}/runs", post=start),
            self._route("/deployments/{name}/deliveries", get=reads(self._deliveries.list, DELIVERIES_QUERY)),
        ]

    def _delivery_routes(self) -> list[Route]:
        return [
            self._route("/deliveries/{id}", get=reads(self._deliveries.one)),
            self._route("/deliveries/{id}/replay", post=acts(self._deliveries.replay)),
        ]

    def _schedule_routes(self) -> list[Route]:
        backfills = self._backfills
        create = Endpoint(role=Role.OPERATOR, handle=backfills.create, body=BACKFILL_BODY)
        place = "/deployments/{name}/backfills"
        return [
            self._route("/deployments/{name}/slots", get=reads(self._slots.list, SLOTS_QUERY)),
            self._route(place, get=reads(backfills.list, BACKFILLS_QUERY), post=create),
            self._route(f"{place}/{{id}}", get=reads(backfills.one)),
            self._route(f"{place}/{{id}}/cancel", post=acts(backfills.cancel, status=200)),
        ]

    def _action_routes(self) -> list[Route]:
        actions = self._actions
        works = {
            "promote": commits(actions.promote, body=PROMOTE_BODY),
            "rollback": commits(actions.roll_back, body=ROLLBACK_BODY),
            "pause": commits(actions.set_state(State.PAUSED), body=STATE_BODY),
            "resume": commits(actions.resume, body=STATE_BODY),
            "archive": commits(actions.set_state(State.ARCHIVED), body=STATE_BODY),
            "undeploy": commits(actions.undeploy, body=STATE_BODY),
        }
        return [self._route(f"/deployments/{{name}}/{word}", post=work) for word, work in works.items()]

    def _pattern_routes(self) -> list[Route]:
        return [
            self._route("/patterns", get=reads(self._patterns.list, PATTERNS_QUERY)),
            self._route("/patterns/{name}/clone", post=commits(self._actions.clone, body=CLONE_BODY)),
            self._route("/patterns/{name}/versions", get=reads(self._patterns.versions, VERSIONS_QUERY)),
            self._route("/patterns/{name}/versions/{number}", get=reads(self._patterns.version)),
            self._route(
                "/patterns/{name}/test", post=tries(self._testing.test, body=TEST_BODY, most=MOST_SENT)
            ),
            self._route("/patterns/{name}/diff", get=reads(self._patterns.diff, DIFF_QUERY)),
        ]

    def _template_routes(self) -> list[Route]:
        templates = self._templates
        return [
            self._route("/patterns/{name}/template", post=commits(templates.create, body=CREATE_BODY)),
            self._route("/templates", get=reads(templates.listed, TEMPLATES_QUERY)),
            self._route("/templates/{name}", get=reads(templates.one)),
            self._route("/templates/{name}/use", post=commits(templates.use, body=USE_BODY)),
        ]

    def _file_route(self) -> Route:
        return self._route(
            "/files/{path:path}",
            get=reads(self._files.read, READ_QUERY),
            put=commits(self._files.save, body=SAVE_BODY),
            delete=commits(self._files.remove, query=REMOVE_QUERY, body=None),
        )

    def _run_routes(self) -> list[Route]:
        retry = tries(self._repeating.retry, body=RETRY_BODY)
        follow = Endpoint(role=Role.VIEWER, handle=self._events.follow, query=EVENTS_QUERY)
        return [
            self._route("/runs", get=reads(self._runs.list, RUNS_QUERY)),
            self._route("/runs/{id}", get=reads(self._runs.one, ONE_QUERY)),
            self._route("/runs/{id}/events", get=follow, post=answers(self._posting.post, body=POST_BODY)),
            self._route("/runs/{id}/output", get=reads(self._outputs.one, OUTPUT_QUERY)),
            self._route("/runs/{id}/cancel", post=tries(self._starting.cancel)),
            self._route("/runs/{id}/retry", post=retry),
        ]

    def _letter_routes(self) -> list[Route]:
        letters = self._letters
        discard = acts(letters.discard_many, body=DISCARD_MANY_BODY, status=200)
        return [
            self._route("/dead-letters", get=reads(letters.list, LETTERS_QUERY)),
            self._route("/dead-letters/retry", post=acts(letters.retry_many, body=RETRY_MANY_BODY)),
            self._route("/dead-letters/discard", post=discard),
            self._route("/dead-letters/{id}", delete=acts(letters.discard, status=200)),
            self._route("/dead-letters/{id}/retry", post=acts(letters.retry, body=RETRY_BODY)),
        ]

    def _connection_routes(self) -> list[Route]:
        connections = self._connections
        return [
            self._route("/connections", get=reads(connections.list)),
            self._route("/connections/{name}/test", post=acts(connections.test, body=CONNECTION_BODY)),
        ]

    def _change_routes(self) -> list[Route]:
        changes = self._changes
        works = {"approve": changes.approve, "merge": changes.merge, "close": changes.close}
        # A branch has slashes, and may itself be called x/approve: only a POST has the verb as its last part.
        return [
            self._route("/changes", get=reads(changes.list, CHANGES_QUERY)),
            *(
                self._route(
                    f"/changes/{{branch:path}}/{word}", ["POST"], post=commits(work, body=CHANGE_BODY)
                )
                for word, work in works.items()
            ),
            self._route("/changes/{branch:path}", get=reads(changes.one)),
        ]

    def _token_routes(self) -> list[Route]:
        tokens = self._tokens
        return [
            self._route(
                "/tokens",
                get=administers(tokens.list, 200, query=TOKENS_QUERY),
                post=administers(tokens.create, 201, body=NEW_BODY),
            ),
            self._route("/tokens/{id}", delete=administers(tokens.delete, 200)),
        ]

    def _secret_routes(self) -> list[Route]:
        secrets = self._secrets
        # A secret may itself be called rotate: only a POST asks for that.
        return [
            self._route("/secrets", get=reads(secrets.list, SECRETS_QUERY)),
            self._route("/secrets/rotate", ["POST"], post=administers(secrets.rotate, 200, body=())),
            self._route(
                "/secrets/{name}",
                put=administers(secrets.put, 200, body=SECRET_BODY),
                delete=administers(secrets.delete, 200, query=SECRET_DELETE_QUERY),
            ),
            self._route("/secrets/{name}/uses", get=reads(self._secret_uses.list, SECRET_USES_QUERY)),
        ]

    def _route(self, path: str, methods: list[str] | None = None, **endpoints: Endpoint) -> Route:
        """With `methods`, others are left to the routes behind it."""
        return Route(PREFIX + path, Resource(self._authenticator, **endpoints), methods=methods)
