"""The patterns of one work tree or commit, compiled when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from runner.contexts import RunContext
from runner.nodes.base import NO_CONNECTIONS, NodeError
from runner.program import LOOPS, Program, compile_pattern
from runner.secrets import Secrets
from schemas.documents import Document, Kind, ParsedFile
from schemas.expressions import Template, compile_template
from schemas.outline import ERROR_NAMES
from schemas.pattern import JSON, Pattern

ENVIRONMENT: Final = "test"
COMMIT: Final = "0" * 40
"""What runs of a rehearsal see as their environment and commit."""

ReadAsset = Callable[[str], bytes]
"""The bytes of the file at a path from the root. Raises OSError."""


class Library:
    """`documents` are those of kind Pattern without problems, by name."""

    def __init__(self, documents: Mapping[str, Document], read: ReadAsset) -> None:
        self.documents = documents
        self._read = read
        self._programs: dict[str, Program] = {}
        self._retry_conditions: dict[str, Template | None] = {}

    def context(self, name: str, variables: Mapping[str, JSON], secrets: Secrets) -> RunContext:
        """What surrounds a run of the pattern; `variables` instead of its own."""
        program = self._program(name)
        pattern = program.pattern
        return RunContext(
            organisation="default",
            environment=ENVIRONMENT,
            program=program,
            variables={**pattern.variables, **variables},
            retry=pattern.retry,
            retry_when=self._retry_conditions[name],
            timeout=pattern.timeout,
            deployment={"name": name, "environment": ENVIRONMENT},
            version={"number": 1, "commit": COMMIT},
            calls={name: name for name in self.documents},
            assets=Assets(self._read),
            network=(),
            connections=NO_CONNECTIONS,
            secrets=secrets,
        )

    def in_loop(self, name: str, node: str) -> bool:
        """Whether a node, by its path in a test of the pattern, may run several times."""
        first, _, rest = node.partition("/")
        step = next(one for one in self._program(name).by_path.values() if one.node.id == first)
        above = step.path.split("/")[:-1]
        by_path = self._program(name).by_path
        around = ("/".join(above[: at + 1]) for at in range(len(above)))
        if any(by_path[path].node.uses in LOOPS for path in around):
            return True
        called = step.node.with_["pattern"] if rest else name
        return bool(rest) and called in self.documents and self.in_loop(called, rest)

    def _program(self, name: str) -> Program:
        if name not in self._programs:
            pattern = self.documents[name].typed
            assert isinstance(pattern, Pattern)
            self._programs[name] = compile_pattern(pattern)
            when = pattern.retry.when
            self._retry_conditions[name] = None if when is None else compile_template(when, ERROR_NAMES)
        return self._programs[name]


class Assets:
    def __init__(self, read: ReadAsset) -> None:
        self._read = read

    def read(self, path: str) -> bytes:
        try:
            return self._read(path)
        except OSError as error:
            raise NodeError(
                "missing_asset", f"{path} cannot be read: {error.strerror}.", retryable=False
            ) from error


def library_of(files: Mapping[str, ParsedFile], read: ReadAsset) -> Library:
    """The patterns of `files`, the first of each name."""
    documents: dict[str, Document] = {}
    for path in sorted(files):
        for document in files[path].documents:
            if document.kind is Kind.PATTERN:
                documents.setdefault(document.name, document)
    return Library(documents, read)
