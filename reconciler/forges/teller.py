"""One pull request: ask the forge what it is now, plan its merge, tell the plan there."""

from __future__ import annotations

import logging
from pathlib import Path

from reconciler.forges.address import ForgeKind
from reconciler.forges.errors import TryLaterError
from reconciler.forges.forge import Comment, Forge, Status
from reconciler.forges.heads import Fetcher, fetch_head, forget_head, head_ref
from reconciler.forges.telling import tell
from reconciler.forges.verdict import Verdict, elsewhere, unplanned, verdict_of
from reconciler.git.errors import GitError, UnmergeableError
from reconciler.git.refs import BRANCHES
from reconciler.git.repository import Repository
from reconciler.reconciler import Reconciler
from reconciler.snapshot import TooManyDocumentsError
from store.database import Database
from store.forge import PullRequest, close, default_commit, keep_comment, settle

GIVEN_UP = "Weft could not tell its plan and gave up; its log says why"

log = logging.getLogger(__name__)


class Teller:
    """For one organisation and its upstream."""

    def __init__(
        self, database: Database, reconciler: Reconciler, upstream: Fetcher, organisation: str
    ) -> None:
        self._database = database
        self._reconciler = reconciler
        self._upstream = upstream
        self._organisation = organisation

    def close(self) -> None:
        self._upstream.close()

    def work(self, request: PullRequest, forge: Forge) -> None:
        """All that is to be done about it. Raises TryLaterError, RefusedError, StoreError."""
        if not request.is_asked and request.head is not None:
            # Only what it would be merged into has moved.
            self._tell(request, forge, request.head, self._verdict(request.head), onto=self._onto())
            return
        repository = self._reconciler.ensure(self._organisation)
        if Repository(repository).default_ref() not in Repository(repository).refs():
            # Which branch is live is not known before that, so no pull request is known to go elsewhere.
            raise TryLaterError("The upstream has not been mirrored yet: see GET /api/v1/upstream")
        ref = head_ref(ForgeKind(request.forge), request.number)
        found = forge.pull_request(request.number)
        if not found.is_open:
            forget_head(repository, ref)
            with self._database.connection() as connection:
                close(connection, request)
            return
        branch = self._branch()
        if found.base != branch:
            self._tell_elsewhere(request, forge, found.head, elsewhere(found.base, branch))
            return
        self._tell_plan(request, forge, found.head, repository, ref)

    def give_up(self, request: PullRequest, forge: Forge) -> None:
        """Whoever waits for a status shall not wait for ever. Raises TryLaterError, RefusedError, GitError."""
        found = forge.pull_request(request.number)
        if found.is_open and found.base == self._branch():
            forge.set_status(found.head, Status.ERROR, GIVEN_UP, None)

    def _tell_plan(self, request: PullRequest, forge: Forge, head: str, repository: Path, ref: str) -> None:
        if head != request.head:
            forge.set_status(head, Status.PENDING, "Weft is planning the merge", None)
        fetched = fetch_head(self._upstream, repository, forge.head_ref(request.number), ref)
        if fetched != head:
            raise TryLaterError(
                f"The forge names {head[:10]} as its head, and Git still has {fetched[:10]} there"
            )
        onto = self._onto()
        self._tell(request, forge, head, self._verdict(head), onto=onto)

    def _verdict(self, head: str) -> Verdict:
        branch = self._branch()
        try:
            found = self._reconciler.proposed(self._organisation, head)
        except UnmergeableError as error:
            return unplanned(str(error))
        except TooManyDocumentsError as error:
            return unplanned(error.reason.message)
        except GitError as error:
            # Nothing of the pull request: its own repository is in need of somebody.
            raise TryLaterError(str(error)) from error
        return verdict_of(found, branch)

    def _tell(
        self, request: PullRequest, forge: Forge, head: str, verdict: Verdict, *, onto: str | None
    ) -> None:
        said = verdict.digest
        if request.is_asked or said != request.said:
            comment = self._comment(request, forge, verdict.text)
            forge.set_status(head, verdict.status, verdict.description, comment.url)
            log.info("plan_told", extra=_about(request) | {"head": head, "status": str(verdict.status)})
        with self._database.connection() as connection:
            settle(connection, request, head=head, onto=onto, said=said)

    def _tell_elsewhere(self, request: PullRequest, forge: Forge, head: str, verdict: Verdict) -> None:
        """Nobody wants to hear of Weft there; but what was said before must not go on standing there."""
        if request.comment is not None:
            self._tell(request, forge, head, verdict, onto=None)
            return
        with self._database.connection() as connection:
            settle(connection, request, head=head, onto=None, said=verdict.digest)

    def _comment(self, request: PullRequest, forge: Forge, text: str) -> Comment:
        def keep(comment: str) -> None:
            with self._database.connection() as connection:
                keep_comment(connection, request, comment)

        return tell(forge, request.number, request.comment, text, keep)

    def _branch(self) -> str:
        repository = Repository(self._reconciler.ensure(self._organisation))
        return repository.default_ref().removeprefix(BRANCHES)

    def _onto(self) -> str | None:
        """Asked before the plan is made: what moves meanwhile makes it due again."""
        with self._database.connection() as connection:
            return default_commit(connection, self._organisation)


def _about(request: PullRequest) -> dict[str, object]:
    return {
        "organisation": request.organisation,
        "forge": request.forge,
        "repository": request.repository,
        "number": request.number,
    }
