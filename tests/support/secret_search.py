"""A search for secrets in all that an installation keeps and has said."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from installation import Installation

SHORTEST_LINE = 8


def spelled(secret: str) -> set[bytes]:
    """Every way in which it would be found; made apart from what the product does."""
    raw = secret.encode()
    found = {raw, raw.hex().encode()}
    for safe in ("", "/"):
        found.add(quote(secret, safe=safe).encode())
    found.add(quote_plus(secret).encode())
    for ascii_ in (True, False):
        once = json.dumps(secret, ensure_ascii=ascii_)[1:-1]
        found |= {once.encode(), json.dumps(once)[1:-1].encode()}
    for before in range(3):
        # What stays the same wherever it stands in what is encoded.
        cut = (before + len(raw)) // 3 * 3 - before
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(b"\0" * before + raw[:cut])[(0, 4, 4)[before] :])
    found |= {line.encode() for line in secret.split("\n") if "\n" in secret and len(line) >= SHORTEST_LINE}
    return {one for one in found if len(one) >= 4}


class Search:
    """`find` gives where something was found: a place and what it was."""

    def __init__(self, service: Installation) -> None:
        self._service = service

    def find(self, secrets: Iterable[str], said: Mapping[str, str]) -> list[tuple[str, bytes]]:
        """`said`: what commands and answers said, by where that was."""
        wanted = {one for secret in secrets for one in spelled(secret)}
        return [
            (place, one) for place, content in self._places(said) for one in sorted(wanted) if one in content
        ]

    def _places(self, said: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
        for place, text in said.items():
            yield place, text.encode()
        yield from self._tables()
        yield from self._broker()
        yield from self._files()

    def _tables(self) -> Iterator[tuple[str, bytes]]:
        with self._service.database() as connection:
            tables = connection.execute(
                """SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                   WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"""
            ).fetchall()
            for (table,) in tables:
                with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as rows:
                    content = b"".join(bytes(row) for row in rows)
                    yield table, content
                    yield table, content.replace(b"\\\\", b"\\")  # as it was before COPY

    def _broker(self) -> Iterator[tuple[str, bytes]]:
        with self._service.broker() as broker:
            for key in broker.scan_iter():
                yield f"broker: {key!r}", key + b" " + (broker.dump(key) or b"")

    def _files(self) -> Iterator[tuple[str, bytes]]:
        """The logs of all processes, the cluster with its write-ahead log, blobs, repositories."""
        for path in sorted(self._service.folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(self._service.folder)), _content(path)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # of PostgreSQL, meanwhile
        return b""
