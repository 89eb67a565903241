"""`git clone` and `git fetch`: Git's own upload-pack, between the connection and the repository."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from web.git.answer import Answer
from web.git.body import Body, Receive
from web.git.child import Child, environment
from web.git.errors import UNREADABLE, ClientGoneError, RequestError
from web.git.limits import GitLimits
from web.git.protocol import FLUSH, packet, protocol_version
from web.git.threads import Threads

log = logging.getLogger(__name__)

RESULT = "application/x-git-upload-pack-result"
ADVERTISEMENT = "application/x-git-upload-pack-advertisement"


class UploadPack:
    """Serves fetches, a few at a time; the others wait for their turn."""

    def __init__(self, limits: GitLimits, threads: Threads) -> None:
        self._limits = limits
        self._threads = threads
        self._turns = asyncio.Semaphore(limits.fetches)

    async def advertise(
        self, repository: Path, protocol: str | None, receive: Receive, answer: Answer
    ) -> None:
        opening = b"" if protocol_version(protocol) == 2 else packet(b"# service=git-upload-pack\n") + FLUSH
        arguments = ("upload-pack", "--stateless-rpc", "--advertise-refs", "--strict", str(repository))
        async with self._turns:
            child = await self._start(arguments, repository, protocol, subprocess.DEVNULL)
            await self._relay(child, ADVERTISEMENT, opening, receive, answer)

    async def serve(
        self, repository: Path, protocol: str | None, body: Body, receive: Receive, answer: Answer
    ) -> None:
        """The request is read to its end first: it is small, and a client that sends need not listen."""
        with tempfile.TemporaryFile() as request:
            while piece := await body.piece():
                request.write(piece)
            request.seek(0)
            arguments = ("upload-pack", "--stateless-rpc", "--strict", str(repository))
            async with self._turns:
                child = await self._start(arguments, repository, protocol, request)
                await self._relay(child, RESULT, b"", receive, answer)

    async def _start(
        self, arguments: tuple[str, ...], repository: Path, protocol: str | None, stdin: IO[bytes] | int
    ) -> Child:
        scrubbed = environment(repository, protocol=protocol)
        return await self._threads.start_child(arguments, environment=scrubbed, stdin=stdin)

    async def _relay(
        self, child: Child, content_type: str, opening: bytes, receive: Receive, answer: Answer
    ) -> None:
        """Output to the client as it comes, until it ends, the client goes, or the time is over."""
        pump = asyncio.ensure_future(self._pump(child, content_type, opening, answer))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait(
                {pump, gone}, timeout=self._limits.duration, return_when=asyncio.FIRST_COMPLETED
            )
            if not pump.done():
                raise ClientGoneError("the client left, or took too long")
            pump.result()
        finally:
            pump.cancel()
            gone.cancel()
            await self._threads.start(child.close)

    async def _pump(self, child: Child, content_type: str, opening: bytes, answer: Answer) -> None:
        """What upload-pack itself has to complain about is in its output, in Git's own words."""
        piece = await self._threads.start(child.read)
        if not piece:
            await self._threads.start(child.finish)
            log.error("git.upload_pack_failed", extra={"complaint": child.complaint()})
            raise RequestError(500, UNREADABLE)
        await answer.start(content_type)
        await answer.piece(opening)
        while piece:
            await answer.piece(piece)
            piece = await self._threads.start(child.read)
        await answer.end()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
