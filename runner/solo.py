"""Runs under which workers died, each alone in a process of its own: what dies then, dies of nothing else.

A worker that dies takes whatever else it has in hand along, and nobody can tell whose fault it was. So the second
crash makes a run a suspect: no worker claims it beside others. It is executed here, and only here a crash
makes a dead letter.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from store.s3_blobs import BlobPlace

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Such processes of one worker: each needs as much memory as a worker."""

Died = Callable[[str], None]
"""Told the name that a process had its run under, when it did not end by itself."""


class Addresses(NamedTuple):
    """What a worker is made with. `databases` is the folder of the databases that are files, `secrets` what
    `SecretPlaces` tells.
    """

    database: str
    broker: str
    databases: str | None
    secrets: dict[str, Any]
    blobs: BlobPlace | None = None


class Solo:
    def __init__(self, addresses: Addresses, died: Died) -> None:
        self._addresses = addresses
        self._died = died
        self._mutex = threading.Lock()
        self._runs: set[str] = set()
        self._processes: set[subprocess.Popen[str]] = set()
        self._leaving = False
        self._threads = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="solo")

    def take(self, runs: Iterable[str]) -> None:
        """Execute these as soon as there is room, unless they wait here or are at work already."""
        with self._mutex:
            new = [] if self._leaving else [run for run in runs if run not in self._runs]
            self._runs.update(new)
        for run in new:
            self._threads.submit(self._execute, run)

    def leave(self) -> None:
        """Have what is at work given back; nothing else begins."""
        with self._mutex:
            self._leaving = True
            processes = list(self._processes)
        for process in processes:
            process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Wait until that is done."""
        self.leave()
        self._threads.shutdown(cancel_futures=True)

    def _execute(self, run: str) -> None:
        name = uuid.uuid4().hex
        try:
            code = self._wait(run, name)
            if code:
                log.error("suspect_died", extra={"run": run, "exit": code})
                self._died(name)
        except Exception:  # the top of a thread: whatever it was, the sweeper rings for the run again
            log.exception("suspect_not_executed", extra={"run": run})
        finally:
            with self._mutex:
                self._runs.discard(run)

    def _wait(self, run: str, name: str) -> int:
        """Gives the exit code: 0 when it ended by itself or was not begun."""
        process = self._start(run, name)
        if process is None:
            return 0
        try:
            return process.wait()
        finally:
            assert process.stdin is not None
            process.stdin.close()
            with self._mutex:
                self._processes.discard(process)

    def _start(self, run: str, name: str) -> subprocess.Popen[str] | None:
        # The environment goes the same way: scripts run as the same user, and may read what a process began with.
        told = {**self._addresses._asdict(), "name": name, "run": run}
        text = json.dumps({**told, "environment": dict(os.environ)})
        with self._mutex:
            if self._leaving:
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", "runner.solo_main"],
                stdin=subprocess.PIPE,
                text=True,
                env=_environment(),
            )
            self._processes.add(process)
        assert process.stdin is not None
        # What follows the line is nothing, until this process dies: then the other one hears so, and leaves.
        process.stdin.write(text + "\n")
        process.stdin.flush()
        return process


def _environment() -> dict[str, str]:
    """That it imports what this process has imported, wherever that came from."""
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
