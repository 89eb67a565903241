"""Why something cannot start, in one line for whoever typed the command."""

from __future__ import annotations


class StartError(Exception):
    """The message is one line: what is wrong, where, and what to do. The command ends with exit code 1."""
