from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import typer
from weft_command import environment, weft

from cli.main import COMMANDS, make_app


def commands(app: typer.Typer) -> dict[str, Any]:
    found: dict[str, Any] = getattr(typer.main.get_command(app), "commands")  # noqa: B009 - a group has it
    return found


def test_the_table_of_commands_is_what_the_modules_register() -> None:
    assert set(commands(make_app())) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_found_in_its_module_and_has_an_example(command: str) -> None:
    found = commands(make_app(command))[command]
    assert "Example: " in found.help
    assert f"weft {command}" in found.help


def test_a_client_command_does_not_import_the_server() -> None:
    program = "import sys; from cli.main import make_app; make_app('runs'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True)
    imported = set(done.stdout.split())
    assert "cli.runs" in imported, done.stderr
    assert not imported & {"starlette", "dramatiq", "pygit2", "psycopg", "cel_expr_python"}


def test_an_unknown_command_is_wrong_usage() -> None:
    done = weft("deplyo")
    assert done.returncode == 2
    assert "No such command 'deplyo'" in done.stderr


GROUPS = {"token": {"create", "list", "revoke"}, "template": {"list", "use", "create"}}


@pytest.mark.parametrize("word", GROUPS)
def test_every_command_of_a_group_has_an_example(word: str) -> None:
    group = commands(make_app(word))[word]
    assert set(group.commands) == GROUPS[word]
    for name, found in group.commands.items():
        assert f"Example: weft {word} {name}" in found.help
