"""The process that executes one run and nothing else; see runner.solo. Told what to do on its standard input."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from pathlib import Path

from runner.worker import Worker
from store.database import Database
from store.s3_blobs import BlobPlace
from store.secrets import SecretPlaces

_PR_SET_DUMPABLE = 4  # <sys/prctl.h>


def main() -> None:
    # As every worker: what is in its memory is not for the scripts, which run as the same user.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    told = json.loads(sys.stdin.readline())
    os.environ.update(told["environment"])
    database = Database(told["database"], connections=4)
    databases = None if told["databases"] is None else Path(told["databases"])
    blobs = None if told["blobs"] is None else BlobPlace(*told["blobs"])
    worker = Worker(
        database,
        told["broker"],
        name=told["name"],
        threads=1,
        secrets=SecretPlaces.from_json(told["secrets"]),
        databases=databases,
        blobs=blobs,
    )
    leave = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
    threading.Thread(target=_watch, args=[leave], daemon=True).start()
    threading.Thread(target=_leave, args=[leave, worker], daemon=True).start()
    worker.run_alone(told["run"])
    database.close()


def _watch(leave: threading.Event) -> None:
    """The worker that started this holds the other end."""
    sys.stdin.read()
    leave.set()


def _leave(leave: threading.Event, worker: Worker) -> None:
    leave.wait()
    worker.give_up()


if __name__ == "__main__":
    main()
