"""How outputs are told: themselves, or where those can be had that are kept elsewhere because they are large."""

from __future__ import annotations

from urllib.parse import quote

import orjson

from schemas.pattern import JSON
from store.large import is_reference
from web.api.encoding import stored


def told(text: str | None, run: str, node: str | None = None, attempt: int = 1) -> dict[str, JSON]:
    """An output as runs and nodes show it: itself, or how large it is and where it can be had.

    `attempt` is the run's in which the node gave it.
    """
    if text is None or not is_reference(text):
        return {"output": stored(text)}
    query = "" if node is None else f"?node={quote(node)}&attempt={attempt}"
    size = orjson.loads(text)["size"]
    return {"output": None, "outputSize": size, "outputUrl": f"/api/v1/runs/{run}/output{query}"}
