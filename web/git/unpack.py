"""The objects of a push, from the connection into a quarantine."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from web.git.body import Body
from web.git.child import Child, environment
from web.git.errors import BodyTooLargeError
from web.git.threads import Threads

PACK_HEADER = 12
# Below, loose objects are quicker; each costs a flush of its own to the disk, a pack and its index cost two.
UNPACK_LIMIT = 30

LOOSE = ("unpack-objects", "-q", "--strict")
PACKED = ("index-pack", "--stdin", "--strict", "--fix-thin")

# How unpack-objects and index-pack say that a parent, tree or delta base is neither in the pack nor here.
MISSING = ("object of unexpected type", "did not receive expected object", "unresolved delta")


class UnpackError(Exception):
    """The objects did not arrive in order. The message is for the pusher."""


class Unpacking:
    """One pack on its way into the quarantine. Feed it, finish it, close it in any case."""

    def __init__(self, repository: Path, quarantine: Path, threads: Threads) -> None:
        self._environment = environment(repository, quarantine=quarantine)
        self._threads = threads
        self._child: Child | None = None

    async def feed(self, body: Body) -> None:
        """Take the whole body; afterwards the client is ready to listen."""
        try:
            header = await body.exactly(PACK_HEADER)
            objects = object_count(header)
            if objects:
                await self._forward(header, body, LOOSE if objects < UNPACK_LIMIT else PACKED)
        except BodyTooLargeError as error:
            await body.discard()
            raise UnpackError(
                f"the pack has {error}: push in several steps, or keep large files elsewhere"
            ) from None
        except UnpackError:
            await body.discard()
            raise
        await body.discard()

    async def _forward(self, header: bytes, body: Body, program: tuple[str, ...]) -> None:
        child = self._child = await self._threads.start_child(
            program, environment=self._environment, stdin=subprocess.PIPE
        )
        piece = header
        while piece:
            taken = await self._threads.start(child.write, piece)
            piece = await body.piece() if taken else b""

    def finish(self) -> asyncio.Future[None]:
        """Done when every object is checked and written."""
        return self._threads.start(self._finish)

    def _finish(self) -> None:
        if self._child is not None and self._child.finish() != 0:
            raise UnpackError(explained(self._child.complaint()))

    async def close(self) -> None:
        if self._child is not None:
            await self._threads.start(self._child.close)


def object_count(header: bytes) -> int:
    """How many objects a pack says it has, see gitformat-pack(5)."""
    if not header:
        raise UnpackError("the push ended before its pack: push again")
    if len(header) < PACK_HEADER or header[:4] != b"PACK":
        raise UnpackError("what follows the commands is not a pack: push again with a standard git client")
    return int.from_bytes(header[8:12], "big")


def explained(complaint: str) -> str:
    """One line for the pusher from what Git said on standard error."""
    lines = [line for line in complaint.splitlines() if line.startswith(("fatal: ", "error: "))]
    said = lines[-1].partition(": ")[2] if lines else complaint or "Git ended without a word"
    if "No space left" in complaint:
        return "the server's disk is full: tell its administrator"
    if "over limit" in complaint:
        return f"one object is too large ({said}): keep large files elsewhere"
    if any(sign in complaint for sign in MISSING):
        return (
            f"objects are missing ({said}): in a shallow clone run `git fetch --unshallow`, then push again"
        )
    return f"the pack is broken ({said}): run `git fsck` in your clone, then push again"
