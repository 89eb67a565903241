"""Data nodes, scripts and commands in runs: a real worker gives them their inputs, files, time and journal."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from running import Running

from store import wakeups


def test_a_file_is_parsed_checked_computed_and_written_again(service: Running) -> None:
    script = b"def main(rows):\n    return [{**row, 'total': float(row['total']) * 2} for row in rows]\n"
    nodes = [
        {"id": "rows", "uses": "parse", "with": {"format": "csv", "text": "${{ trigger.body.file }}"}},
        {
            "id": "checked",
            "uses": "validate",
            "with": {
                "value": "${{ nodes.rows }}",
                "schema": {"type": "array", "items": {"required": ["total"]}},
            },
        },
        {
            "id": "twice",
            "uses": "script",
            "with": {"file": "scripts/twice.py", "input": "${{ nodes.checked }}"},
        },
        {
            "id": "text",
            "uses": "format",
            "with": {"format": "csv", "value": "${{ nodes.twice }}", "columns": ["id", "total"]},
        },
        {
            "id": "sum",
            "uses": "shell",
            "with": {
                "command": ["scripts/count.sh", "${{ size(nodes.rows) }}"],
                "files": ["scripts/count.sh"],
                "stdin": "${{ nodes.text }}",
            },
        },
    ]
    count = b"#!/bin/sh\necho lines >&2\ncat\necho $1 rows\n"
    service.deploy("p", nodes, assets={"scripts/twice.py": script, "scripts/count.sh": count})
    run = service.run("p", {"file": "id,total\nä,1.5\nb,2\n"})
    assert (run["status"], run["error"]) == ("completed", None)
    written = "id,total\r\nä,3.0\r\nb,4.0\r\n"
    assert run["output"] == {"exitCode": 0, "stdout": f"{written}2 rows\n", "stderr": "lines\n"}
    log = service.spans(run["id"])["sum"]["log"]
    assert {(line["level"], line["message"].strip()) for line in log} >= {
        ("warning", "lines"),
        ("info", "2 rows"),
    }


@pytest.mark.parametrize(
    ("uses", "inputs", "type_", "message"),
    [
        ("parse", {"format": "json", "text": "${{ trigger.body.bad }}"}, "parse_error", "line 1, column 2: "),
        ("parse", {"format": "json", "text": "${{ trigger.body }}"}, "parse_error", "not a mapping"),
        ("format", {"format": "csv", "value": "${{ trigger.body }}"}, "format_error", "not of a mapping"),
        (
            "validate",
            {"value": "${{ trigger.body }}", "schema": {"required": ["n"]}},
            "invalid_data",
            '"n" is a req',
        ),
        (
            "validate",
            {"value": 1, "schema": "${{ trigger.body.bad }}"},
            "invalid_schema",
            "text is no JSON Schema",
        ),
        (
            "log",
            {"message": "x", "level": "${{ trigger.body.bad }}"},
            "invalid_data",
            "not one of debug, info",
        ),
        ("script", {"code": "def main(value):\n    return 1 / 0"}, "script_error", "ZeroDivisionError"),
        ("script", {"file": "scripts/away.py"}, "missing_asset", "scripts/away.py"),
        ("shell", {"command": ["sh", "-c", "echo why >&2; exit 4"]}, "shell_exit", "exit code 4: why"),
        ("shell", {"command": ["no-such-command"]}, "shell_not_found", "no command no-such-command"),
        ("shell", {"command": ["ls"], "files": ["scripts/away.sh"]}, "missing_asset", "scripts/away.sh"),
        ("shell", {"command": "${{ trigger.body.bad }}"}, "bad_command", "must be a list"),
        ("shell", {"command": ["sleep", "60"]}, "timeout", "sleep did not end within 0."),
    ],
)
def test_how_a_node_fails(
    service: Running, uses: str, inputs: dict[str, Any], type_: str, message: str
) -> None:
    service.deploy("p", [{"id": "n", "uses": uses, "with": inputs, "timeout": "300ms"}])
    run = service.run("p", {"bad": "{x"})
    assert (run["status"], run["error"]["type"]) == ("failed", type_), run["error"]
    assert message in run["error"]["message"]
    assert run["error"]["hint"], "every error says what to do"


def test_fields_of_a_log_line_may_have_any_name(service: Running) -> None:
    fields = {"level": "high", "message": "m", "at": 1}
    service.deploy("p", [{"id": "n", "uses": "log", "with": {"message": "text", "fields": fields}}])
    run = service.run("p")
    (line,) = service.spans(run["id"])["n"]["log"]
    assert (line["level"], line["message"], line["fields"]) == ("info", "text", fields)


FORKS = """
import os, time
def main(file):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 100)
            with open(file, "w") as told:
                told.write(str(os.getpid()))
            time.sleep(600)
        os._exit(0)
    time.sleep(600)
"""
COMMAND = ["sh", "-c", "setsid sh -c 'echo $$ > $0; exec sleep 600' $0 & sleep 601"]


@pytest.mark.parametrize("uses", ["script", "shell"])
def test_cancelling_a_run_leaves_no_process_behind(service: Running, tmp_path: Path, uses: str) -> None:
    told = tmp_path / "pid"
    inputs = {"script": {"code": FORKS, "input": str(told)}, "shell": {"command": [*COMMAND, str(told)]}}[
        uses
    ]
    service.deploy("p", [{"id": "n", "uses": uses, "with": inputs}])
    id_ = service.start("p")
    deadline = time.monotonic() + 10
    while not (told.exists() and told.read_text().strip()):
        assert time.monotonic() < deadline, service.read(id_)
        time.sleep(0.01)
    pid = int(told.read_text())
    os.kill(pid, 0)
    began = time.monotonic()
    with service.database.transaction() as connection:
        wakeups.cancel(connection, [id_])
    while _runs(pid):
        assert time.monotonic() - began < 2
        time.sleep(0.01)
    assert service.wait(id_)["status"] == "cancelled"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
