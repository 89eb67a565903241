"""`print` as log lines, bounded. Standard library only."""

from __future__ import annotations

import io
from collections.abc import Callable

MAX_LINES = 1_000  # of one call
MAX_BYTES = 256 * 1024  # of one call
MAX_LINE = 4_000  # characters

Emit = Callable[[str, str], None]


class Budget:
    """What one call may still log, over both streams."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.renew()

    def renew(self) -> None:
        self._lines = MAX_LINES
        self._bytes = MAX_BYTES

    @property
    def spent(self) -> bool:
        return self._lines <= 0

    def spend(self, level: str, line: bytes, length: int) -> None:
        """Log `line`; `length` is what it was before it was cut."""
        if self.spent:
            return
        self._lines -= 1
        self._bytes -= len(line)
        if self._lines == 0 or self._bytes < 0:
            self._lines = 0
            self._emit(
                "error",
                f"more output was dropped: a call may log {MAX_LINES} lines and {MAX_BYTES // 1024} KiB",
            )
            return
        text = line.decode("utf-8", "replace")
        cut = length - len(line)
        self._emit(level, f"{text}… ({cut} bytes more were cut)" if cut else text)


class LogStream(io.RawIOBase):
    """The bottom of `sys.stdout` or `sys.stderr`: bytes in, lines out."""

    def __init__(self, level: str, budget: Budget) -> None:
        self._level = level
        self._budget = budget
        self._line = bytearray()
        self._length = 0

    @property
    def name(self) -> str:
        return f"<{self._level} log>"

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        if self._budget.spent:
            return len(data)
        *whole, rest = bytes(data).split(b"\n")
        for part in whole:
            self._add(part)
            self.end_line()
        self._add(rest)
        return len(data)

    def _add(self, part: bytes) -> None:
        self._length += len(part)
        self._line += part[: max(MAX_LINE - len(self._line), 0)]

    def end_line(self) -> None:
        self._budget.spend(self._level, bytes(self._line), self._length)
        self._line.clear()
        self._length = 0

    def end_call(self) -> None:
        """Log what was written without a newline at the end."""
        if self._length:
            self.end_line()


class LogText:
    """What `print` writes to. The same from call to call, for whoever kept it, unless it was closed."""

    def __init__(self, level: str, budget: Budget) -> None:
        self._level = level
        self._budget = budget
        self._new()

    def _new(self) -> None:
        self._stream = LogStream(self._level, self._budget)
        # Never fails for a character, and hands over at each newline.
        self._text = io.TextIOWrapper(
            self._stream, encoding="utf-8", errors="backslashreplace", line_buffering=True
        )

    def open(self) -> io.TextIOWrapper:
        if self._text.closed:
            self._new()
        return self._text

    def end_call(self) -> None:
        if not self._text.closed:
            self._text.flush()
        self._stream.end_call()
