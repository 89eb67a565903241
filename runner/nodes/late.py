"""Kinds whose libraries take long to read: not at every start, but when the first node asks for them."""

from __future__ import annotations

import importlib
import threading
from typing import Any

from runner.nodes.base import NodeContext
from runner.nodes.found import Found
from schemas.pattern import JSON


class Late:
    """The handler that `module` has as `name`, made of `arguments` by the first node that needs it."""

    def __init__(self, module: str, name: str, *arguments: Any) -> None:
        self._module = module
        self._name = name
        self._arguments = arguments
        self._mutex = threading.Lock()
        self._made: Any = None

    def __call__(self, context: NodeContext, inputs: JSON) -> JSON:
        if self._made is None:
            self._make()
        return self._made(context, inputs)

    def probe(self, context: NodeContext, name: str) -> Found:
        """Of a handler that has one."""
        if self._made is None:
            self._make()
        found: Found = self._made.probe(context, name)
        return found

    def close(self) -> None:
        if self._made is not None:
            self._made.close()

    def _make(self) -> None:
        with self._mutex:
            if self._made is None:
                self._made = getattr(importlib.import_module(self._module), self._name)(*self._arguments)
