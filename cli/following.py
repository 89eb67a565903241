"""A run on the screen as it happens."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

from cli.printing import short
from cli.run_events import Event
from cli.run_log import SETTLED, end_lines, header, node_lines, width_of
from schemas.pattern import BLOCKS, JSON

NOW_AND_THEN = 5.0
"""Seconds between two lines of progress where nothing can be written in place."""


def follow(console: Console, events: Iterable[Event]) -> JSON:
    """Prints a run's nodes as they begin and end, and its log as it comes. Gives the ended run."""
    with _Screen(console) as screen:
        for event in events:
            screen.show(event)
    return screen.run


class _Screen:
    def __init__(self, console: Console) -> None:
        self.run: JSON = None
        self._console = console
        self._attempt = 1
        self._begun: dict[str, JSON] = {}  # path of a node that goes on → what is printed of that
        self._log: dict[str, list[JSON]] = {}  # lines of nodes of which nothing is printed yet
        self._last = ""  # the node that was printed last
        self._failed: set[str] = set()
        self._progress = _Progress(console)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.close()

    def show(self, event: Event) -> None:
        match event.event:
            case "run":
                self._show_run(event.data)
            case "node":
                self._show_node(event.data)
            case "log":
                self._show_line(event.data)
            case "end":
                self._end()

    def _show_run(self, run: JSON) -> None:
        if self.run is None:
            self._print([header(run)])
        self.run = run

    def _show_node(self, node: JSON) -> None:
        self._begin_attempt(node["runAttempt"])
        path, settled = node["path"], node["status"] in SETTLED
        if node.get("progress"):
            self._progress.move(path, node["progress"])
        elif settled:
            self._progress.finish(path)
        if settled:
            self._print_node(node)
        elif not _is_container(node) and not _is_item(node):
            goes_on = [node["status"], node["attempt"]]
            if self._begun.get(path) != goes_on:
                self._print_node(node)
                self._begun[path] = goes_on

    def _begin_attempt(self, attempt: int) -> None:
        if attempt > self._attempt:
            self._attempt = attempt
            self._begun.clear()
            self._log.clear()
            self._print([Text(f"  attempt {attempt}")])

    def _print_node(self, node: JSON) -> None:
        """Of items only what went wrong: how many are done is told as progress."""
        log = self._log.pop(node["path"], [])
        if node["error"] and node["status"] == "failed":
            self._failed.add(node["path"])
        if not _is_item(node) or node["error"] or log:
            which = {"name": node["path"]} if _is_item(node) else {}
            self._print(node_lines({**node, **which, "log": log}, width_of(self._console)))
            self._last = node["path"]

    def _show_line(self, line: JSON) -> None:
        self._begin_attempt(line["runAttempt"])
        path, level = line["path"], line.get("level", "info")
        if path not in self._begun and not _in_item(path):
            self._log.setdefault(path, []).append(line)
            return
        indent = "      " + "  " * path.count("/")
        said = "" if path == self._last else f"{path}: "
        room = max(width_of(self._console) - len(indent) - len(level) - 2, 20)
        text = short(f"{said}{line.get('message', '')}", room)
        self._print([Text(f"{indent}{level}  {text}", style="dim")])

    def _end(self) -> None:
        self._progress.close()
        said = bool(self.run["error"]) and self.run["error"].get("node") in self._failed
        self._print(end_lines(self.run, width_of(self._console), said=said))
        self._print([header(self.run)])

    def _print(self, lines: Iterable[Text]) -> None:
        for line in lines:
            self._console.print(line, soft_wrap=True)


class _Progress:
    """`each 37/100`, in place on a terminal, elsewhere as a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._open: dict[str, str] = {}
        self._status: Status | None = None
        self._printed = time.monotonic()

    def move(self, path: str, progress: JSON) -> None:
        total = "" if progress["total"] is None else f"/{progress['total']}"
        self._open[path] = f"{path} {progress['done']}{total}"
        if self._console.is_terminal:
            self._draw()
        elif time.monotonic() - self._printed >= NOW_AND_THEN:
            self._printed = time.monotonic()
            self._console.print(Text(f"  {self._open[path]}"), soft_wrap=True)

    def finish(self, path: str) -> None:
        if self._open.pop(path, None) is not None and self._console.is_terminal:
            self._draw()

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _draw(self) -> None:
        text = Text("  ".join(self._open.values()))
        if not self._open:
            self.close()
        elif self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)


def _is_container(node: JSON) -> bool:
    """Whether it only holds others: that it goes on is seen from those."""
    return node["status"] == "running" and node["uses"] in BLOCKS


def _is_item(node: JSON) -> bool:
    return _in_item(node["path"])


def _in_item(path: str) -> bool:
    return "[" in path
