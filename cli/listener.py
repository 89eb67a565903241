"""The socket that web accepts from: bound before anything starts, kept while web is started anew."""

from __future__ import annotations

import errno
import ipaddress
import socket
from contextlib import suppress

from cli.errors import StartError

BACKLOG = 2048  # connections that wait while web is restarted


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on `host`; port 0 takes a free one. Raises StartError saying what to do."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise StartError(f"{host} is no address of this machine ({error.strerror}): see --host") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(_reason(error, host, port)) from error
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener there."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use: choose another with --port (or WEFT_PORT)"
    if error.errno == errno.EACCES:
        return f"Port {port} may be opened by root only: choose one above 1023 with --port (or WEFT_PORT)"
    return f"Port {port} on {host} cannot be opened ({error.strerror}): see --host and --port"
