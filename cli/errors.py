"""Why a command ends early, in one line for whoever typed it."""

from __future__ import annotations


class CommandError(Exception):
    """The message is one line: what is wrong, where, what to do. `weft` prints it and ends so."""

    exit_code = 1


class StartError(CommandError):
    """Something cannot start."""
