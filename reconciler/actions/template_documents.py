"""From a template to the documents that it makes, and back: pure, text in and text out.

The template's text is taken over as it stands, comments and all, and moved to its new indentation; only what names
parameters is written anew. What comes out is read again and compared with what was wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from reconciler.actions.document_nodes import (
    BREAK,
    EditError,
    Target,
    document_extent,
    document_nodes,
    find_document,
    mapping_at,
    newline,
    pair_at,
    values_of,
    written,
)
from schemas.documents import Kind
from schemas.parameters import Standing, filled, filled_pieces, mentioned, standings
from schemas.pattern import JSON
from schemas.template import Template

_COLON = re.compile(r"\s*:")
_INDENTATION = re.compile(r" *")

# What may stand in a scalar of a style without changing how it is read. The result is compared all the same.
_SAFE = {
    None: re.compile(r"(?:[\w./@%+=~?&-]|:(?=[/\w]))*"),
    "'": re.compile(r"[ -&(-~\xa0-\u2027\u202a-\ud7ff]*"),
    '"': re.compile(r"[ !#-\[\]-~\xa0-\u2027\u202a-\ud7ff]*"),
    "|": re.compile(r"(?! )[ -~\xa0-\u2027\u202a-\ud7ff]*"),
    ">": re.compile(r"(?! )[ -~\xa0-\u2027\u202a-\ud7ff]*(?<! )"),
}

Edit = tuple[int, int, str]
"""From, to, and what stands there then."""


def used(text: str, template: Template, name: str, params: Mapping[str, JSON]) -> dict[str, str]:
    """The files, by path, that a template comes to; `text` is that of its file. Raises EditError."""
    target = Target(Kind.TEMPLATE, template.name)
    standing = standings(template.pattern)
    spec = filled(template.pattern, params, standing)
    part = _Part(text, target, "pattern")
    files = {f"patterns/{name}.yaml": part.document("Pattern", name, spec, params, standing)}
    if template.deployment is not None:
        spec = {"pattern": name, **filled(template.deployment, params, {})}
        part = _Part(text, target, "deployment", first=f"pattern: {written(name)}")
        files[f"deployments/{name}.yaml"] = part.document("Deployment", name, spec, params, {})
    return files


def template_of(text: str, pattern: str, name: str) -> str:
    """The file of a template without parameters, made from a pattern's. Raises EditError."""
    end = newline(text)
    part = _Part(text, Target(Kind.PATTERN, pattern), None)
    lines = [*_head("Template", name), "spec:", "  parameters: {type: object}"]
    first, *rest = part.text().splitlines(keepends=True)
    below = "".join(f"  {line}" if line.strip() else line for line in rest)
    made = end.join(lines) + f"{end}  pattern:{first}{below}"
    (before,) = (one for one in values_of(text) if _is(one, "Pattern", pattern))
    wanted = _value("Template", name, {"parameters": {"type": "object"}, "pattern": before["spec"]})
    return _held_to(made, wanted)


def _is(value: JSON, kind: str, name: str) -> bool:
    return bool(value.get("kind") == kind and value["metadata"]["name"] == name)


class _Part:
    """The text of one value of a document: `spec`, or what it has under `key`. `first`: a key to begin with."""

    def __init__(self, text: str, target: Target, key: str | None, first: str = "") -> None:
        document = find_document(text, target)
        self._text = text
        self._first = first
        self._holder = mapping_at(document.root, ("spec",) if key else ())
        pair = pair_at(self._holder, key or "spec")
        assert pair is not None, "the schema asks for it"
        self._key, self._value = pair
        self._document_end = document_extent(text, document_nodes(text), target)[1]

    def text(self, edits: Sequence[Edit] = ()) -> str:
        """What stands behind the colon, as it would if the key began its line."""
        begin, end = self._begin(), self._end()
        changes = sorted([*edits, *self._beginning()], reverse=True)
        made, upto = "", end
        for start, stop, new in changes:
            made = new + self._text[stop:upto] + made
            upto = start
        return self._dedented(self._text[begin:upto] + made)

    def document(
        self,
        kind: str,
        name: str,
        spec: JSON,
        params: Mapping[str, JSON],
        standing: Mapping[tuple[str | int, ...], Standing],
    ) -> str:
        """A file of its own whose `spec` this is, filled in."""
        head = newline(self._text).join([*_head(kind, name), "spec:"])
        wanted = _value(kind, name, spec)
        places = list(_scalars(self._value, ()))
        for in_place in (True, False):
            edits = [
                (node.start_mark.index, _end_of(node), new)
                for path, node in places
                if mentioned(node.value)
                for new in [
                    _rewritten(self._text, node, (_at(spec, path), params, standing.get(path)), in_place)
                ]
            ]
            made = head + self.text(edits)
            if list(values_of(made)) == [wanted]:
                return made
        return _held_to(made, wanted)

    def _begin(self) -> int:
        colon = _COLON.match(self._text, self._key.end_mark.index)
        if colon is None:
            raise EditError("its keys are written in a way that cannot be taken over")
        return colon.end()

    def _end(self) -> int:
        """Behind the value and the comments that belong to it."""
        if self._holder.flow_style:
            return int(self._value.end_mark.index)
        begins = self._key.start_mark.index
        later = [key.start_mark.index for key, _ in self._holder.value if key.start_mark.index > begins]
        end = self._text.rfind("\n", 0, min(later)) + 1 if later else self._document_end
        return self._without_what_follows(end)

    def _without_what_follows(self, end: int) -> int:
        """Blank lines at the end, and comments that stand no deeper than the key, are not the value's."""
        lines = self._text[self._begin() : end].splitlines(keepends=True)
        while len(lines) > 1:
            line = lines[-1]
            shallow = len(line) - len(line.lstrip(" ")) <= self._key.start_mark.column
            if line.strip() and not (line.lstrip().startswith("#") and shallow):
                break
            end -= len(lines.pop())
        return end

    def _beginning(self) -> list[Edit]:
        """The key that comes first, in the way the mapping is written."""
        if not self._first:
            return []
        at = self._value.start_mark.index
        if self._value.flow_style:
            return [(at + 1, at + 1, f"{self._first}, " if self._value.value else self._first)]
        column = self._value.start_mark.column
        return [(at, at, f"{self._first}{newline(self._text)}{' ' * column}")]

    def _dedented(self, text: str) -> str:
        column = self._key.start_mark.column
        lines = text.splitlines(keepends=True)
        rest = [line[min(column, _INDENTATION.match(line).end()) :] for line in lines[1:]]  # type: ignore[union-attr]
        first = lines[0] if lines[0][:1].isspace() else f" {lines[0]}"
        made = first + "".join(rest)
        return made if BREAK.search(made[-1:]) else made + newline(self._text)


def _head(kind: str, name: str) -> list[str]:
    return ["apiVersion: weft/v1", f"kind: {kind}", "metadata:", f"  name: {written(name)}"]


def _value(kind: str, name: str, spec: JSON) -> JSON:
    return {"apiVersion": "weft/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _held_to(text: str, wanted: JSON) -> str:
    if list(values_of(text)) != [wanted]:
        raise EditError("it is written in a way that cannot be taken over: write the new file yourself")
    return text


def _scalars(node: Any, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value that is a scalar, with its path."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(value, (*at, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _scalars(value, (*at, index))
    else:
        yield at, node


def _at(value: JSON, path: Sequence[str | int]) -> JSON:
    for step in path:
        value = value[step]
    return value


def _end_of(node: Any) -> int:
    return int(node.end_mark.index)


def _rewritten(
    text: str, node: Any, new: tuple[JSON, Mapping[str, JSON], Standing | None], in_place: bool
) -> str:
    """The scalar with its new value: within its own quotes or block where it may, else on one line."""
    value, params, standing = new
    raw = text[node.start_mark.index : _end_of(node)]
    if in_place and isinstance(value, str):
        kept = _kept(raw, node, filled_pieces(node.value, params, standing or Standing.PLAIN))
        if kept is not None:
            return kept
    return written(value) + (newline(text) if node.style in ("|", ">") else "")


def _kept(raw: str, node: Any, pieces: Sequence[tuple[str, str]]) -> str | None:
    """The scalar as it is written, with its pieces exchanged; None where that could be read as something else."""
    made, at = "", 0
    for old, new in pieces:
        found = raw.find(old, at)
        if found < 0 or (old != new and not _SAFE[node.style or None].fullmatch(new)):
            return None
        made += raw[at:found] + new
        at = found + len(old)
    return made + raw[at:]
