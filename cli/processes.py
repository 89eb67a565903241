"""The parts of the service by name, and where their mains are."""

from __future__ import annotations

import importlib
from typing import cast

from cli.parts import Main, Stage

# Named like entry points: only what starts the service imports all of it, so `weft validate` need not.
MAINS = {
    "web": "web.server:serve",
    "worker": "runner.worker:serve",
    "controller": "cli.controller:serve",
}
STAGES = {"web": Stage.INTAKE, "controller": Stage.INTAKE, "worker": Stage.WORK}


def load_main(name: str) -> Main:
    """The main of a part, with everything it needs imported: call it before forking."""
    module, _, function = MAINS[name].partition(":")
    return cast(Main, getattr(importlib.import_module(module), function))
