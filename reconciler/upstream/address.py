"""Where a repository elsewhere is, and what opens it: the two are kept apart from the first moment. Pure."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

WEB = ("http", "https")
SCHEMES = (*WEB, "ssh", "file")
HIDDEN = "****"

# git@host:path. Git takes `host:path` without a user, too; a word before the colon would hide misspelt schemes.
_SCP = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*@[A-Za-z0-9.\[\]:][A-Za-z0-9.\[\]:-]*:(?!/?-)[^:].*")
_USER = "x-access-token"  # what GitHub asks for beside a token; GitLab, Gitea and Weft take any name


@dataclass(frozen=True, kw_only=True)
class Address:
    """`url` is what Git gets and anybody may see. `user` and `secret` are for http and https alone."""

    url: str
    user: str | None = field(default=None, repr=False)  # with some hosts this is the token
    secret: str | None = field(default=None, repr=False)

    @property
    def header(self) -> str | None:
        """The HTTP header that opens it."""
        if self.secret is None:
            return None
        pair = f"{self.user or _USER}:{self.secret}".encode()
        return f"Authorization: Basic {base64.b64encode(pair).decode()}"

    def clean(self, text: str) -> str:
        """The text without what opens it, in whatever form Git may repeat it."""
        if self.secret is not None and self.header is not None:
            text = text.replace(self.header.rpartition(" ")[2], HIDDEN).replace(self.secret, HIDDEN)
        return re.sub(r"(\bhttps?://)[^/\s@]*@", r"\1", text)


def address(text: str, token: str | None = None) -> Address:
    """Takes http, https, ssh and file URLs, `user@host:path`, and paths of this machine.

    `token` wins over a password in the URL. Raises ValueError for everything else, without the text.
    """
    if not text or text.startswith("-") or re.search(r"[\x00-\x20\x7f]", text):
        raise ValueError("address")
    if "://" not in text:
        return Address(url=_local(text))
    url = urlsplit(text)
    if url.scheme not in SCHEMES or url.query or url.fragment or (url.hostname or "").startswith("-"):
        raise ValueError("address")
    _ = url.port  # raises for one that is no number
    if url.scheme == "file":
        return Address(url=text)
    if not url.hostname or url.path.strip("/") == "" or (url.username or "").startswith("-"):
        raise ValueError("address")
    if url.scheme == "ssh" and url.password is not None:  # ssh takes none, and it would be shown
        raise ValueError("address")
    return _web(text, token) if url.scheme in WEB else Address(url=text)


def _web(text: str, token: str | None) -> Address:
    """Its user and password go elsewhere. A lone user may well be a token, as `https://TOKEN@host/…` is."""
    url = urlsplit(text)
    bare = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl().rstrip("/")
    user = unquote(url.username) if url.username else None
    password = unquote(url.password) if url.password else None
    if re.search(r"[\x00-\x1f\x7f]", f"{user}{password}"):  # no header takes it, and would be shown for that
        raise ValueError("address")
    if token is None and password is None and user is not None:
        return Address(url=bare, secret=user)
    return Address(url=bare, user=user, secret=token or password)


def _local(text: str) -> str:
    if _SCP.fullmatch(text):
        return text
    if ":" in text.split("/")[0]:  # ext::…, a misspelt scheme
        raise ValueError("address")
    return str(Path(text).expanduser().absolute())
