"""A small service for the supervisor's tests: `python supervised.py EVENTS DATA KIND…`.

EVENTS gets one JSON line per event. Of the KINDs `web`, `worker` and `controller` wait for SIGTERM,
`stubborn` ignores it, `crashing` ends at once, `services` adds PostgreSQL and Valkey below DATA.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from cli.embedded.postgres import open_postgres
from cli.embedded.valkey import open_valkey
from cli.installation import hold
from cli.logs import set_up_logs
from cli.parts import Part, Stage
from cli.roll import Roll
from cli.supervisor import Supervisor
from store.settings import ServiceSettings

PR_GET_DUMPABLE = 3  # <sys/prctl.h>


def note(events: Path, **fields: Any) -> None:
    line = json.dumps(fields | {"at": time.monotonic(), "pid": os.getpid()}) + "\n"
    with events.open("ab", buffering=0) as file:
        file.write(line.encode())


def serve(
    settings: ServiceSettings, *, worker_id: str | None, replaces: tuple[str, ...], kind: str, events: Path
) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN if kind == "stubborn" else lambda *_: sys.exit(0))
    folder = Path("/proc/self/fd")
    descriptors = [str(link.readlink()) for link in sorted(folder.iterdir()) if link.exists()]
    fields = {"worker_id": worker_id, "replaces": replaces, "descriptors": descriptors}
    private = ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0
    note(events, event="start", kind=kind, group=os.getpgid(0), private=private, **fields)
    try:
        while kind != "crashing":
            signal.pause()
    finally:
        note(events, event="stop", kind=kind)


def main(events: Path, data: Path, *kinds: str) -> None:
    set_up_logs("json")
    data.mkdir(exist_ok=True)
    lock = hold(data)
    services = [open_postgres(data), open_valkey(data)] if "services" in kinds else []
    settings = ServiceSettings(
        data=data,
        public_url="",
        database_url="",
        redis_url="",
        admin_token="",
        installation_key=b"",
        threads=1,
        blobs=str(data / "blobs"),
        blobs_endpoint=None,
        log="json",
    )
    parts = [
        Part(
            name=kind,
            main=partial(serve, kind=kind, events=events),
            settings=settings,
            stage=Stage.WORK if kind == "worker" else Stage.INTAKE,
        )
        for kind in kinds
        if kind != "services"
    ]
    with Supervisor(services=services, descriptors=(lock,), roll=Roll(data / "workers")) as supervisor:
        supervisor.wait_ready()
        note(events, event="ready", kind="supervisor")
        supervisor.run(parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
