"""Mirrors a repository that is kept elsewhere: fetches, moves what is here behind the gate, pushes ours back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.gate import WRONG_SIDE
from reconciler.git.commits import Signed
from reconciler.git.errors import GitError, UnmergeableError
from reconciler.git.refs import ABSENT, BRANCHES, RefUpdate, valid_ref_name
from reconciler.git.repository import Repository
from reconciler.reconciler import Reconciler
from reconciler.session import Session
from reconciler.snapshot import TooManyDocumentsError
from reconciler.steps import Plan
from reconciler.upstream.memory import Agreed, recall, remember, with_moves
from reconciler.upstream.remote import Advertised, Remote, RemoteError, went_with_another
from reconciler.upstream.report import apart, refused_apart
from reconciler.upstream.rules import Decision, Lineage, Sides, Three, Verdict, decide
from store.upstream import Apart, Look, Skipped

UPSTREAM = "upstream"
"""Who moved what the upstream had moved."""
ATTEMPTS = 3  # looks in a row where the upstream moves under our hands

NAMED = 5  # refs in one message

_STALE = re.compile(r"stale info|fetch first|non-fast-forward|moved meanwhile|updated since|but expected")


@dataclass(frozen=True, kw_only=True)
class Synced:
    """One look. `here` and `there`: refs that moved on each side; `plan` of what went live, if anything did."""

    look: Look
    here: tuple[str, ...] = ()
    there: tuple[str, ...] = ()
    plan: Plan | None = None


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """What to do, decided under the lock. `refused`: merges that nobody but a person can make."""

    decision: Decision
    updates: tuple[RefUpdate, ...] = ()
    unmergeable: tuple[Apart, ...] = ()


class Mirror:
    """One organisation's. One process at a time may sync it; pushes and actions go on meanwhile."""

    def __init__(self, reconciler: Reconciler, organisation: str, remote: Remote, *, public_url: str) -> None:
        self._reconciler = reconciler
        self.organisation = organisation
        self.remote = remote
        self._own_url = f"{public_url.rstrip('/')}/git/{organisation}.git"
        self._fetched: frozenset[str] = frozenset()

    def has_news(self) -> bool:
        """Whether something moved here that the upstream has not heard of. Asks nobody."""
        path = self._reconciler.ensure(self.organisation)
        return recall(path, self.remote.url).refs != Repository(path).refs()

    def sync(self) -> Synced:
        """Look at the upstream once and do all that can be done. An unreachable one is an answer, too.

        Raises StoreError; what has moved by then has moved, and the next look goes on from there.
        """
        path = self._reconciler.ensure(self.organisation)
        try:
            done, again = self._attempt(path)
            for _ in range(ATTEMPTS - 1):
                if again:
                    done, again = self._attempt(path)
        except (RemoteError, GitError) as error:
            return Synced(look=Look(error=str(error)))
        except OSError as error:
            return Synced(look=Look(error=f"The mirror cannot be written: {error}."))
        except TooManyDocumentsError as error:
            return Synced(look=Look(error=f"The upstream: {error.reason.message}"))
        return done

    def _attempt(self, path: Path) -> tuple[Synced, bool]:
        """One look, and whether the upstream moved so that another is worth it."""
        advertised = self.remote.refs(path)
        theirs, skipped = _sound(advertised)
        _adopt_default(path, advertised)
        before = recall(path, self.remote.url)
        agreed = before.settled(theirs)
        waiting, failure = self._fetch(path, theirs)
        loose = _without_commit(path, theirs) - waiting
        skipped += [Skipped(ref=ref, reason=_looseness(theirs[ref])) for ref in sorted(loose)]
        choice, refused, plan = self._take_over(agreed, theirs, loose | waiting)
        if choice.decision.halt is not None:
            return Synced(look=Look(error=choice.decision.halt, skipped=tuple(skipped))), False
        skipped += [Skipped(ref=ref, reason=reason) for ref, reason in refused.items()]
        here = tuple(update.ref for update in choice.updates if update.ref not in refused)
        moved = {ref: theirs.get(ref) for ref in here}
        agreed = replace(agreed, refs=with_moves(agreed.refs, {**_agreed(choice.decision), **moved}))
        if agreed != before:
            remember(path, agreed)
        there, held = self._push(path, agreed, choice)
        turned = self._turn(theirs, held)
        look = Look(
            error=failure,
            apart=(*self._apart(choice.decision), *choice.unmergeable, *self._held(path, theirs, held)),
            skipped=tuple(skipped),
        )
        again = turned or any(map(_STALE.search, held.values()))
        return Synced(look=look, here=here, there=there, plan=plan), again

    def _fetch(self, path: Path, theirs: Mapping[str, str]) -> tuple[frozenset[str], str | None]:
        """What no ref of ours holds. Git itself looks whether an object that is here lacks others.

        Where one of the rest is broken or too large, what is live is fetched alone: gives the others, and why.
        """
        repository = Repository(path)
        here = {*repository.refs().values(), *self._fetched}
        wanted = frozenset(ref for ref, at in theirs.items() if at not in here and at != ABSENT)
        live = wanted & {repository.default_ref()}
        try:
            self.remote.fetch(path, sorted(wanted))
        except RemoteError as error:
            if wanted == live:
                raise
            self.remote.fetch(path, sorted(live))
            rest = wanted - live
            return rest, f"{error} What is live goes on; until then these are not followed: {_some(rest)}."
        self._fetched = frozenset(theirs.values())
        return frozenset(), None

    def _take_over(
        self, agreed: Agreed, theirs: Mapping[str, str], loose: frozenset[str]
    ) -> tuple[_Choice, Mapping[str, str], Plan | None]:
        """Decide under the lock, with what is here by then, and move it. `loose` stay as they are on both sides."""
        choices: list[_Choice] = []

        def choose(session: Session) -> Sequence[RefUpdate]:
            sides = Sides(base=agreed.refs, theirs=theirs, ours=session.refs, default_ref=session.default_ref)
            choices.append(self._choose(session.repository, sides.without(loose)))
            return choices[-1].updates

        done = self._reconciler.take_over(self.organisation, choose, UPSTREAM)
        return choices[-1], done.refused, done.reconciled.plan

    def _choose(self, repository: Repository, sides: Sides) -> _Choice:
        decision = decide(sides, lambda ours, their: lineage(repository, ours, their))
        updates = [_update(three.ref, three.ours, three.theirs) for three in decision.of(Verdict.FOLLOW)]
        unmergeable = []
        for three in decision.of(Verdict.MERGE):
            try:
                updates.append(_update(three.ref, three.ours, self._merge(repository, three)))
            except UnmergeableError as error:
                unmergeable.append(self._conflict(three, error))
        return _Choice(decision=decision, updates=tuple(updates), unmergeable=tuple(unmergeable))

    def _merge(self, repository: Repository, three: Three) -> str:
        """Ours first: what is live stays on the line of first parents, along which numbers go."""
        assert three.ours is not None
        assert three.theirs is not None
        branch = three.ref.removeprefix(BRANCHES)
        message = f"Merge {branch} of the upstream\n\nBoth sides had moved.\n\nWeft-Action: merge-upstream\n"
        host = re.sub(r"^\w+://|[:/].*$", "", self._own_url) or "localhost"
        signed = Signed(name="Weft", email=f"weft@{host}", message=message)
        return repository.merge(three.ours, three.theirs, signed).id

    def _push(self, path: Path, agreed: Agreed, choice: _Choice) -> tuple[tuple[str, ...], dict[str, str]]:
        """What moved there, and what the upstream refused and why. Not under the lock: a host may be slow."""
        merged = {update.ref: update.new for update in choice.updates}
        updates = [_update(three.ref, three.theirs, three.ours) for three in choice.decision.of(Verdict.PUSH)]
        for three in choice.decision.of(Verdict.MERGE):
            if three.ref in merged:
                updates.append(_update(three.ref, three.theirs, merged[three.ref]))
        held: dict[str, str] = {}
        waiting = [updates] if updates else []
        while waiting:
            together = waiting.pop()
            sent = {update.ref: None if update.new == ABSENT else update.new for update in together}
            remember(path, replace(agreed, sent=sent))
            refused = self.remote.push(path, together)
            if not refused:
                agreed = replace(agreed, refs=with_moves(agreed.refs, sent), sent={})
                remember(path, agreed)
            elif len(together) > 1 and all(map(went_with_another, refused.values())):
                waiting += [[update] for update in together]  # the remote does not tell which one it is
            else:
                held |= refused
                rest = [update for update in together if update.ref not in refused]
                waiting += [rest] if rest else []
        return tuple(update.ref for update in updates if update.ref not in held), held

    def _turn(self, theirs: Mapping[str, str], held: Mapping[str, str]) -> bool:
        """A Weft there takes a merge only with its own side first: so it is merged once more, in that order.

        Gives whether anything moved here. What was live before stays among the lines that numbers come from.
        """
        refused = [ref for ref, reason in held.items() if WRONG_SIDE in reason]

        def choose(session: Session) -> Sequence[RefUpdate]:
            threes = (Three(ref=r, base=None, theirs=theirs[r], ours=session.refs.get(r)) for r in refused)
            return [self._theirs_first(session.repository, three) for three in threes if three.ours]

        if not refused:
            return False
        return not self._reconciler.take_over(self.organisation, choose, UPSTREAM).refused

    def _theirs_first(self, repository: Repository, three: Three) -> RefUpdate:
        """Of one that is ahead of theirs."""
        exchanged = Three(ref=three.ref, base=three.base, theirs=three.ours, ours=three.theirs)
        return _update(three.ref, three.ours, self._merge(repository, exchanged))

    def _apart(self, decision: Decision) -> Iterator[Apart]:
        for three in decision.of(Verdict.APART):
            yield apart(three, own=self._own_url, upstream=self.remote.url)

    def _conflict(self, three: Three, error: UnmergeableError) -> Apart:
        return apart(three, own=self._own_url, upstream=self.remote.url, files=error.files)

    def _held(self, path: Path, theirs: Mapping[str, str], held: Mapping[str, str]) -> Iterator[Apart]:
        ours = Repository(path).refs()
        for ref, reason in held.items():
            three = Three(ref=ref, base=None, theirs=theirs.get(ref), ours=ours.get(ref))
            yield refused_apart(three, reason)


def lineage(repository: Repository, ours: str, theirs: str) -> Lineage:
    """Of two commits that are here."""
    base = repository.merge_base(ours, theirs)
    if base is None:
        return Lineage.UNRELATED
    return {theirs: Lineage.AHEAD, ours: Lineage.BEHIND}.get(base, Lineage.FORKED)


def _sound(advertised: Advertised) -> tuple[dict[str, str], list[Skipped]]:
    """What can be here, and what cannot."""
    skipped = [Skipped(ref=ref, reason="Its name is not UTF-8.") for ref in advertised.unreadable]
    theirs = {}
    for ref, at in advertised.refs.items():
        if valid_ref_name(ref):
            theirs[ref] = at
        else:
            skipped.append(Skipped(ref=ref, reason="It has no valid name (see git check-ref-format)."))
    return theirs, skipped


def _without_commit(path: Path, theirs: Mapping[str, str]) -> frozenset[str]:
    repository = Repository(path)
    may_be_loose = ((r, at) for r, at in theirs.items() if r.startswith(BRANCHES) or at == ABSENT)
    return frozenset(ref for ref, at in may_be_loose if not repository.is_commit(at))


def _some(refs: frozenset[str]) -> str:
    named = sorted(refs)[:NAMED]
    return ", ".join(named) + (f" and {len(refs) - NAMED} more" if len(refs) > NAMED else "")


def _looseness(at: str) -> str:
    return "It is broken there: it points to nothing." if at == ABSENT else "A branch must point to a commit."


def _adopt_default(path: Path, advertised: Advertised) -> None:
    """A repository without a branch takes the upstream's default one."""
    repository = Repository(path)
    wanted = advertised.default_ref
    if wanted is None or wanted not in advertised.refs or not valid_ref_name(wanted):
        return
    if wanted != repository.default_ref() and not any(ref.startswith(BRANCHES) for ref in repository.refs()):
        repository.set_default_ref(wanted)


def _agreed(decision: Decision) -> dict[str, str | None]:
    return {three.ref: three.ours for three in decision.of(Verdict.AGREED)}


def _update(ref: str, old: str | None, new: str | None) -> RefUpdate:
    return RefUpdate(ref=ref, old=old or ABSENT, new=new or ABSENT)
