"""Valkey (or Redis) without persistence: it holds nothing that may not be lost."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from cli.embedded.binaries import broker_binary
from cli.embedded.child import Command, last_line, spawn
from cli.embedded.sockets import socket_folder
from cli.embedded.urls import broker_url, running_broker
from cli.errors import StartError

running_url = running_broker

SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "no",
    "maxmemory-policy": "noeviction",  # a message that vanishes unsaid would wait for the sweeper
    "daemonize": "no",
    "loglevel": "warning",
}


@dataclass(frozen=True, kw_only=True)
class Valkey:
    """One broker, reached by a Unix socket below the data folder."""

    data: Path
    socket: Path
    binary: Path
    name: str = field(default="valkey", init=False)
    stop_signal: signal.Signals = field(default=signal.SIGTERM, init=False)

    @property
    def log(self) -> Path:
        return self.data / "log" / "valkey.log"

    @property
    def url(self) -> str:
        return broker_url(self.socket)

    def spawn(self) -> subprocess.Popen[bytes]:
        options = [text for name, value in SETTINGS.items() for text in (f"--{name}", value)]
        argv = [str(self.binary), *options, "--unixsocket", str(self.socket)]
        # Killed at once when the supervisor dies: it has nothing to save.
        folder = self.socket.parent
        return spawn(Command(argv=argv, folder=folder, log=self.log, death_signal=signal.SIGKILL))

    def wait_ready(self, process: subprocess.Popen[bytes], timeout: float = 10.0) -> None:
        """Returns once it answers a PING; raises StartError when it ended or took `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not self._answers():
            if process.poll() is not None:
                raise StartError(
                    f"The broker {self.binary} did not start: {last_line(self.log)} (see {self.log})"
                )
            if time.monotonic() > deadline:
                raise StartError(
                    f"The broker {self.binary} does not answer after {timeout:.0f} s: see {self.log}"
                )
            time.sleep(0.002)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False


def open_valkey(data: Path) -> Valkey:
    """The broker of `data`, ready to be spawned. Raises StartError when there is no binary to run."""
    return Valkey(data=data, socket=socket_folder(data) / "valkey.sock", binary=broker_binary())
