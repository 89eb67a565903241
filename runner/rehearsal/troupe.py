"""Runs the tests of a commit in a process of their own, which is ended when it takes too long.

What people push may hang, eat memory, or end its own process: none of that reaches the one that asks.
"""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from schemas.pattern import JSON
from schemas.rehearsals import Failure, Material, Report

LIMIT: Final = 20.0
"""Seconds for all tests that a push affects."""

_PACKAGES: Final = str(Path(__file__).parents[2])
_BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from runner.rehearsal.errand import main; del sys.path[0]; main()"
)


class Troupe:
    """`limit`: seconds of real time for everything, the start of the process included."""

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit

    def __call__(self, material: Material) -> Report:
        assets = {path: base64.b64encode(content).decode() for path, content in material.assets.items()}
        documents = {path: content.decode("utf-8", "replace") for path, content in material.documents.items()}
        errand = orjson.dumps({"tests": material.tests, "documents": documents, "assets": assets})
        # Nothing of this process's environment: it holds secrets, and scripts are what anybody pushed.
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _BOOT, _PACKAGES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "TMPDIR": tempfile.gettempdir(),
            },
            start_new_session=True,
        )
        with process:
            try:
                said, errors = process.communicate(errand, self._limit)
                why = _last_words(process.returncode, errors)
            except subprocess.TimeoutExpired:
                why = f"not all were done within {self._limit:g} s"
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            if process.returncode is None:
                said, _ = process.communicate()
        return _report(list(_lines(said)), why)


def _last_words(code: int, errors: bytes) -> str:
    last = errors.decode("utf-8", "replace").strip().splitlines()
    return f"their process ended with code {code}{f': {last[-1]:.200}' if last else ''}"


def _lines(said: bytes) -> Iterator[JSON]:
    """Those that came whole."""
    for line in said.split(b"\n")[:-1]:
        with contextlib.suppress(orjson.JSONDecodeError):
            yield orjson.loads(line)


def _report(lines: list[JSON], why: str) -> Report:
    done = [line for line in lines if "passed" in line]
    failures = tuple(Failure(**line["failure"]) for line in done if not line["passed"])
    ended = bool(lines) and lines[-1] == {"done": True}
    began = [line["begins"] for line in lines if "begins" in line]
    at = f", and it was at {began[-1]}" if len(began) > len(done) else ""
    return Report(failures=failures, unfinished=None if ended else f"{why}{at}")
