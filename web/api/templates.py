"""Templates: what there is to start from, starting from one, and making one."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.actions.requests import CreateTemplate, UseTemplate
from reconciler.reconciler import Reconciler
from schemas.documents import Document
from schemas.mistakes import did_you_mean
from schemas.pattern import JSON
from schemas.template import Template
from web.api.acting import Acting, done_json
from web.api.query import DEFAULT_LIMIT, Parser, limit, wrong
from web.api.query import label as named
from web.api.refusals import reading
from web.api.resource import Call
from web.api.values import label, message, text
from web.problems import not_found

LIST_QUERY: Mapping[str, Parser] = {"cursor": named, "limit": limit}
USE_BODY = ("name", "parameters", "message")
CREATE_BODY = ("name", "message")


class Templates:
    def __init__(self, reconciler: Reconciler, acting: Acting) -> None:
        self._reconciler = reconciler
        self._acting = acting

    def listed(self, call: Call) -> JSON:
        most, after = call.query["limit"] or DEFAULT_LIMIT, call.query["cursor"] or ""
        found = [one for one in self._found(call) if one.name > after]
        following = found[most - 1].name if len(found) > most else None
        return {"items": [_template_json(one) for one in found[:most]], "next": following}

    def one(self, call: Call) -> JSON:
        name, found = call.path["name"], self._found(call)
        for document in found:
            if document.name == name:
                typed = _typed(document)
                return {**_template_json(document), "pattern": typed.pattern, "deployment": typed.deployment}
        hint = did_you_mean(name, [one.name for one in found]) if found else "Add one below templates/."
        raise not_found(f"There is no template {name!r:.80}. {hint}")

    def use(self, call: Call) -> JSON:
        name, given = text(call.body, "name", label), call.body.get("parameters", {})
        if not isinstance(given, dict):
            said = 'it takes an object, such as {"url": "https://example.com"}'
            raise wrong("values", [{"path": "parameters", "message": said}])
        action = UseTemplate(template=call.path["name"], parameters=given)
        return done_json(self._acting.do(call, action, name, message(call.body)))

    def create(self, call: Call) -> JSON:
        action = CreateTemplate(pattern=call.path["name"])
        name = text(call.body, "name", label)
        return done_json(self._acting.do(call, action, name, message(call.body)))

    def _found(self, call: Call) -> list[Document]:
        organisation = call.identity.organisation
        with reading(organisation):
            return self._reconciler.templates(organisation)


def _typed(document: Document) -> Template:
    assert isinstance(document.typed, Template), "the reconciler gives no others"
    return document.typed


def _template_json(document: Document) -> dict[str, JSON]:
    metadata, typed = document.metadata, _typed(document)
    return {
        "name": document.name,
        "title": metadata.title,
        "description": metadata.description,
        "tags": list(metadata.tags),
        "path": document.path,
        "parameters": typed.parameters,
        "deploys": typed.deployment is not None,
    }
