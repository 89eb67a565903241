"""The parts of the service, each in processes of its own, forked from one that has everything imported."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NoReturn, Protocol

from cli.embedded.child import die_with_parent
from store.settings import ServiceSettings

log = logging.getLogger(__name__)

PR_SET_NAME = 15  # <sys/prctl.h>
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # by the supervisor


class Main(Protocol):
    """What a part does: blocks, and returns after SIGTERM.

    A worker gets `worker_id` (random, never used again) and in `replaces` the ids of dead workers
    whose runs it must free as its first act; for other parts they are None and empty.
    """

    def __call__(
        self, settings: ServiceSettings, *, worker_id: str | None, replaces: tuple[str, ...]
    ) -> None: ...


class Stage(IntEnum):
    """In this order the parts are stopped; the servers follow."""

    INTAKE = 0  # what brings new work: web, controller
    WORK = 1  # what does it: workers, which give their runs back


@dataclass(frozen=True, kw_only=True)
class Part:
    """One kind of process. `once` True: it is not started again when it ends."""

    name: str
    main: Main
    settings: ServiceSettings
    count: int = 1
    stage: Stage = Stage.INTAKE
    once: bool = False

    @property
    def is_worker(self) -> bool:
        return self.stage is Stage.WORK


@dataclass(frozen=True, kw_only=True)
class Life:
    """One process of a part. `worker_id` and `replaces` as in `Main`."""

    part: Part
    worker_id: str | None
    replaces: tuple[str, ...]


def fork(life: Life, private: Iterable[int]) -> int:
    """Starts the process; gives its pid. `private` are the supervisor's descriptors, which it closes.

    Call it without threads and connections. Signals wait while the handlers are still the supervisor's.
    """
    parent = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            _live(life, parent, private)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _live(life: Life, parent: int, private: Iterable[int]) -> NoReturn:
    code = 1
    try:
        _leave_the_supervisor(life, parent, private)
        life.part.main(life.part.settings, worker_id=life.worker_id, replaces=life.replaces)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # the top of this process: whatever it was, it is told once and ends here
        log.exception("process_failed", extra={"part": life.part.name, "pid": os.getpid()})
    finally:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)  # what the supervisor still has on the stack is not ours to unwind


def _leave_the_supervisor(life: Life, parent: int, private: Iterable[int]) -> None:
    os.setpgid(0, 0)  # a terminal's Ctrl-C reaches us through the supervisor alone, in its order
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    # Killed, not asked: the database goes at the same moment, and a crash is something runs survive.
    die_with_parent(signal.SIGKILL, parent)
    ctypes.CDLL(None).prctl(PR_SET_NAME, f"weft-{life.part.name}".encode()[:15], 0, 0, 0)
    for descriptor in private:
        if descriptor != life.part.settings.listener:
            os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
