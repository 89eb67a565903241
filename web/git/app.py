"""The Git server: who asks, for what, and who answers."""

from __future__ import annotations

import base64
import binascii
import logging
import re
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from store.database import StoreError
from web.auth import Identity, Role
from web.git import receive as receive_pack
from web.git.answer import Answer, Send
from web.git.body import Body, Receive
from web.git.errors import BodyTooLargeError, ClientGoneError, RequestError
from web.git.limits import GitLimits
from web.git.protocol import GIT_PROTOCOL, ProtocolError, protocol_version
from web.git.receive import Pusher, ReceivePack
from web.git.receiver import Receiver
from web.git.threads import Threads
from web.git.upload import UploadPack

log = logging.getLogger(__name__)

# An organisation is a DNS label: nothing in it can leave the folder of repositories.
ROUTE = re.compile(
    r"/git/(?P<organisation>[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.git"
    r"/(?P<action>info/refs|git-upload-pack|git-receive-pack)$"
)
CHALLENGE = ((b"www-authenticate", b'Basic realm="Weft", charset="UTF-8"'),)
AGAIN = ((b"retry-after", b"1"),)
WHERE_TOKENS_ARE = (
    "Weft asks for a token: any user name, the token as the password.\n"
    "The first token is WEFT_ADMIN_TOKEN, or the content of the file admin-token in the server's data folder."
)
NOT_HERE = (
    "There is nothing here. Repositories are at /git/{organisation}.git, the first at /git/default.git."
)
DUMB = "This Git client is too old, or not one: Weft speaks the smart HTTP protocol only."


Authenticate = Callable[[str], Identity | None]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request: whose, for which repository, with which headers."""

    identity: Identity
    repository: Path
    method: str
    action: str
    query: str
    headers: dict[str, str]

    @property
    def protocol(self) -> str | None:
        found = self.headers.get("git-protocol", "")
        return found if GIT_PROTOCOL.fullmatch(found) else None


class GitApp:
    """ASGI application for `/git/{organisation}.git`. Repositories are in `root`, named alike.

    Raw ASGI, because Starlette's streaming response loses bytes of a body that is read while it answers.
    """

    def __init__(
        self, root: Path, receiver: Receiver, authenticate: Authenticate, *, limits: GitLimits | None = None
    ) -> None:
        self._root = root.resolve()
        self._authenticate = authenticate
        self._limits = limits or GitLimits()
        # A fetch reads in one thread while another closes it; tokens are looked up in threads too.
        self._threads = Threads(self._limits.pushes + 2 * self._limits.fetches)
        self._receive_pack = ReceivePack(receiver, self._limits, self._threads)
        self._upload_pack = UploadPack(self._limits, self._threads)

    def close(self) -> None:
        """Wait for pushes that are being judged; no request may come any more."""
        self._threads.close()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        answer = Answer(send)
        try:
            await self._serve(await self._call(scope), receive, answer)
        except ClientGoneError as gone:
            log.info("git.client_gone", extra={"path": scope["path"], "why": str(gone)})
        except ProtocolError as error:
            await answer.refuse(RequestError(400, f"This is not Git's protocol: {error}."))
        except BodyTooLargeError as error:
            await answer.refuse(
                RequestError(413, f"The request has {error}: push or fetch fewer refs at once.")
            )
        except RequestError as error:
            await answer.refuse(error)

    async def _call(self, scope: MutableMapping[str, Any]) -> Call:
        found = ROUTE.search(scope["path"])
        if not found:
            raise RequestError(404, NOT_HERE)
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        identity = await self._identity(headers.get("authorization", ""))
        repository = self._root / f"{found['organisation']}.git"
        if identity.organisation != found["organisation"] or not repository.is_dir():
            raise RequestError(
                404,
                f"Your token is for the organisation {identity.organisation}; there is nothing here for it.",
            )
        return Call(
            identity=identity,
            repository=repository,
            method=scope["method"],
            action=found["action"],
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
        )

    async def _identity(self, authorization: str) -> Identity:
        token = token_of(authorization)
        try:
            identity = await self._threads.start(self._authenticate, token) if token else None
        except StoreError as error:
            raise RequestError(503, f"{error}", headers=AGAIN) from error
        if identity is None:
            raise RequestError(401, WHERE_TOKENS_ARE, headers=CHALLENGE)
        return identity

    async def _serve(self, call: Call, receive: Receive, answer: Answer) -> None:
        service = service_of(call)
        if service == "git-receive-pack" and not call.identity.role.includes(Role.EDITOR):
            raise RequestError(
                403, f"A push needs the role editor; {call.identity.user} is {call.identity.role}."
            )
        if call.action == "info/refs":
            await self._advertise(call, service, receive, answer)
            return
        body = self._body(call, receive)
        if service == "git-upload-pack":
            await self._upload_pack.serve(call.repository, call.protocol, body, receive, answer)
        else:
            pusher = Pusher(
                organisation=call.identity.organisation, repository=call.repository, actor=call.identity.actor
            )
            await self._receive_pack.serve(pusher, body, answer)

    async def _advertise(self, call: Call, service: str, receive: Receive, answer: Answer) -> None:
        if service == "git-upload-pack":
            await self._upload_pack.advertise(call.repository, call.protocol, receive, answer)
            return
        refs = await self._threads.start(
            receive_pack.advertised, call.repository, protocol_version(call.protocol)
        )
        await answer.whole("application/x-git-receive-pack-advertisement", refs)

    def _body(self, call: Call, receive: Receive) -> Body:
        expected = f"application/x-{call.action}-request"
        if call.headers.get("content-type") != expected:
            raise RequestError(415, f"The body has to be of the type {expected}.")
        return Body(
            receive,
            encoding=call.headers.get("content-encoding", "").lower(),
            limit=self._limits.request,
        )


def service_of(call: Call) -> str:
    """`git-upload-pack` or `git-receive-pack`; refuses what is neither."""
    method, service = ("POST", call.action)
    if call.action == "info/refs":
        method, service = "GET", parse_qs(call.query).get("service", [""])[0]
    if call.method != method:
        raise RequestError(405, f"Use {method} here.", headers=((b"allow", method.encode()),))
    if service not in ("git-upload-pack", "git-receive-pack"):
        raise RequestError(403, DUMB)
    return service


def token_of(authorization: str) -> str:
    """The token in an Authorization header: a Basic password, or a Bearer token; empty without one."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        decoded = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return decoded.partition(":")[2]
