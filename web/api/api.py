"""The API's paths, and what answers there."""

from __future__ import annotations

from collections.abc import Callable

from starlette.routing import Route

from reconciler.reconciler import Reconciler
from schemas.deployment import State
from store.blobs import Blobs
from store.database import Database
from store.secrets import SecretBook
from web.api import (
    actions,
    backfills,
    changes,
    connections,
    deliveries,
    deployments,
    files,
    letters,
    moves,
    outputs,
    patterns,
    plans,
    posting,
    pulls,
    repeating,
    runs,
    secret_uses,
    secrets,
    slots,
    starting,
    templates,
    testing,
    tokens,
    upstream,
)
from web.api.acting import Acting
from web.api.live import events, feeds
from web.api.query import wait
from web.api.resource import Endpoint, Resource, acts, administers, answers, commits, reads, tries
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
        ring: starting.Ring,
        blobs: Callable[[], Blobs],
        book: SecretBook,
        public_url: str,
    ) -> None:
        """`blobs` opens where large outputs are kept."""
        self._authenticator = authenticator
        self._deployments = deployments.Deployments(database, contents, public_url)
        self._slots = slots.Slots(database, contents)
        self._backfills = backfills.Backfills(database, contents)
        self._patterns = patterns.Patterns(database)
        self._runs = runs.Runs(database, contents)
        self.feeds = feeds.Feeds(database, contents)
        self._events = events.Events(database, self.feeds)
        self._starting = starting.Starting(database, contents, self._runs, ring)
        self._repeating = repeating.Repeating(database, contents, self._runs, ring)
        self._testing = testing.Testing(database, reconciler, contents, self._runs, ring)
        self._deliveries = deliveries.Deliveries(database, contents, self._runs, ring)
        self._connections = connections.Connections(database, self._runs, ring)
        self._letters = letters.Letters(database, self._repeating, self._runs, ring)
        self._posting = posting.Posting(database, ring)
        self._outputs = outputs.Outputs(database, contents, blobs)
        self._plans = plans.Plans(reconciler)
        acting = Acting(reconciler)
        self._actions = actions.Actions(acting, database)
        self._files = files.Files(reconciler, acting)
        self._changes = changes.Changes(reconciler.changes)
        self._templates = templates.Templates(reconciler, acting)
        self._moves = moves.Moves(database)
        self._upstream = upstream.Upstream(database)
        self._pulls = pulls.Pulls(database)
        self._tokens = tokens.Tokens(database, authenticator)
        self._secrets = secrets.Secrets(book)
        self._secret_uses = secret_uses.SecretUses(database)

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
            self._route("/plan", get=reads(self._plans.plan, plans.PLAN_QUERY)),
            *self._change_routes(),
            self._file_route(),
            self._route("/refs/moves", get=reads(self._moves.list, moves.LIST_QUERY)),
            self._route("/upstream", get=reads(self._upstream.state)),
            self._route("/pull-requests", get=reads(self._pulls.list, pulls.LIST_QUERY)),
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
                get=reads(self._deployments.list, deployments.LIST_QUERY),
                post=commits(self._actions.deploy, body=actions.DEPLOY_BODY),
            ),
            self._route("/deployments/{name}", get=reads(self._deployments.one)),
            self._route(
                "/deployments/{name}/revisions",
                get=reads(self._deployments.revisions, deployments.REVISIONS_QUERY),
            ),
            self._route("/deployments/{name}/runs", post=start),
            self._route(
                "/deployments/{name}/deliveries", get=reads(self._deliveries.list, deliveries.LIST_QUERY)
            ),
        ]

    def _delivery_routes(self) -> list[Route]:
        return [
            self._route("/deliveries/{id}", get=reads(self._deliveries.one)),
            self._route("/deliveries/{id}/replay", post=acts(self._deliveries.replay)),
        ]

    def _schedule_routes(self) -> list[Route]:
        create = Endpoint(role=Role.OPERATOR, handle=self._backfills.create, body=backfills.BODY)
        place = "/deployments/{name}/backfills"
        return [
            self._route("/deployments/{name}/slots", get=reads(self._slots.list, slots.LIST_QUERY)),
            self._route(place, get=reads(self._backfills.list, backfills.LIST_QUERY), post=create),
            self._route(f"{place}/{{id}}", get=reads(self._backfills.one)),
            self._route(f"{place}/{{id}}/cancel", post=acts(self._backfills.cancel, status=200)),
        ]

    def _action_routes(self) -> list[Route]:
        works = {
            "promote": commits(self._actions.promote, body=actions.PROMOTE_BODY),
            "rollback": commits(self._actions.roll_back, body=actions.ROLLBACK_BODY),
            "pause": commits(self._actions.set_state(State.PAUSED), body=actions.STATE_BODY),
            "resume": commits(self._actions.resume, body=actions.STATE_BODY),
            "archive": commits(self._actions.set_state(State.ARCHIVED), body=actions.STATE_BODY),
            "undeploy": commits(self._actions.undeploy, body=actions.STATE_BODY),
        }
        return [self._route(f"/deployments/{{name}}/{word}", post=work) for word, work in works.items()]

    def _pattern_routes(self) -> list[Route]:
        return [
            self._route("/patterns", get=reads(self._patterns.list, patterns.LIST_QUERY)),
            self._route("/patterns/{name}/clone", post=commits(self._actions.clone, body=actions.CLONE_BODY)),
            self._route(
                "/patterns/{name}/versions", get=reads(self._patterns.versions, patterns.VERSIONS_QUERY)
            ),
            self._route("/patterns/{name}/versions/{number}", get=reads(self._patterns.version)),
            self._route(
                "/patterns/{name}/test",
                post=tries(self._testing.test, body=testing.BODY, most=testing.MOST_SENT),
            ),
            self._route("/patterns/{name}/diff", get=reads(self._patterns.diff, patterns.DIFF_QUERY)),
        ]

    def _template_routes(self) -> list[Route]:
        return [
            self._route(
                "/patterns/{name}/template", post=commits(self._templates.create, body=templates.CREATE_BODY)
            ),
            self._route("/templates", get=reads(self._templates.listed, templates.LIST_QUERY)),
            self._route("/templates/{name}", get=reads(self._templates.one)),
            self._route("/templates/{name}/use", post=commits(self._templates.use, body=templates.USE_BODY)),
        ]

    def _file_route(self) -> Route:
        return self._route(
            "/files/{path:path}",
            get=reads(self._files.read, files.READ_QUERY),
            put=commits(self._files.save, body=files.SAVE_BODY),
            delete=commits(self._files.remove, query=files.REMOVE_QUERY, body=None),
        )

    def _run_routes(self) -> list[Route]:
        retry = tries(self._repeating.retry, body=letters.RETRY_BODY)
        follow = Endpoint(role=Role.VIEWER, handle=self._events.follow, query=events.QUERY)
        return [
            self._route("/runs", get=reads(self._runs.list, runs.LIST_QUERY)),
            self._route("/runs/{id}", get=reads(self._runs.one, runs.ONE_QUERY)),
            self._route("/runs/{id}/events", get=follow, post=answers(self._posting.post, body=posting.BODY)),
            self._route("/runs/{id}/output", get=reads(self._outputs.one, outputs.QUERY)),
            self._route("/runs/{id}/cancel", post=tries(self._starting.cancel)),
            self._route("/runs/{id}/retry", post=retry),
        ]

    def _letter_routes(self) -> list[Route]:
        discard = acts(self._letters.discard_many, body=letters.DISCARD_MANY_BODY, status=200)
        return [
            self._route("/dead-letters", get=reads(self._letters.list, letters.LIST_QUERY)),
            self._route(
                "/dead-letters/retry", post=acts(self._letters.retry_many, body=letters.RETRY_MANY_BODY)
            ),
            self._route("/dead-letters/discard", post=discard),
            self._route("/dead-letters/{id}", delete=acts(self._letters.discard, status=200)),
            self._route("/dead-letters/{id}/retry", post=acts(self._letters.retry, body=letters.RETRY_BODY)),
        ]

    def _connection_routes(self) -> list[Route]:
        return [
            self._route("/connections", get=reads(self._connections.list)),
            self._route(
                "/connections/{name}/test", post=acts(self._connections.test, body=connections.TEST_BODY)
            ),
        ]

    def _change_routes(self) -> list[Route]:
        works = {"approve": self._changes.approve, "merge": self._changes.merge, "close": self._changes.close}
        # A branch has slashes, and may itself be called x/approve: only a POST has the verb as its last part.
        return [
            self._route("/changes", get=reads(self._changes.list, changes.LIST_QUERY)),
            *(
                self._route(
                    f"/changes/{{branch:path}}/{word}", ["POST"], post=commits(work, body=changes.BODY)
                )
                for word, work in works.items()
            ),
            self._route("/changes/{branch:path}", get=reads(self._changes.one)),
        ]

    def _token_routes(self) -> list[Route]:
        return [
            self._route(
                "/tokens",
                get=administers(self._tokens.list, 200, query=tokens.LIST_QUERY),
                post=administers(self._tokens.create, 201, body=tokens.NEW_BODY),
            ),
            self._route("/tokens/{id}", delete=administers(self._tokens.delete, 200)),
        ]

    def _secret_routes(self) -> list[Route]:
        # A secret may itself be called rotate: only a POST asks for that.
        return [
            self._route("/secrets", get=reads(self._secrets.list, secrets.LIST_QUERY)),
            self._route("/secrets/rotate", ["POST"], post=administers(self._secrets.rotate, 200, body=())),
            self._route(
                "/secrets/{name}",
                put=administers(self._secrets.put, 200, body=secrets.PUT_BODY),
                delete=administers(self._secrets.delete, 200, query=secrets.DELETE_QUERY),
            ),
            self._route("/secrets/{name}/uses", get=reads(self._secret_uses.list, secret_uses.LIST_QUERY)),
        ]

    def _route(self, path: str, methods: list[str] | None = None, **endpoints: Endpoint) -> Route:
        """With `methods`, others are left to the routes behind it."""
        return Route(PREFIX + path, Resource(self._authenticator, **endpoints), methods=methods)
