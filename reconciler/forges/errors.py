"""What a forge's answer means: go on, try again later, or give up. Pure."""

from __future__ import annotations

from collections.abc import Mapping

MOST_ATTEMPTS = 12
FIRST_WAIT = 5.0  # seconds; doubles
LONGEST_WAIT = 900.0
LONGEST_ASKED = 3600.0  # what a forge may ask for
SECONDARY_LIMIT = 60.0  # what GitHub asks for where it says no time

TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class ForgeError(Exception):
    """The forge did not do it. The message says what and why, and holds no secret."""


class TryLaterError(ForgeError):
    """It may work later: after `wait` seconds, where the forge says so."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class RefusedError(ForgeError):
    """It will not work until somebody changes something: the message says what."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def error_of(what: str, status: int, headers: Mapping[str, str], said: str, now: float) -> ForgeError | None:
    """`what` names the request, `headers` are in lower case, `said` is the forge's message, `now` a Unix time."""
    if 200 <= status < 300:
        return None
    told = f"{what}: status {status}" + (f" ({said})" if said else "")
    limited = _rate_limit(status, headers, said, now)
    if limited is not None:
        return TryLaterError(f"{told}: too many requests", limited)
    if status in TRY_AGAIN or status >= 500:
        return TryLaterError(told, _retry_after(headers))
    return RefusedError(f"{told}: {_remedy(status)}", status)


def wait_after(attempts: int, asked: float | None) -> float | None:
    """Seconds after so many attempts in a row (1 is the first); None: that was the last."""
    if attempts >= MOST_ATTEMPTS:
        return None
    wait = min(FIRST_WAIT * 2.0 ** min(attempts - 1, 20), LONGEST_WAIT)
    return wait if asked is None else max(1.0, min(asked, LONGEST_ASKED))


def _rate_limit(status: int, headers: Mapping[str, str], said: str, now: float) -> float | None:
    """GitHub answers 403 as well as 429; GitLab and Gitea 429."""
    if status not in (403, 429):
        return None
    after = _retry_after(headers)
    if after is not None:
        return after
    reset = headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset") or ""
    spent = (headers.get("x-ratelimit-remaining") or headers.get("ratelimit-remaining")) == "0"
    if reset.isdigit() and (spent or status == 429):
        return max(1.0, int(reset) - now)
    return SECONDARY_LIMIT if status == 429 or "rate limit" in said.lower() else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "")
    return float(text) if text.isdigit() else None


def _remedy(status: int) -> str:
    if status == 401:
        return "the token is not valid; set WEFT_UPSTREAM_TOKEN to one that is"
    if status == 403:
        return "the token may not do this; let it write comments and commit statuses (WEFT_UPSTREAM_TOKEN)"
    if status == 404:
        return "it is not there, or the token may not see it (WEFT_UPSTREAM, WEFT_UPSTREAM_TOKEN, WEFT_FORGE_API)"
    if 300 <= status < 400:
        return "the repository has moved; name its new address (WEFT_UPSTREAM, WEFT_FORGE_API)"
    return "the forge does not take this request"
