"""A repository that is kept elsewhere: what it has, fetching from it, pushing to it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from reconciler.git.refs import ABSENT, RefUpdate
from reconciler.upstream.address import address
from reconciler.upstream.program import ClosedError, Ended, Limits, Running, TooMuchError, TooSlowError

MOST_REFS = 20_000
MOST_PUSHED = 500  # refs of one push: its arguments must fit
PATIENCE = 60.0  # seconds for what moves no objects
LEFTOVER_AGE = 3600.0  # seconds; no fetch takes that long

_LINE = re.compile(rb"([0-9a-f]{40})\t(refs/(?:heads|tags)/.+)")
_WITH_ANOTHER = re.compile(r"atomic (push|transaction) fail|not moved, because")
_HEAD = re.compile(rb"ref: (refs/heads/.+)\tHEAD")

# What Git says → what to do about it. The first that matches.
_REMEDIES = (
    (r"not resolve host|Name or service not known|Temporary failure in name", "check the host's name"),
    (r"Connection refused|Failed to connect|timed out|No route to host|unreachable|Couldn't connect",
     "see whether the host is up and this machine may reach it"),
    (r"Authentication failed|could not read (Username|Password)|error: 40[13]|HTTP 40[13]|Invalid username",
     "check the token (WEFT_UPSTREAM_TOKEN): it must be valid, and may have to allow writing"),
    (r"Permission denied|Host key verification failed", "check this user's ssh keys and known_hosts for the host"),
    (r"error: 30[0-9]|redirect", "it is at another address now: use that one"),
    (r"No space left|Disk quota exceeded", "make room on the disk that is full, here or there"),
    (r"dubious ownership", "let its owner run Weft, or allow it in Git's safe.directory"),
    (r"error: (429|5[0-9][0-9])", "the host fails at it itself; see whether it is well"),
    (r"not found|does not appear to be a git repository|does not exist|error: 404",
     "check the address, and that the token may see the repository"),
    (r"certificate|SSL|TLS", "check the host's certificate (Git's http.sslCAInfo names your own authority)"),
    (r"transport '.*' not allowed", "use http, https, ssh or a path"),
)  # fmt: skip
_NOISE = ("hint:", "remote:", "To ", "Everything up-to-date", "error: failed to push some refs")


def went_with_another(reason: str) -> bool:
    """Whether a ref was refused for another one's sake."""
    return _WITH_ANOTHER.search(reason) is not None


class RemoteError(Exception):
    """The other side did not do it: what, where, what to do. Holds no secret."""


@dataclass(frozen=True, kw_only=True)
class Advertised:
    """What a remote has: branches and tags → id (an annotated tag's own), and what its HEAD names, if anything.

    `unreadable`: names that are not UTF-8, as far as they can be shown.
    """

    refs: Mapping[str, str]
    default_ref: str | None
    unreadable: tuple[str, ...] = ()


class Remote:
    """One of them, by its URL: http, https, ssh, or a path. Safe for any number of threads."""

    def __init__(self, url: str, *, token: str | None = None, limits: Limits | None = None) -> None:
        """`token` is sent as the password of http and https. Raises ValueError for what is no address."""
        self._address = address(url, token)
        self._limits = limits or Limits()
        self._running = Running()

    def close(self) -> None:
        """Ends what is under way, and refuses what comes."""
        self._running.close()

    @property
    def url(self) -> str:
        """Without credentials."""
        return self._address.url

    def refs(self, repository: Path) -> Advertised:
        """Raises RemoteError."""
        limits = Limits(seconds=min(PATIENCE, self._limits.seconds), printed=self._limits.printed)
        ended = self._run(repository, "read", ["ls-remote", "--symref", "--", self.url], limits=limits)
        return self._advertised(ended.printed)

    def fetch(self, repository: Path, refspecs: Sequence[str]) -> None:
        """`+source:target` each, a source by name or id. Durable when this returns. Raises RemoteError."""
        if not refspecs:
            return
        objects = repository / "objects"
        before = _unfinished(objects)
        _delete(name for name, written in before.items() if written < time.time() - LEFTOVER_AGE)
        try:
            self._run(repository, "fetched from", [*_FETCH, self.url], stdin="\n".join(refspecs) + "\n")
        except RemoteError:
            # Else each further attempt would leave as much again.
            _delete(_unfinished(objects).keys() - before.keys())
            raise

    def push(self, repository: Path, updates: Sequence[RefUpdate]) -> dict[str, str]:
        """Move the remote's refs from `old`, if they are there still, to `new`: all of them or none.

        Gives ref → why not, for those that the remote refused; nothing has moved then. Those that only went down
        with another are left out, unless the remote does not tell which that is. Of more than 500 refs the first
        may have moved. Raises RemoteError.
        """
        for start in range(0, len(updates), MOST_PUSHED):
            refused = self._push(repository, updates[start : start + MOST_PUSHED])
            if refused:
                return refused
        return {}

    def _push(self, repository: Path, updates: Sequence[RefUpdate]) -> dict[str, str]:
        leases = [f"--force-with-lease={u.ref}:{'' if u.old == ABSENT else u.old}" for u in updates]
        refspecs = [f"{'' if u.new == ABSENT else u.new}:{u.ref}" for u in updates]
        arguments = [*_PUSH, *leases, "--", self.url, *refspecs]
        ended = self._ended(repository, "pushed to", arguments)
        refused = dict(self._refused(ended))
        if ended.code != 0 and not refused:
            raise self._failed("pushed to", ended)
        alone = {ref: reason for ref, reason in refused.items() if not went_with_another(reason)}
        return alone or refused

    def _refused(self, ended: Ended) -> Iterator[tuple[str, str]]:
        """Of `--porcelain`: flag, tab, from:to, tab, summary (reason)."""
        for line in self._clean(ended.printed.decode(errors="replace")).splitlines():
            parts = line.split("\t")
            if parts[0] == "!" and len(parts) == 3:
                reason = re.sub(r"^\[[^]]*\] \((.*)\)$", r"\1", parts[2])
                yield parts[1].partition(":")[2], self._explained(reason, ended.said)

    def _explained(self, reason: str, said: str) -> str:
        """With what the other side's hook said, where it said why."""
        lines = [line.removeprefix("remote:").strip() for line in self._clean(said).splitlines()]
        told = [line for line, raw in zip(lines, said.splitlines(), strict=True) if raw.startswith("remote:")]
        hook = next((line for line in told if line), "")
        return f"{reason} ({hook})" if hook and re.search("hook|failed", reason) else reason

    def _advertised(self, printed: bytes) -> Advertised:
        refs: dict[str, str] = {}
        unreadable: list[str] = []
        default: str | None = None
        for line in printed.splitlines():
            if head := _HEAD.fullmatch(line):
                default = head[1].decode(errors="replace")
            found = _LINE.fullmatch(line)
            if found is None or found[2].endswith(b"^{}"):
                continue
            try:
                refs[found[2].decode()] = found[1].decode()
            except UnicodeDecodeError:
                unreadable.append(found[2].decode(errors="backslashreplace"))
        if len(refs) > MOST_REFS:
            raise RemoteError(
                f"{self.url} has {len(refs)} branches and tags, more than the {MOST_REFS} that are mirrored:"
                " delete those that nobody needs."
            )
        return Advertised(refs=refs, default_ref=default, unreadable=tuple(unreadable))

    def _run(
        self,
        repository: Path,
        done: str,
        arguments: Sequence[str],
        *,
        stdin: str = "",
        limits: Limits | None = None,
    ) -> Ended:
        ended = self._ended(repository, done, arguments, stdin=stdin, limits=limits)
        if ended.code != 0:
            raise self._failed(done, ended)
        return ended

    def _ended(
        self,
        repository: Path,
        done: str,
        arguments: Sequence[str],
        *,
        stdin: str = "",
        limits: Limits | None = None,
    ) -> Ended:
        limits = limits or self._limits
        header = self._address.header
        try:
            return self._running.run(repository, arguments, header=header, stdin=stdin, limits=limits)
        except ClosedError:
            raise RemoteError(f"{self.url} cannot be {done}: Weft stops.") from None
        except TooSlowError:
            raise RemoteError(
                f"{self.url} cannot be {done}: it did not answer in {limits.seconds:g} s;"
                " see whether the host is up and this machine may reach it."
            ) from None
        except TooMuchError:
            raise RemoteError(
                f"{self.url} cannot be {done}: it says more than {limits.printed // 1024 // 1024} MiB;"
                " delete branches and tags that nobody needs."
            ) from None

    def _failed(self, done: str, ended: Ended) -> RemoteError:
        said = self._clean(ended.said)
        remedy = next((remedy for sign, remedy in _REMEDIES if re.search(sign, said, re.IGNORECASE)), None)
        if "signal 25" in said:  # SIGXFSZ
            remedy = f"one fetch of it is larger than {self._limits.file // 1024**3} GiB; make it smaller"
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        telling = (
            [line for line in lines if not line.startswith(_NOISE)] or lines or [f"exit code {ended.code}"]
        )
        why = re.sub(r"^(fatal|error): ", "", telling[0])
        return RemoteError(f"{self.url} cannot be {done}: {why}; {remedy or 'try it with git by hand'}.")

    def _clean(self, text: str) -> str:
        return self._address.clean(text)


_FETCH = (
    *("fetch", "--quiet", "--atomic", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance"),
    *("--no-write-fetch-head", "--no-show-forced-updates", "--stdin", "--"),
)
_PUSH = (
    *("push", "--quiet", "--porcelain", "--atomic", "--no-verify", "--no-signed", "--no-follow-tags"),
    "--no-recurse-submodules",
)


def _unfinished(objects: Path) -> dict[Path, float]:
    """What a fetch that died left behind, and when it was written last."""
    found = {}
    for path in chain(objects.glob("pack/tmp_*"), objects.glob("[0-9a-f][0-9a-f]/tmp_obj_*")):
        try:
            found[path] = path.stat().st_mtime
        except FileNotFoundError:  # it has just become a pack
            continue
    return found


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
