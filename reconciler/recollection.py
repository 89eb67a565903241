"""What a process remembers between pushes, and how it notices that it must look again."""

from __future__ import annotations

from dataclasses import replace

from reconciler.apply import live_of
from reconciler.landing import Known, view_of
from reconciler.numbers import Ledger
from reconciler.plan import Live
from reconciler.session import Session
from reconciler.snapshot import EMPTY, Snapshot, advance, settle
from store.deployments import all_deployments
from store.repositories import RepositoryState
from store.versions import numbers


class Recollection:
    """Known repositories by organisation. Used under the organisation's lock only."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}

    def keep(self, organisation: str, known: Known) -> None:
        self._known[organisation] = known

    def forget(self, organisation: str) -> None:
        self._known.pop(organisation, None)

    def recall(self, session: Session, state: RepositoryState | None) -> Known:
        """What this process knows; read from the database when somebody else has applied something since."""
        known = self._known.get(session.organisation)
        if known is not None and state is not None and known.generation == state.generation:
            return known
        known = _read(session, state, known or Known.nothing())
        self.keep(session.organisation, known)
        return known


def stored_live(session: Session) -> dict[str, Live]:
    """Every deployment that there is or was, as the database has it."""
    return {
        name: live_of(row) for name, row in all_deployments(session.connection, session.organisation).items()
    }


def _read(session: Session, state: RepositoryState | None, before: Known) -> Known:
    ledger = Ledger(numbers(session.connection, session.organisation))
    head = state.tried_commit if state else None
    return replace(
        before,
        generation=state.generation if state else 0,
        head=head,
        snapshot=_snapshot(session, head, before, ledger),
        ledger=ledger,
        live=stored_live(session),
        settled=frozenset(),
        clean=state is None or not state.problems,
    )


def _snapshot(session: Session, head: str | None, before: Known, ledger: Ledger) -> Snapshot:
    """The head's, from the one that is remembered: only what differs is read. A lost commit counts as none."""
    if head is None or not session.repository.has(head):
        return EMPTY
    reader = view_of(before, session.repository, {}, session.default_ref).reader
    return settle(
        advance(before.snapshot, session.repository.commit(head).tree, reader, ledger), reader, ledger
    )
