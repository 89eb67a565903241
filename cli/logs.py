"""Logs are events: a constant name and fields. Lines of text on a terminal, lines of JSON elsewhere."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

LEVELS = ("debug", "info", "warning", "error")
FORMS = ("text", "json")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def parse_log(text: str) -> tuple[str, str | None]:
    """The level and the form that a WEFT_LOG names (`debug`, `json`, `info,json`). Raises ValueError."""
    level, form = "info", None
    for word in filter(None, (word.strip().lower() for word in text.split(","))):
        if word in LEVELS:
            level = word
        elif word in FORMS:
            form = word
        else:
            raise ValueError(word)
    return level, form


def set_up_logs(log: str, stream: TextIO | None = None) -> None:
    """Sends this process's log to `stream` (standard error), at the level and in the form of `log`."""
    level, form = parse_log(log)
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        TextLines() if (form or ("text" if target.isatty() else "json")) == "text" else JsonLines()
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "dramatiq", "uvicorn"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _OWN}


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `event`, `logger`, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            **fields_of(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """`09:30:00 info     worker_died  pid=42 signal=SIGKILL`"""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        fields = " ".join(f"{name}={value}" for name, value in fields_of(record).items())
        line = f"{time} {record.levelname.lower():8} {record.getMessage()}  {fields}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
