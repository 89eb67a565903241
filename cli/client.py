"""The client commands' way to the server: one door, and every refusal as a line that says what to do."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from cli.addresses import Client, read_client
from cli.errors import CommandError
from cli.given import Given
from cli.printing import problem_line
from schemas.pattern import JSON

PATIENCE = 60.0  # seconds that the server has for an answer
SILENCE = 45.0  # seconds without a word, after which a stream is dead: the server has one every 15
PAGE = 200
BUSY = (429, 503)
MISUSE = "urn:weft:problem:invalid-request"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class UnreachableError(CommandError):
    """Nobody answers there, or somebody else."""


class RefusedError(CommandError):
    """The server's answer is no. The message is its problem document, one line for each problem.

    `places` are the paths of these problems, such as a key of the body.
    """

    def __init__(self, said: str, *, places: Iterable[str] = ()) -> None:
        super().__init__(said)
        self.places = frozenset(places)


class MisusedError(RefusedError):
    """What was asked for does not exist: a filter, a value of one."""

    exit_code = 2


class BusyError(RefusedError):
    """Not now: there is too much of it, or something is away for a moment."""


def _trusted(url: str) -> ssl.SSLContext | bool:
    """Without TLS, nobody: to read all authorities takes longer than most requests."""
    return urlsplit(url).scheme == "https" or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Server:
    """Speaks to one server as one user. Use it as a context manager."""

    def __init__(self, address: Client) -> None:
        self._url = address.url
        self._http = httpx.Client(
            base_url=f"{address.url}/api/v1",
            verify=_trusted(address.url),
            headers={"Authorization": f"Bearer {address.token}"},
            timeout=httpx.Timeout(PATIENCE, connect=5.0),
            # A proxy of the environment's is for the way out, not for this machine.
            trust_env=urlsplit(address.url).hostname not in LOOPBACK,
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, *path: str, **query: Any) -> JSON:
        """What is at a path; parts are quoted, parameters that are None left out. Raises CommandError."""
        return self._ask("GET", path, query, None)

    def post(self, *path: str, body: JSON = None) -> JSON:
        return self._ask("POST", path, {}, {} if body is None else body)

    def put(self, *path: str, body: JSON) -> JSON:
        return self._ask("PUT", path, {}, body)

    def delete(self, *path: str, **query: Any) -> JSON:
        return self._ask("DELETE", path, query, None)

    @contextmanager
    def stream(self, *path: str, **query: Any) -> Iterator[Iterator[str]]:
        """The lines of an answer that goes on. Raises CommandError; UnreachableError also where it breaks off."""
        url, params = _place(path, query)
        try:
            with self._http.stream(
                "GET", url, params=params, timeout=httpx.Timeout(SILENCE, connect=5.0)
            ) as answer:
                if not answer.is_success:
                    answer.read()
                    raise self._refusal(answer)
                yield answer.iter_lines()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def items(self, *path: str, most: int, **query: Any) -> Iterator[JSON]:
        """Up to `most` items of a list, from as many pages as that takes."""
        cursor: str | None = None
        while most > 0:
            page = self.get(*path, **query, cursor=cursor, limit=min(most, PAGE))
            yield from page["items"]
            most -= len(page["items"])
            cursor = page["next"]
            if cursor is None:
                return

    def _ask(self, method: str, path: tuple[str, ...], query: dict[str, Any], body: JSON) -> JSON:
        url, params = _place(path, query)
        try:
            answer = self._http.request(method, url, params=params, json=body)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.is_success:
            return self._parsed(answer)
        raise self._refusal(answer)

    def _unreachable(self, error: httpx.HTTPError) -> UnreachableError:
        return UnreachableError(
            f"No Weft answers at {self._url} ({_reason(error)}): start it with `weft up`, or set WEFT_URL"
        )

    def _parsed(self, answer: httpx.Response) -> JSON:
        try:
            return answer.json()
        except ValueError:
            raise self._somebody_else(answer) from None

    def _refusal(self, answer: httpx.Response) -> CommandError:
        if answer.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
            return self._somebody_else(answer)
        problem = self._parsed(answer)
        lines = [f"  {reason}" for reason in problem.get("reasons", ())]
        lines += [f"  {problem_line(one)}" for one in problem.get("problems", ())]
        said = "\n".join([f"{problem.get('title')}:", *lines]) if lines else str(problem.get("detail"))
        if answer.status_code in BUSY:
            return BusyError(said)
        refused = MisusedError if problem.get("type") == MISUSE else RefusedError
        return refused(said, places=[str(one.get("path")) for one in problem.get("problems", ())])

    def _somebody_else(self, answer: httpx.Response) -> CommandError:
        said = f"{answer.status_code} {answer.reason_phrase}".strip()
        return UnreachableError(
            f"What answers at {self._url} is not Weft ({said}): see that WEFT_URL is right"
        )


def open_server(data: str | None = None) -> Server:
    """The server of WEFT_URL, else the one that runs on this machine. Raises CommandError."""
    return Server(read_client(Given(flags={"WEFT_DATA": data})))


def _place(path: tuple[str, ...], query: dict[str, Any]) -> tuple[str, dict[str, str]]:
    url = "/".join(quote(part, safe="") for part in path)
    return url, {name: _text(value) for name, value in query.items() if value is not None}


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__
