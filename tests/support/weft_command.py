"""The command `weft`, as people run it: in a process of its own, or in this one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from cli.main import main

ROOT = Path(__file__).parents[2]
WEFT = [sys.executable, "-c", "from cli.main import main; main()"]


def environment(**more: str) -> dict[str, str]:
    """This process's, without settings of Weft that the machine may have."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}
    return kept | {"PYTHONPATH": str(ROOT), "WEFT_LOG": "json"} | more


def weft(*arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*WEFT, *arguments],
        env=environment(**(environ or {})),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def weft_here(
    *arguments: str, given: str | bytes = "", environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The same in this process, which has read all modules already: for commands that start no other."""
    said, told = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    content = given if isinstance(given, bytes) else given.encode()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(said), redirect_stderr(told):
        patched.setattr(os, "environ", environment(**(environ or {})))
        patched.setattr(sys, "argv", ["weft", *arguments])
        patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        try:
            main()
            code: str | int | None = 0
        except SystemExit as left:
            code = left.code
    texts = (stream.buffer.getvalue().decode() for stream in (said, told))
    return subprocess.CompletedProcess([*arguments], int(code or 0), *texts)
