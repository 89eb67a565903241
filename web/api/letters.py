"""The inbox of dead letters: look, retry, discard; one, or many by filter."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.pattern import JSON
from store import dead_letters, run_reads
from store.database import Connection, Database
from store.dead_letters import DeadLetter, LetterFilter, LetterState
from store.replays import AlreadySettledError
from web.api.encoding import rfc3339, stored
from web.api.query import DEFAULT_LIMIT, Parser, instant, label, limit, one_of, run_id, words, wrong
from web.api.repeating import Repeated, Repeating, wanted_of
from web.api.resource import Call
from web.api.runs import Runs
from web.api.starting import Ring
from web.problems import Kind, Refusal, not_found

FILTERS: Mapping[str, Parser] = {
    "deployment": label,
    "pattern": label,
    "error": words,
    "since": instant,
    "until": instant,
}
LIST_QUERY: Mapping[str, Parser] = {
    **FILTERS, "state": one_of(LetterState), "cursor": run_id, "limit": limit,
}  # fmt: skip
RETRY_BODY = ("from", "version", "input")
DISCARD_MANY_BODY = (*FILTERS, "cursor")
RETRY_MANY_BODY = (*DISCARD_MANY_BODY, "from", "version")

MOST_RETRIED = 100
"""Of one request: each becomes a run with a journal of its own."""

MOST_DISCARDED = 1000


class Letters:
    def __init__(self, database: Database, repeating: Repeating, runs: Runs, ring: Ring) -> None:
        self._database = database
        self._repeating = repeating
        self._runs = runs
        self._ring = ring

    def list(self, call: Call) -> JSON:
        query = dict(call.query)
        cursor, most = query.pop("cursor"), query.pop("limit") or DEFAULT_LIMIT
        query["state"] = LetterState(query["state"] or LetterState.OPEN)
        with self._database.connection() as connection:
            found, following = dead_letters.list_letters(
                connection, call.identity.organisation, LetterFilter(**query), cursor, most
            )
        return {"items": [_letter_json(letter) for letter in found], "next": following}

    def retry(self, call: Call) -> JSON:
        """The run that it becomes."""
        with self._database.connection() as connection:
            letter = _find(connection, call)
            new, ring = self._retry(connection, call, letter.id)
            self._ring(ring)
            return self._runs.brief(connection, call.identity.organisation, new)

    def discard(self, call: Call) -> JSON:
        with self._database.connection() as connection:
            letter = _find(connection, call)
            if not dead_letters.discard(connection, [letter.id], call.identity.user):
                raise _settled(_find(connection, call))
            return _letter_json(_find(connection, call))

    def retry_many(self, call: Call) -> JSON:
        """Those that match, the oldest first; what cannot be retried now stays, with the reason in the answer."""
        filters, after = _filters(call.body)
        wanted_of(call)  # says now what is wrong with `from` and `version`
        retried: list[JSON] = []
        refused: list[JSON] = []
        ring: list[str] = []
        with self._database.connection() as connection:
            organisation = call.identity.organisation
            found, left = dead_letters.matching(connection, organisation, filters, after, MOST_RETRIED)
            try:
                for letter in found:
                    try:
                        new, ready = self._retry(connection, call, letter)
                        retried.append({"id": letter, "run": new})
                        ring += ready
                    except Refusal as refusal:
                        refused.append({"id": letter, "reason": refusal.detail})
            finally:  # what is durable is announced, whatever stopped the others
                self._ring(ring)
        return {"retried": retried, "refused": refused, "left": left, "next": found[-1] if left else None}

    def discard_many(self, call: Call) -> JSON:
        filters, after = _filters(call.body)
        with self._database.connection() as connection:
            organisation = call.identity.organisation
            found, left = dead_letters.matching(connection, organisation, filters, after, MOST_DISCARDED)
            gone = dead_letters.discard(connection, found, call.identity.user)
        return {"discarded": gone, "left": left, "next": found[-1] if left else None}

    def _retry(self, connection: Connection, call: Call, letter: str) -> Repeated:
        organisation = call.identity.organisation
        run = run_reads.get_run(connection, organisation, letter)
        assert run is not None, "a dead letter is a run"
        try:
            return self._repeating.repeat(connection, organisation, run, wanted_of(call, letter=True))
        except AlreadySettledError:
            settled = dead_letters.get_letter(connection, organisation, letter)
            assert settled is not None, "letters are never deleted"
            raise _settled(settled) from None


def _find(connection: Connection, call: Call) -> DeadLetter:
    text = call.path["id"].lower()
    found = None
    if run_reads.is_run_id(text):
        found = dead_letters.get_letter(connection, call.identity.organisation, text)
    if found is None:
        raise not_found(f"There is no dead letter {text!r:.80}. `weft dead-letters` lists them.")
    return found


def _settled(letter: DeadLetter) -> Refusal:
    became = (
        f" It is run {letter.retried_as} now." if letter.retried_as else " `weft retry` takes its run still."
    )
    return Refusal(Kind.CONFLICT, f"This dead letter was {letter.state} by {letter.settled_by}.{became}")


def _filters(body: Mapping[str, JSON]) -> tuple[LetterFilter, str | None]:
    """From a body: the same names and values as in the list's query."""
    values: dict[str, JSON] = {}
    problems = []
    for name, parse in {**FILTERS, "cursor": run_id}.items():
        given = body.get(name)
        try:
            values[name] = None if given is None else parse(_text(given))
        except ValueError as error:
            problems.append({"path": name, "message": str(error)})
    if problems:
        raise wrong("keys of the body", problems)
    after = values.pop("cursor")
    return LetterFilter(**values), after


def _text(value: JSON) -> str:
    if not isinstance(value, str):
        raise ValueError("it takes a text")  # noqa: TRY004 - what every parser raises
    return value


def _letter_json(letter: DeadLetter) -> JSON:
    return {
        "id": letter.id,
        "deployment": letter.deployment,
        "pattern": letter.pattern,
        "version": {"id": letter.version_id, "number": letter.number},
        "trigger": letter.trigger,
        "attempt": letter.attempt,
        "error": stored(letter.error),
        "parentId": letter.parent_id,
        "createdAt": rfc3339(letter.created_at),
        "at": rfc3339(letter.at),
        "state": letter.state,
        "settledAt": rfc3339(letter.settled_at),
        "settledBy": letter.settled_by,
        "retriedAs": letter.retried_as,
    }
