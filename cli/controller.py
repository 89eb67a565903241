"""The controller process: reconciles, sweeps and keeps the schedules. Any number may run at once."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable

from cli.forges import pull_request_loop
from reconciler.controller import ReconcileLoop
from reconciler.packer import Packer
from reconciler.reconciler import Reconciler
from reconciler.upstream.loop import MirrorLoop, forget
from reconciler.upstream.mirror import Mirror
from reconciler.upstream.remote import Remote
from runner.rehearsal.troupe import Troupe
from runner.scheduler import Scheduler
from runner.sweeper import Sweeper
from store.database import Database
from store.secrets import open_book
from store.settings import FIRST_ORGANISATION, ServiceSettings

log = logging.getLogger(__name__)

BROKEN = 70
"""Exit code after a defect (EX_SOFTWARE of sysexits.h): the supervisor starts the process again."""


def serve(settings: ServiceSettings, *, worker_id: str | None, replaces: tuple[str, ...]) -> None:
    """Control until SIGTERM; the signature is that of every part."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    database = Database(settings.database_url, connections=4)
    secrets = open_book(database, settings)
    reconciler = Reconciler(
        database,
        settings.data / "git",
        installation_key=settings.installation_key,
        public_url=settings.public_url,
        examine=Troupe(),
        unknown_secrets=secrets.unknown,
    )
    loop = ReconcileLoop(reconciler, database)
    sweeper, scheduler = Sweeper(database, settings.redis_url), Scheduler(database, settings.redis_url)
    remote, mirror = _upstream(settings, database, reconciler)
    pulls = pull_request_loop(settings, database, reconciler)
    packer = Packer(reconciler)
    mains = [loop.run, packer.run, sweeper.run, scheduler.run, mirror, *([pulls.run] if pulls else [])]
    threads = [_start(main, stop) for main in mains]
    stop.wait()
    if remote is not None:
        remote.close()
    sweeper.wake()
    scheduler.wake()
    if pulls:
        pulls.close()
    for thread in threads:
        thread.join(timeout=5.0)
    secrets.close()
    database.close()


def _upstream(
    settings: ServiceSettings, database: Database, reconciler: Reconciler
) -> tuple[Remote | None, Callable[[threading.Event], None]]:
    """The upstream, if any, and what keeps the mirror of it; without one, what tidies up after an earlier one."""
    given = settings.upstream
    if given is None:
        return None, lambda stop: forget(database, FIRST_ORGANISATION, stop)
    remote = Remote(given.url, token=given.token)
    mirror = Mirror(reconciler, FIRST_ORGANISATION, remote, public_url=settings.public_url)
    return remote, MirrorLoop(mirror, database, every=given.every).run


def _start(main: Callable[[threading.Event], None], stop: threading.Event) -> threading.Thread:
    def run() -> None:
        try:
            main(stop)
        except BaseException:
            log.exception("controller_broken")
            os._exit(BROKEN)  # a thread that is gone must not go unnoticed behind two that live

    thread = threading.Thread(target=run, name=main.__qualname__, daemon=True)
    thread.start()
    return thread
