"""From a call that was caught to a case of a PatternTest."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

from cli.client import Server
from runner.program import WITHOUT_EFFECT
from schemas.pattern import JSON

_REAL = WITHOUT_EFFECT | {"script"}
"""What a test performs as it is; `call` is stubbed all the same, so that a case stays about one pattern."""

_ROUND = re.compile(r"\[\d+\]")
_AGAIN = re.compile(r"~\d+")


def name_of(deployment: JSON, delivery: JSON) -> str:
    """Of the test, and its file."""
    return f"{deployment['pattern'][:50]}-tap-{delivery['id'][-6:]}"


def document_of(server: Server, deployment: JSON, delivery: JSON, run: JSON | None) -> dict[str, JSON]:
    """`run` None: the call started none, and what the pattern should make of it is for its author to say."""
    request = delivery["request"]
    trigger = {
        key: request[key] for key in ("method", "path", "query", "headers", "body") if request.get(key)
    }
    case: dict[str, JSON] = {"name": f"the call of {delivery['at']}", "trigger": trigger}
    if run is not None:
        stubs = _stubs(server, run)
        case |= ({"stubs": stubs} if stubs else {}) | {"expect": _expected(server, run)}
    else:
        case["expect"] = {"status": "completed"}
    return {
        "apiVersion": "weft/v1",
        "kind": "PatternTest",
        "metadata": {"name": name_of(deployment, delivery)},
        "spec": {"pattern": deployment["pattern"], "cases": [case]},
    }


def written(document: JSON) -> str:
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100))


def _expected(server: Server, run: JSON) -> dict[str, JSON]:
    if run["status"] == "completed":
        output = _output(server, run["id"], run)
        return {"status": "completed", **({} if run.get("secret") else {"output": output})}
    error = run["error"] or {}
    status = run["status"] if run["endedAt"] else "completed"
    return {"status": status, **({"error": {"type": error["type"]}} if error else {})}


def _stubs(server: Server, run: JSON) -> dict[str, JSON]:
    """What the nodes gave that a test does not perform, by their paths in the pattern."""
    outside = [node for node in run["nodes"] if _is_outside(node)]
    paths = dict.fromkeys(_AGAIN.sub("", _ROUND.sub("", node["path"])) for node in outside)
    return {path: _stub(server, run["id"], [one for one in outside if _is_at(one, path)]) for path in paths}


def _is_outside(node: JSON) -> bool:
    known = node["uses"] == "call" or node["uses"] not in _REAL
    return known and node["uses"] is not None and node["status"] in ("completed", "failed")


def _is_at(node: JSON, path: str) -> bool:
    return _AGAIN.sub("", _ROUND.sub("", node["path"])) == path


def _stub(server: Server, run: str, nodes: Iterable[JSON]) -> JSON:
    nodes = sorted(nodes, key=lambda node: [int(n) for n in re.findall(r"\[(\d+)\]", node["path"])])
    gave = [_gave(server, run, node) for node in nodes]
    return {"$rounds": gave} if _ROUND.search(nodes[0]["path"]) else gave[-1]


def _gave(server: Server, run: str, node: dict[str, Any]) -> JSON:
    if node["status"] == "failed":
        error = node["error"] or {}
        return {"$error": {"type": error.get("type", "failed"), "message": error.get("message", "")}}
    output = _output(server, run, node, node=node["path"])
    is_like_one = isinstance(output, dict) and any(key.startswith("$") for key in output)
    return {"$output": output} if is_like_one else output


def _output(server: Server, run: str, holder: dict[str, Any], **query: str) -> JSON:
    """As it stands there, or from where it is kept apart. Of what is secret nothing is known."""
    if "outputUrl" in holder:
        return server.get("runs", run, "output", **query)
    return holder.get("output")
