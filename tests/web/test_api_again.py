"""Which nodes count as done when a run is run once more."""

import pytest

from schemas.pattern import Node, OnError
from store.spans import SpanStatus
from web.api.again import Done, kept_before, kept_behind_failure


def node(id_: str, uses: str = "set", **fields: object) -> Node:
    return Node(id=id_, uses=uses, **fields)  # type: ignore[arg-type]


BRANCH = node("box", "branch", blocks={"then": (node("x"), node("y"), node("z")), "else": (node("w"),)})
LIST = (node("a"), BRANCH, node("b"), node("beside", needs=()), node("last", needs=("beside", "b")))
EVERY = {"a", "box", "box/x", "box/y", "box/z", "b", "beside", "last"}


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("a", {"beside"}),
        ("box", {"a", "beside"}),
        ("box/y", {"a", "box/x", "beside"}),
        ("box/x", {"a", "beside"}),
        ("b", {"a", "box", "box/x", "box/y", "box/z", "beside"}),
        ("beside", EVERY - {"beside", "last"}),
        ("last", EVERY - {"last"}),
    ],
)
def test_a_node_is_redone_with_all_that_comes_after_it_and_what_it_is_in_is_entered_again(
    path: str, kept: set[str]
) -> None:
    assert kept_before(path, LIST, EVERY) == kept


def test_only_what_the_order_could_go_on_behind_is_kept() -> None:
    nodes = {name: node(name) for name in ("done", "skipped", "failed", "cut", "open", "waits")}
    nodes["passed"] = node("passed", on_error=OnError.CONTINUE)
    nodes["stop"] = node("stop", "stop")
    journal = [
        Done("done", SpanStatus.COMPLETED),
        Done("skipped", SpanStatus.SKIPPED),
        Done("failed", SpanStatus.FAILED),
        Done("passed", SpanStatus.FAILED),
        Done("cut", SpanStatus.CANCELLED),
        Done("open", SpanStatus.RUNNING),
        Done("waits", SpanStatus.WAITING),
        Done("stop", SpanStatus.COMPLETED),
        Done("of-another-version", SpanStatus.COMPLETED),
    ]
    assert kept_behind_failure(journal, nodes) == {"done", "skipped", "passed"}
