"""The content of one file → typed documents, or problems."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain, islice
from typing import Final, TypeAlias

from schemas.connection import Connection, connection_from_spec
from schemas.connection_rules import connection_mistakes
from schemas.deployment import DeploymentSpec, deployment_from_spec
from schemas.deployment_rules import deployment_mistakes
from schemas.mistakes import Mistake, did_you_mean, located
from schemas.pattern import JSON, Pattern, pattern_from_spec
from schemas.pattern_rules import pattern_mistakes
from schemas.pattern_test import PatternTest, pattern_test_from_spec
from schemas.pattern_test_rules import pattern_test_mistakes
from schemas.positions import Positions
from schemas.problems import Problem
from schemas.project import Project, project_from_spec
from schemas.project_rules import project_mistakes
from schemas.references import Reference, references_of
from schemas.shape import mistakes
from schemas.template import Template, template_from_spec
from schemas.template_rules import template_mistakes
from schemas.yaml_text import YamlDocument, read_yaml

__all__ = [
    "Document",
    "Identity",
    "Kind",
    "Metadata",
    "ParsedFile",
    "Reference",
    "is_document_path",
    "parse_file",
]


class Kind(StrEnum):
    PATTERN = "Pattern"  # a workflow
    DEPLOYMENT = "Deployment"  # a live binding of a pattern to a version
    PROJECT = "Project"  # settings of the whole repository
    TEMPLATE = "Template"  # a pattern with parameters
    CONNECTION = "Connection"  # a database or a service
    PATTERN_TEST = "PatternTest"  # cases that a pattern is tried with


@dataclass(frozen=True, kw_only=True)
class Metadata:
    name: str
    title: str = ""
    description: str = ""
    owner: str = ""
    shared_with: tuple[str, ...] = ()
    public: bool = False
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a document is: two documents with one kind and name are one too many."""

    kind: Kind
    name: str
    line: int
    column: int


Typed: TypeAlias = Pattern | DeploymentSpec | Project | Template | Connection | PatternTest


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document without a problem of its own. `spec` is as parsed: a version's hash is taken over it."""

    kind: Kind
    name: str
    path: str
    line: int
    column: int
    metadata: Metadata
    spec: dict[str, JSON]
    typed: Typed
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ParsedFile:
    """What a file holds. `broken` names the documents that are there but have problems.

    Where not even the YAML can be read, `broken` holds what the text seems to be.
    """

    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()
    broken: tuple[Identity, ...] = ()


PLACES: Final = {
    Kind.PATTERN: "patterns/",
    Kind.DEPLOYMENT: "deployments/",
    Kind.PROJECT: "weft.yaml",
    Kind.TEMPLATE: "templates/",
    Kind.CONNECTION: "connections/",
    Kind.PATTERN_TEST: "tests/",
}
"""Where documents of a kind stand: a file, or below a folder."""

_SCHEMAS: Final = {Kind.PATTERN_TEST: "pattern-test"}
"""The files of schemas that are not called like their kind."""

MOST_PROBLEMS: Final = 100
_DOCUMENT_PATH: Final = re.compile(
    r"weft\.yaml|(?:patterns|deployments|templates|connections|tests)/.+\.ya?ml", re.DOTALL
)


def is_document_path(path: str) -> bool:
    """Whether the file at `path` (from the repository's root) holds documents."""
    return _DOCUMENT_PATH.fullmatch(path) is not None


def parse_file(path: str, content: bytes) -> ParsedFile:
    """The documents of a file and all its problems. Pure; never raises for bad content."""
    file = read_yaml(path, content)
    problems = list(file.problems)
    examined: list[_Examined] = []
    for one in file.documents:
        examined.append(_examine(path, one, MOST_PROBLEMS - len(problems)))
        problems.extend(examined[-1].problems)
    broken = [one.identity for one in examined if one.identity is not None]
    return ParsedFile(
        documents=tuple(one.document for one in examined if one.document is not None),
        problems=_at_most(sorted(set(problems))),
        broken=(*broken, *(_guessed(file.text, examined) if file.problems else ())),
    )


@dataclass(frozen=True, kw_only=True)
class _Examined:
    """Either a document, or its problems and, where it is known, what it would have been."""

    document: Document | None = None
    problems: tuple[Problem, ...] = ()
    identity: Identity | None = None


def _examine(path: str, one: YamlDocument, most: int) -> _Examined:
    """With no more than `most` problems, so that a file of nothing but mistakes is answered quickly too.

    Where that leaves nothing, the document counts as broken: so much is wrong in its file.
    """
    kind, wrong = _kind_of(path, one)
    if most <= 0:
        return _Examined(identity=_identity(kind, one) if kind else None)
    found = list(islice(chain(wrong, _content_mistakes(kind, one.value) if kind else ()), most))
    problems = tuple(located(path, one.positions, mistake) for mistake in found)
    if kind is None:
        return _Examined(problems=problems)
    if problems or one.flawed:
        return _Examined(problems=problems, identity=_identity(kind, one))
    return _Examined(document=_document(path, kind, one))


def _content_mistakes(kind: Kind, document: Mapping[str, JSON]) -> Iterator[Mistake]:
    """Mistakes of shape and of meaning together, so that nobody has to push once for each sort."""
    yield from mistakes(_SCHEMAS.get(kind, kind.lower()), document)
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return
    if kind is Kind.PATTERN:
        yield from pattern_mistakes(spec)
    elif kind is Kind.DEPLOYMENT:
        yield from deployment_mistakes(spec)
    elif kind is Kind.TEMPLATE:
        yield from template_mistakes(spec)
    elif kind is Kind.CONNECTION:
        yield from connection_mistakes(spec)
    elif kind is Kind.PATTERN_TEST:
        yield from pattern_test_mistakes(spec)
    else:
        yield from project_mistakes(spec)


def _kind_of(path: str, one: YamlDocument) -> tuple[Kind | None, list[Mistake]]:
    """The kind that a document says it is, and what is wrong with that."""
    value, kinds = one.value, [kind.value for kind in Kind]
    if not isinstance(value, dict):
        hint = "Begin it with `apiVersion: weft/v1` and `kind: …`."
        message = "a document must be a mapping"
        return None, [Mistake(path=(), code="document-not-mapping", message=message, hint=hint)]
    kind = value.get("kind")
    if kind is None:
        hint = f'Add "kind: …": {", ".join(kinds)}.'
        return None, [Mistake(path=(), code="missing-key", message='the key "kind" is missing', hint=hint)]
    if kind not in kinds:
        hint = did_you_mean(str(kind), kinds)
        message = f"there is no kind of document called {str(kind)!r:.80}"
        return None, [Mistake(path=("kind",), code="unknown-kind", message=message, hint=hint)]
    return Kind(kind), list(_misplaced(path, Kind(kind)))


def _misplaced(path: str, kind: Kind) -> Iterator[Mistake]:
    place = PLACES[kind]
    if not path.startswith(place):
        message = f"a {kind} does not belong into {path!r:.200}"
        hint = f"Move it to {place}{'' if kind is Kind.PROJECT else '….yaml'}."
        yield Mistake(path=("kind",), code="kind-in-wrong-place", message=message, hint=hint)


def _document(path: str, kind: Kind, one: YamlDocument) -> Document:
    name, spec = one.value["metadata"]["name"], one.value["spec"]
    return Document(
        kind=kind,
        name=name,
        path=path,
        line=one.line,
        column=one.column,
        metadata=_metadata(one.value["metadata"]),
        spec=spec,
        typed=_TYPED[kind](name, spec, one.positions),
        references=references_of(kind, spec, one.positions),
    )


_TYPED: Final[Mapping[Kind, Callable[[str, JSON, Positions], Typed]]] = {
    Kind.PATTERN: lambda name, spec, _: pattern_from_spec(name, spec),
    Kind.DEPLOYMENT: lambda _name, spec, _: deployment_from_spec(spec),
    Kind.PROJECT: lambda name, spec, _: project_from_spec(name, spec),
    Kind.TEMPLATE: lambda name, spec, _: template_from_spec(name, spec),
    Kind.CONNECTION: lambda name, spec, _: connection_from_spec(name, spec),
    Kind.PATTERN_TEST: pattern_test_from_spec,
}


def _metadata(written: Mapping[str, JSON]) -> Metadata:
    return Metadata(
        name=written["name"],
        title=written.get("title", ""),
        description=written.get("description", ""),
        owner=written.get("owner", ""),
        shared_with=tuple(written.get("sharedWith", ())),
        public=written.get("public", False),
        tags=tuple(written.get("tags", ())),
        labels=written.get("labels", {}),
    )


def _identity(kind: Kind, one: YamlDocument) -> Identity | None:
    metadata = one.value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str):
        return None
    return Identity(kind=kind, name=name, line=one.line, column=one.column)


_GUESSED_KIND: Final = re.compile(
    r"^kind:[ \t]*[\"']?(PatternTest|Pattern|Deployment|Project|Template|Connection)\b", re.MULTILINE
)
_GUESSED_NAME: Final = re.compile(
    r"^(?:metadata:[^\n]*[{,]|[ ]+)[ \t]*name:[ \t]*[\"']?([a-z0-9-]{1,63})\b", re.MULTILINE
)


def _guessed(text: str, examined: Sequence[_Examined]) -> Iterator[Identity]:
    """What the documents of a text seem to be whose YAML cannot be read."""
    line = 1
    known = [one.document or one.identity for one in examined]
    seen = {(one.kind, one.name) for one in known if one is not None}
    for chunk in re.split(r"^---", text, flags=re.MULTILINE):
        kind, name = _GUESSED_KIND.search(chunk), _GUESSED_NAME.search(chunk)
        if kind and name and (Kind(kind[1]), name[1]) not in seen:
            yield Identity(
                kind=Kind(kind[1]), name=name[1], line=line + chunk.count("\n", 0, kind.start()), column=1
            )
        line += chunk.count("\n")


def _at_most(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    if len(problems) < MOST_PROBLEMS:
        return tuple(problems)
    last = problems[MOST_PROBLEMS - 1]
    message = f"there are more than {MOST_PROBLEMS - 1} problems"
    note = replace(last, code="too-many-problems", message=message, hint="Mend those above first.")
    return (*problems[: MOST_PROBLEMS - 1], note)
