"""An exception as its author should see it: their frames only. Standard library only."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Collection

MAX_TEXT = 8_000  # characters


def remember_source(file: str, source: str) -> None:
    """Let tracebacks quote lines of a file that is not on the disk."""
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)


def describe(error: BaseException, files: Collection[str]) -> str:
    """First line: what and where. Then the traceback, with frames of `files` only, causes included."""
    told = traceback.TracebackException.from_exception(error, compact=True)
    _keep_frames(told, files, set())
    head = "".join(told.format_exception_only()).strip().splitlines()[-1]
    where = f" ({told.stack[-1].filename}:{told.stack[-1].lineno})" if told.stack else ""
    return _cut(f"{head}{where}\n{''.join(told.format()).rstrip()}")


def _keep_frames(told: traceback.TracebackException, files: Collection[str], seen: set[int]) -> None:
    if id(told) in seen:
        return
    seen.add(id(told))
    told.stack[:] = [frame for frame in told.stack if frame.filename in files]
    for inner in (told.__cause__, told.__context__, *(getattr(told, "exceptions", None) or ())):
        if inner is not None:
            _keep_frames(inner, files, seen)


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2
    return f"{text[:half]}\n… ({len(text) - MAX_TEXT} characters cut) …\n{text[-half:]}"
