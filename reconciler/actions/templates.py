"""Starting from a template, and making one: as the files that say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.actions.ground import Ground
from reconciler.actions.intents import Create, Intent, Words
from reconciler.actions.requests import ActionRefusedError, CreateTemplate, UseTemplate, Why
from reconciler.actions.template_documents import template_of, used
from schemas.documents import Document, Kind
from schemas.json_schemas import violations
from schemas.mistakes import did_you_mean
from schemas.parameters import filling_size
from schemas.pattern import JSON
from schemas.template import Template, with_defaults
from schemas.template_rules import LARGEST_FILLING

MOST_REASONS = 50
DEEPEST = 50  # levels of a parameter's value


def templates_in(ground: Ground) -> list[Document]:
    """Those of the default branch that can be used, by name."""
    found = ground.known.snapshot.places.of_kind(Kind.TEMPLATE)
    sound = (places[0].document for _, places in sorted(found.items()) if len(places) == 1)
    return [document for document in sound if document is not None]


def template_used(name: str, action: UseTemplate, ground: Ground) -> Intent:
    """Raises ActionRefusedError, EditError."""
    document = _template(action.template, ground)
    template = document.typed
    assert isinstance(template, Template)
    ground.check_free(Kind.PATTERN, name)
    if template.deployment is not None:
        ground.check_free(Kind.DEPLOYMENT, name)
    values = with_defaults(template.parameters, action.parameters)
    reasons = list(_faults(template, values))
    if reasons:
        message = f"{template.name} does not take these parameters: {'; '.join(reasons)}."
        raise ActionRefusedError(Why.UNFIT, message, reasons=reasons)
    files = used(ground.text(document), template, name, values)
    words = Words(
        verb="use-template",
        subject=f"Make {name} from the template {template.name}",
        about={"Template": template.name, "Pattern": name},
    )
    return Intent(change=Create(files=files), words=words)


def template_created(name: str, action: CreateTemplate, ground: Ground) -> Intent:
    """Raises ActionRefusedError, EditError."""
    ground.check_free(Kind.TEMPLATE, name)
    text = ground.text(ground.document(Kind.PATTERN, action.pattern))
    words = Words(
        verb="create-template",
        subject=f"Make the template {name} from {action.pattern}",
        about={"Template": name, "Pattern": action.pattern},
    )
    files = {f"templates/{name}.yaml": template_of(text, action.pattern, name)}
    return Intent(change=Create(files=files), words=words)


def _template(name: str, ground: Ground) -> Document:
    known = [document.name for document in templates_in(ground)]
    if not ground.known.snapshot.places.get((Kind.TEMPLATE, name)):
        hint = did_you_mean(name, known) if known else "Add one below templates/."
        raise ActionRefusedError(Why.UNKNOWN, f"{ground.branch} has no template {name}. {hint}")
    return ground.document(Kind.TEMPLATE, name)


def _faults(template: Template, values: Mapping[str, JSON]) -> Iterator[str]:
    """Every reason why the values cannot be filled in."""
    for name, value in values.items():
        if name not in template.known:
            yield f'there is no parameter "{name:.80}". {did_you_mean(name, template.known)}'
        else:
            yield from (f"{name}: {fault}" for fault in set(_unwritable(value, DEEPEST)))
    if not any(_unwritable(value, DEEPEST) for value in values.values()):
        yield from violations(template.parameters, dict(values), most=MOST_REASONS)
        if filling_size([template.pattern, template.deployment], values) > LARGEST_FILLING:
            yield "they make it too large"


def _unwritable(value: JSON, left: int) -> list[str]:
    """What no document can hold."""
    if left == 0:
        return [f"it is nested more than {DEEPEST} deep"]
    if isinstance(value, dict):
        inside = [*value, *value.values()]
        return [fault for one in inside for fault in _unwritable(one, left - 1)]
    if isinstance(value, list):
        return [fault for one in value for fault in _unwritable(one, left - 1)]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return ["an integer has 64 bits"]
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= one <= "\udfff" for one in value)):
        return ["a text holds no NUL, and no half of a character"]
    return []
