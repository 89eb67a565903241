"""The framing of Git's wire protocol: pkt-lines, side-bands and what a push asks for. Pure.

Formats: gitprotocol-common(5), gitprotocol-pack(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from reconciler.git.refs import ABSENT, RefUpdate

FLUSH = b"0000"
HEADER = 4
MAX_PACKET = 65520
MAX_BAND = MAX_PACKET - HEADER - 1

REPORT_BAND = 1
MESSAGE_BAND = 2

# Not `quiet`: it silences progress, of which there is none, and Git asks for it whenever it has no terminal.
CAPABILITIES = "report-status delete-refs side-band-64k atomic ofs-delta object-format=sha1 agent=weft"

COMMAND = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40}) ([^\0\n]+)\n?")
SHALLOW = re.compile(rb"shallow [0-9a-f]{40}\n?")
VERSION = re.compile(r"(?:^|:)version=([0-2])(?::|$)")
# What Git sends as `Git-Protocol`: keys and values, separated by colons. Anything else is not passed on.
GIT_PROTOCOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9=._:-]{0,199}")
# Line ends would break the framing, other control characters would reach the pusher's terminal.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]+")


class ProtocolError(Exception):
    """What the client sent is not Git's protocol: the message says where it breaks."""


@dataclass(frozen=True, kw_only=True)
class PushRequest:
    """The commands of one push, before its pack."""

    updates: tuple[RefUpdate, ...]
    capabilities: frozenset[str]
    shallow: bool

    @property
    def brings_objects(self) -> bool:
        """A push that only deletes is followed by no pack."""
        return any(update.new != ABSENT for update in self.updates)


def packet(payload: bytes) -> bytes:
    return b"%04x%b" % (len(payload) + HEADER, payload)


def packet_length(header: bytes) -> int:
    """Length of the whole pkt-line, its header included; 0 for a flush."""
    try:
        length = int(header, 16)
    except ValueError:
        raise ProtocolError(
            f"a pkt-line starts with {header!r} where four hexadecimal digits belong"
        ) from None
    if length > MAX_PACKET or 0 < length < HEADER:
        raise ProtocolError(f"a pkt-line says it has {length} bytes; 4 to {MAX_PACKET} are possible")
    return length


def on_band(band: int, data: bytes) -> Iterator[bytes]:
    """The data as packets of one side-band, none longer than `side-band-64k` allows."""
    for start in range(0, len(data), MAX_BAND):
        yield packet(bytes([band]) + data[start : start + MAX_BAND])


def message(lines: Iterable[str]) -> bytes:
    """What the pusher's terminal shows behind `remote:`, as packets."""
    text = "".join(f"{printable(line)}\n" for part in lines for line in part.split("\n"))
    return b"".join(on_band(MESSAGE_BAND, text.encode()))


def printable(text: str) -> str:
    return CONTROL.sub(" ", text)


def protocol_version(git_protocol: str | None) -> int:
    """The version that a `Git-Protocol` header asks for; 0 without one."""
    found = VERSION.search(git_protocol or "")
    return int(found.group(1)) if found else 0


def advertisement(refs: Sequence[tuple[str, str]], version: int) -> bytes:
    """The answer to `info/refs?service=git-receive-pack`: `refs` are pairs of object id and name.

    A push knows no version 2: as Git itself does, it is then answered as version 0.
    """
    listed = refs or [(ABSENT, "capabilities^{}")]
    lines = [f"{oid} {name}".encode() for oid, name in listed]
    lines[0] += f"\0{CAPABILITIES}".encode()
    opening = packet(b"# service=git-receive-pack\n") + FLUSH
    if version == 1:
        opening += packet(b"version 1\n")
    return opening + b"".join(packet(line + b"\n") for line in lines) + FLUSH


def parse_push(lines: Sequence[bytes]) -> PushRequest:
    """The commands between the start of the request and its flush."""
    updates: list[RefUpdate] = []
    capabilities: frozenset[str] = frozenset()
    shallow = False
    for line in lines:
        if SHALLOW.fullmatch(line):
            shallow = True
            continue
        if not updates:
            line, _, offered = line.partition(b"\0")
            capabilities = frozenset(offered.decode(errors="replace").split())
        updates.append(_parse_command(line))
    if not updates:
        raise ProtocolError("the push names no ref")
    return PushRequest(updates=tuple(updates), capabilities=capabilities, shallow=shallow)


def _parse_command(line: bytes) -> RefUpdate:
    found = COMMAND.fullmatch(line)
    if not found:
        raise ProtocolError(f"a command reads {line[:120]!r} where `<old id> <new id> <ref>` belongs")
    old, new, ref = found.groups()
    try:
        return RefUpdate(ref=ref.decode(), old=old.decode(), new=new.decode())
    except UnicodeDecodeError:
        raise ProtocolError(f"the name of a ref is not UTF-8: {ref[:120]!r}") from None


def report(unpack: str, results: Sequence[tuple[str, str | None]]) -> bytes:
    """The report-status: `unpack` is `ok` or why not; a result is a ref and, when refused, the reason."""
    lines = [f"unpack {printable(unpack)}"]
    for ref, reason in results:
        lines.append(f"ok {ref}" if reason is None else f"ng {ref} {printable(reason)}")
    return b"".join(packet(_shortened(line)) for line in lines) + FLUSH


def _shortened(line: str) -> bytes:
    return line.encode()[:4000].decode(errors="ignore").encode() + b"\n"
