"""The command `weft` in a process of its own, as people run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

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
