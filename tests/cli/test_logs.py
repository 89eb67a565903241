from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from cli.logs import parse_log, set_up_logs


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(log: str) -> str:
    stream = io.StringIO()
    set_up_logs(log, stream)
    logger = logging.getLogger("weft.test")
    logger.info("run_finished", extra={"run": "r1", "ms": 4})
    try:
        int("no")
    except ValueError:
        logger.exception("run_broken")
    return stream.getvalue()


def test_json_is_one_object_a_line_with_the_fields_beside_the_event() -> None:
    first, second = map(json.loads, logged("json").splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {"level": "info", "event": "run_finished", "logger": "weft.test", "run": "r1", "ms": 4}
    assert second["event"] == "run_broken"
    assert second["traceback"].endswith("ValueError: invalid literal for int() with base 10: 'no'")


def test_text_puts_the_fields_behind_the_event() -> None:
    line = logged("info,text").splitlines()[0]
    assert line.endswith(" info     run_finished  run=r1 ms=4")


def test_the_level_leaves_out_what_is_below_it() -> None:
    assert "run_finished" not in logged("warning,json")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", ("info", None)),
        ("DEBUG", ("debug", None)),
        ("text", ("info", "text")),
        ("json, error", ("error", "json")),
    ],
)
def test_a_level_a_form_or_both(text: str, meant: tuple[str, str | None]) -> None:
    assert parse_log(text) == meant
