"""Customers from CSV text: the good rows, and for each bad one its line and the reason."""

from __future__ import annotations

import csv
import io
from typing import Any

COLUMNS = ("name", "email", "country")


def check(given: dict[str, Any]) -> dict[str, Any]:
    """Takes {"text": CSV with a header}; gives {"rows": [{…}], "refused": [{"line", "reason"}]}."""
    reader = csv.DictReader(io.StringIO(given["text"]))
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"the file has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    rows: list[dict[str, str]] = []
    refused: list[dict[str, Any]] = []
    for row in reader:
        reason = _reason_against(row)
        if reason:
            refused.append({"line": reader.line_num, "reason": reason})
        else:
            rows.append({column: row[column].strip() for column in COLUMNS})
    print(f"{len(rows)} rows are good, {len(refused)} are not")
    return {"rows": rows, "refused": refused}


def _reason_against(row: dict[str, Any]) -> str | None:
    empty = [column for column in COLUMNS if not (row[column] or "").strip()]
    if empty:
        return f"{', '.join(empty)} is empty"
    if "@" not in row["email"]:
        return f"{row['email']!r} is no email address"
    return None
