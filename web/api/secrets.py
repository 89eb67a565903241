"""Secrets: their names can be read, their values only be set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from schemas.pattern import JSON
from schemas.secret_text import ENVIRONMENT, LARGEST, NAME
from store.secrets import SecretBook, SecretUnreadable
from store.secrets.book import Listed
from store.secrets.rows import StoredName
from web.api.encoding import rfc3339
from web.api.query import Parser, label, wrong
from web.api.resource import Call
from web.problems import Kind, Refusal, not_found

LIST_QUERY: Mapping[str, Parser] = {"environment": label}
DELETE_QUERY: Mapping[str, Parser] = {"environment": label}
PUT_BODY = ("value", "environment")

_WHAT_A_NAME_IS = "it takes letters, digits and _, no digit first, at most 100 characters, such as API_TOKEN"


class Secrets:
    def __init__(self, book: SecretBook) -> None:
        self._book = book

    def list(self, call: Call) -> JSON:
        """Without an environment: all; with one: those that can be used in it."""
        environment = call.query["environment"]
        listing = self._book.listed(call.identity.organisation)
        shown = [
            _listed_json(one)
            for one in listing.secrets
            if environment is None or one.environment in ("", environment)
        ]
        silent = [{"source": kind, "message": said} for kind, said in listing.silent.items()]
        return {"items": shown, "next": None, "unavailable": silent}

    def put(self, call: Call) -> JSON:
        """In effect everywhere within a second."""
        name = _name(call)
        value, environment = _asked(call.body)
        identity = call.identity
        with _translated():
            stored = self._book.stored.put(identity.organisation, environment, name, value, by=identity.user)
        self._book.changed(identity.organisation)
        return _stored_json(stored)

    def delete(self, call: Call) -> JSON:
        """What it was."""
        organisation, name = call.identity.organisation, _name(call)
        environment = call.query["environment"] or ""
        gone = self._book.stored.delete(organisation, environment, name)
        if gone is None:
            raise not_found(self._why_not(organisation, environment, name))
        self._book.changed(organisation)
        return _stored_json(gone)

    def rotate(self, call: Call) -> JSON:
        organisation = call.identity.organisation
        with _translated():
            done = self._book.stored.rotate(organisation)
        self._book.forget()
        return {"secrets": done.secrets, "keyChanged": bool(done.organisations)}

    def _why_not(self, organisation: str, environment: str, name: str) -> str:
        others = [one for one in self._book.listed(organisation).secrets if one.name == name]
        said = f"No secret {name} is stored for {_scope(environment)}."
        if any(one.source != "stored" for one in others):
            sources = ", ".join(sorted({one.source for one in others if one.source != "stored"}))
            return f"{said} There is one outside of Weft ({sources}): delete it there."
        stored = [_scope(one.environment) for one in others]
        return f"{said} There is one for {', '.join(stored)}." if stored else said


def _scope(environment: str) -> str:
    return f"the environment {environment}" if environment else "all environments"


def _name(call: Call) -> str:
    name = call.path["name"]
    if not NAME.fullmatch(name):
        raise wrong("path", [{"path": "name", "message": _WHAT_A_NAME_IS}])
    return name


def _asked(body: Mapping[str, JSON]) -> tuple[str, str]:
    """Value and environment. No message quotes what was sent."""
    value, environment = body.get("value"), body.get("environment")
    problems = []
    if not isinstance(value, str) or not value:
        problems.append({"path": "value", "message": "it takes text that is not empty"})
    elif len(value.encode()) > LARGEST:
        problems.append({"path": "value", "message": f"it takes at most {LARGEST:,} bytes"})
    if environment is not None and not (isinstance(environment, str) and ENVIRONMENT.fullmatch(environment)):
        message = "it takes a name such as staging; without it, the secret is for all environments"
        problems.append({"path": "environment", "message": message})
    if problems:
        raise wrong("keys of the body", problems)
    return str(value), environment or ""


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SecretUnreadable as error:
        raise Refusal(Kind.SEALED, str(error)) from error


def _listed_json(one: Listed) -> dict[str, JSON]:
    if one.stored is not None:
        return _stored_json(one.stored)
    return _secret_json(one.name, one.environment, one.source)


def _stored_json(one: StoredName) -> dict[str, JSON]:
    about = {"version": one.version, "updatedAt": rfc3339(one.updated_at), "updatedBy": one.updated_by}
    return {**_secret_json(one.name, one.environment, "stored"), **about}


def _secret_json(name: str, environment: str, source: str) -> dict[str, JSON]:
    about = {"version": None, "updatedAt": None, "updatedBy": None}
    return {"name": name, "environment": environment or None, "source": source, **about}
