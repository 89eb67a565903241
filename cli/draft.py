"""What a pattern of a work tree needs to run elsewhere: its file, those of what it calls, and their assets."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cli.errors import CommandError
from cli.validate import asset_state
from schemas.documents import Document, Identity, Kind, ParsedFile
from schemas.mistakes import did_you_mean
from schemas.pattern import JSON
from schemas.rules import AssetState


def draft_files(root: Path, files: Mapping[str, ParsedFile], pattern: str) -> dict[str, JSON]:
    """By path: a text, {"base64": …} for what is none, None for what is named and absent. Raises CommandError."""
    holders = {name: path for path, file in files.items() for name in _patterns_in(file)}
    if pattern not in holders:
        raise CommandError(
            f"{root} has no pattern {pattern!r:.80}. {did_you_mean(pattern, holders)}".rstrip()
        )
    documents = {
        document.name: document
        for file in files.values()
        for document in file.documents
        if document.kind is Kind.PATTERN
    }
    needed = list(_with_callees(documents, pattern))
    assets = {name for one in needed if one in documents for name in _named(documents[one], "asset")}
    paths = [holders[name] for name in needed if name in holders]
    return {path: _sent(root, path) for path in sorted({*paths, *assets})}


def _patterns_in(file: ParsedFile) -> Iterator[str]:
    """Also of what has problems: the server says which."""
    holders: list[Document | Identity] = [*file.documents, *file.broken]
    return (one.name for one in holders if one.kind is Kind.PATTERN)


def _with_callees(documents: Mapping[str, Document], pattern: str) -> Iterable[str]:
    found, open_ = {pattern: None}, [pattern]
    while open_:
        at = documents.get(open_.pop())
        new = [name for name in _named(at, "pattern") if name not in found] if at else []
        found |= dict.fromkeys(new)
        open_ += new
    return found


def _named(document: Document, kind: str) -> set[str]:
    """What it names as the work tree has it, not as a frozen version."""
    return {one.name for one in document.references if one.kind == kind and one.version is None}


def _sent(root: Path, path: str) -> JSON:
    if asset_state(root, path) is not AssetState.PRESENT:
        return None
    try:
        content = (root / path).read_bytes()
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}; see that you may read it") from error
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}
