"""How the tour looks: numbered steps with what each took, in colour on a terminal and plain elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.text import Text

from schemas.json_text import dump

INDENT = 3
WIDTH = 96  # columns; a terminal may have fewer
MARKS = {"completed": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("○", "dim")}


class Step:
    """What one step has to say; printed when it is over."""

    def __init__(self) -> None:
        self.lines: list[Text] = []
        self.took: float | None = None  # seconds, where a part of the step is what counts

    def say(self, text: str, style: str = "") -> None:
        self.lines.append(Text(text, style=style))

    def command(self, text: str) -> None:
        """Something that people could type themselves."""
        self.lines.append(Text.assemble(("$ ", "dim"), (text, "bold")))

    def diff(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.say(line, "red" if line.startswith("-") else "green")

    def nodes(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """The nodes of a run as the API gives them, nested ones below their container."""
        for node in nodes:
            self.lines.append(node_line(node))
            self.lines += [log_line(node, line) for line in node.get("log") or ()]


class Page:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(WIDTH, console.width) if console.is_terminal else WIDTH
        self._number = 0

    def say(self, text: str = "", style: str = "") -> None:
        self._print(Text(text, style=style))

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Times what happens within, then prints it; also when it fails."""
        self._number += 1
        step, started = Step(), time.perf_counter()
        busy = self._console.status(title) if self._console.is_terminal else nullcontext()
        try:
            with busy:
                yield step
        except Exception:
            self._print(self._headline(title, "✗", "bold red", time.perf_counter() - started), *step.lines)
            raise
        took = time.perf_counter() - started if step.took is None else step.took
        self._print(self._headline(title, str(self._number), "bold cyan", took), *step.lines)
        self.say()

    def _headline(self, title: str, mark: str, style: str, took: float) -> Text:
        shown = milliseconds(took)
        room = self._width - INDENT - len(title) - len(shown)
        return Text.assemble(
            (f"{mark:<{INDENT}}", style), (title, "bold"), " " * max(2, room), (shown, "cyan")
        )

    def _print(self, first: Text, *indented: Text) -> None:
        self._console.print(first, soft_wrap=True, highlight=False)
        for line in indented:
            self._console.print(Text(" " * INDENT).append_text(line), soft_wrap=True, highlight=False)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def node_line(node: Mapping[str, Any]) -> Text:
    mark, style = MARKS.get(node["status"], ("…", "yellow"))
    name = f"{'  ' * node['path'].count('/')}{node['id']}"
    if node["status"] == "skipped":
        return Text(f"{mark} {name:<16} {node['uses']:<7}    skipped", style="dim")
    shown = "" if node.get("output") is None else shortened(node["output"])
    duration = f"{node.get('durationMs') or 0:.1f} ms"
    return Text.assemble(
        (mark, style),
        f" {name:<16} ",
        (f"{node['uses']:<7}", "magenta"),
        (f"{duration:>10}", "cyan"),
        f"   {shown}",
    )


def log_line(node: Mapping[str, Any], line: Mapping[str, Any]) -> Text:
    indent = "  " * (node["path"].count("/") + 1)
    return Text(f"  {indent}{line['level']}: {line['message']}", style="italic")


def shortened(value: Any, most: int = 60) -> str:
    """A value as JSON, cut where it gets long."""
    text = dump(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
