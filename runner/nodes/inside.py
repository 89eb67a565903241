"""The node kinds that stay within the run: no process, no connection, nothing to close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runner.nodes import data, light
from runner.nodes.base import NodeHandler

INSIDE: Final[Mapping[str, NodeHandler]] = {
    "log": light.log,
    "parse": data.parse,
    "format": data.format_,
    "validate": data.validate,
    "fail": light.fail,
    "stop": light.stop,
}
"""By the word in `uses`."""
