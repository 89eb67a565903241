"""`git push`: the commands and the pack come in, the receiver decides, the pusher reads what came of it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from reconciler.actor import Actor
from reconciler.git.errors import GitError
from reconciler.git.quarantine import PREFIX, sweep
from reconciler.git.repository import Repository
from store.database import StoreError
from web.git.answer import Answer
from web.git.body import Body
from web.git.errors import UNREADABLE, RequestError
from web.git.limits import GitLimits
from web.git.protocol import REPORT_BAND, PushRequest, advertisement, packet, parse_push
from web.git.receiver import Receiver
from web.git.threads import Threads
from web.git.unpack import UnpackError, Unpacking
from web.git.verdict import Verdict, all_refused, not_unpacked, refusals, told

log = logging.getLogger(__name__)

RESULT = "application/x-git-receive-pack-result"
FAILED = "the server failed, see its log; `git fetch` shows whether this ref moved"
KEEP_ALIVE = packet(bytes([REPORT_BAND]))

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Pusher:
    """Whose push it is, and to where."""

    organisation: str
    repository: Path
    actor: Actor


def advertised(repository: Path, version: int) -> bytes:
    """All refs and what this server can do."""
    try:
        refs = Repository(repository).refs()
    except GitError:
        log.exception("git.repository_unreadable", extra={"repository": str(repository)})
        raise RequestError(500, UNREADABLE) from None
    return advertisement([(oid, name) for name, oid in sorted(refs.items())], version)


class ReceivePack:
    """Takes pushes, a few at a time; the others wait for their turn before their pack is read."""

    def __init__(self, receiver: Receiver, limits: GitLimits, threads: Threads) -> None:
        self._receiver = receiver
        self._limits = limits
        self._threads = threads
        self._turns = asyncio.Semaphore(limits.pushes)

    async def serve(self, pusher: Pusher, body: Body, answer: Answer) -> None:
        request = await self._request(body)
        if request is None:  # Git's probe before a large push: may I?
            await answer.whole(RESULT, b"")
            return
        async with self._turns:
            verdict = await self._verdict(pusher, request, body, answer)
        if not answer.started:
            await answer.start(RESULT)
        await answer.end(told(request, verdict))

    async def _request(self, body: Body) -> PushRequest | None:
        lines: list[bytes] = []
        while (line := await body.packet()) is not None:
            lines.append(line)
            if len(lines) > self._limits.commands:
                raise RequestError(
                    413, f"A push may name {self._limits.commands} refs: push them in several steps."
                )
        return parse_push(lines) if lines else None

    async def _verdict(self, pusher: Pusher, request: PushRequest, body: Body, answer: Answer) -> Verdict:
        judge = Judge(self._receiver, pusher, request)
        if not request.brings_objects:
            await answer.start(RESULT)
            return await self._kept_alive(self._threads.start(judge.verdict, None), request, answer)
        quarantine = await self._threads.start(_quarantine, pusher.repository)
        judging = False
        try:
            unpacking = Unpacking(pusher.repository, quarantine, self._threads)
            await self._unpack(unpacking, request, body, answer)
            judging = True
            return await self._kept_alive(self._threads.start(judge.verdict, quarantine), request, answer)
        except UnpackError as error:
            return not_unpacked(request, str(error))
        finally:
            if not judging:  # else the judge removes it, also when this request is cancelled meanwhile
                await self._threads.start(shutil.rmtree, quarantine, ignore_errors=True)

    async def _unpack(self, unpacking: Unpacking, request: PushRequest, body: Body, answer: Answer) -> None:
        try:
            async with asyncio.timeout(self._limits.duration):
                body.allow(self._limits.pack)
                await unpacking.feed(body)
                await answer.start(RESULT)
                await self._kept_alive(unpacking.finish(), request, answer)
        except TimeoutError:
            raise UnpackError(
                f"it took longer than {self._limits.duration:g} s: push in several steps"
            ) from None
        finally:
            await unpacking.close()

    async def _kept_alive(self, work: asyncio.Future[T], request: PushRequest, answer: Answer) -> T:
        """The result of the work; now and then an empty packet, as Git's receive.keepAlive does."""
        while not work.done():
            await asyncio.wait({work}, timeout=self._limits.keep_alive)
            if not work.done() and "side-band-64k" in request.capabilities:
                await answer.piece(KEEP_ALIVE)
        return work.result()


class Judge:
    """Everything between the arrival of the objects and the report, in one thread."""

    def __init__(self, receiver: Receiver, pusher: Pusher, request: PushRequest) -> None:
        self._receiver = receiver
        self._pusher = pusher
        self._request = request

    def verdict(self, quarantine: Path | None) -> Verdict:
        """Removes the quarantine: what the receiver took over is not in it any more."""
        try:
            return self._verdict(quarantine)
        except (GitError, StoreError) as error:
            log.exception("git.push_failed", extra={"organisation": self._pusher.organisation})
            return all_refused(self._request, str(error))
        except Exception:  # the top of a push: the pusher must get a report whatever happens
            log.exception("git.push_failed", extra={"organisation": self._pusher.organisation})
            return all_refused(self._request, FAILED)
        finally:
            if quarantine is not None:
                shutil.rmtree(quarantine, ignore_errors=True)

    def _verdict(self, quarantine: Path | None) -> Verdict:
        contradictions = refusals(self._request)
        if contradictions:
            return Verdict(refused=contradictions)
        pusher = self._pusher
        outcome = self._receiver.push(
            pusher.organisation, self._request.updates, quarantine=quarantine, pusher=pusher.actor
        )
        return Verdict(refused=outcome.refused, lines=outcome.lines)


def _quarantine(repository: Path) -> Path:
    """A new folder for the objects of one push. What crashed pushes left behind goes with the next push."""
    objects = repository / "objects"
    sweep(objects)
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=objects))
