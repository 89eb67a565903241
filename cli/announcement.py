"""What `weft up` says once it is ready; a process of its own waits for that moment."""

from __future__ import annotations

import http.client
import os
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape

from cli.installation import token_file
from reconciler.upstream.address import address
from store.settings import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """The main of a part that ends once web is ready and everybody knows."""

    local_url: str  # where this machine reaches web
    command: int  # the pid of the supervisor

    def __call__(
        self, settings: ServiceSettings, *, worker_id: str | None, replaces: tuple[str, ...]
    ) -> None:
        wait_until_ready(self.local_url)
        seconds = age(self.command)
        console = Console(highlight=False, soft_wrap=True)
        console.print(welcome(settings.public_url, token_file(settings.data), seconds, upstream_of(settings)))


def wait_until_ready(url: str) -> None:
    """Returns once `/readyz` says yes. The listener holds the request until web is there to answer it."""
    while not _ready(url):
        time.sleep(0.02)


def _ready(url: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def age(pid: int) -> float:
    """Seconds since the process began: its interpreter's own start counts too."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def upstream_of(settings: ServiceSettings) -> str | None:
    """Its address as it may be shown."""
    return None if settings.upstream is None else address(settings.upstream.url).url


def welcome(url: str, token: Path, seconds: float, upstream: str | None) -> str:
    """What to do now, in Rich's markup."""
    git = f"{url}/git/default.git"
    scheme, _, rest = git.partition("://")
    mirrors = "" if upstream is None else f"  Mirrors {escape(upstream)}\n"
    return f"""[bold green]Weft is up[/] at [bold]{url}[/], after {seconds:.1f} s

  Git     {git}
  Token   in {token} (for Git: any user name, the token as password)
  Deploy  git remote add weft "{scheme}://weft:$(cat {token})@{rest}"
          git push weft main
{mirrors}  Stop    Ctrl-C
"""
