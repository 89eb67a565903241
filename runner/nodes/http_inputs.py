"""What an `http` node takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx

from runner.nodes.base import Connections, NodeContext, NodeError
from runner.nodes.http_auth import auth_of
from runner.nodes.http_body import content_of
from runner.nodes.http_client import Wanted
from runner.nodes.http_paging import Paging, with_query
from runner.nodes.http_request import HttpRequest, checked_url, origin, split_credentials
from runner.nodes.http_tls import TlsOptions
from runner.nodes.http_tokens import ClientCredentials
from runner.nodes.http_values import flag_of, mapping_of, text_of, text_pairs_of
from schemas.pattern import JSON
from schemas.quantities import size_in_bytes

MAX_RESPONSE = 16 * 1024 * 1024  # bytes
_DEFAULT_RESPONSE = 1024 * 1024
_KEYLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NO_VALUE = re.compile(r"[\r\n\0]")
_WHOLE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DEFAULTS = {"accept": b"*/*", "accept-encoding": b"gzip, deflate", "user-agent": b"weft"}
_NOTHING: Mapping[str, JSON] = {}


@dataclass(frozen=True, kw_only=True)
class HttpInputs:
    """`credentials` fetch the token that `request` has yet to carry."""

    request: HttpRequest
    wanted: Wanted
    tls: TlsOptions
    credentials: ClientCredentials | None
    paging: Paging | None

    @classmethod
    def read(cls, inputs: Mapping[str, JSON], context: NodeContext) -> HttpInputs:
        """From a node's evaluated `with`. Raises NodeError: `bad_request`, which quotes no secret, and what finding
        the connection or an asset raises.
        """
        try:
            given = {key: value for key, value in inputs.items() if value is not None or key == "json"}
            return _read(given, context)
        except (ValueError, httpx.InvalidURL) as error:
            # An error of httpx may quote the url, which may hold a secret.
            reason = str(error) if isinstance(error, ValueError) else "`url` is not a valid address"
            raise NodeError("bad_request", reason, retryable=False) from None


def _read(inputs: Mapping[str, JSON], context: NodeContext) -> HttpInputs:
    shared = _connection(inputs, context)
    request = _request(inputs, shared, context.idempotency_key)
    auth = _auth(inputs, shared)
    if isinstance(auth, bytes):
        request = request.with_authorization(auth)
    paging = Paging.read(inputs["paging"]) if "paging" in inputs else None
    if paging and request.method != "GET":
        raise ValueError("`paging` goes with the method GET only")
    return HttpInputs(
        request=request,
        wanted=Wanted(
            expect=_expected(inputs.get("expect", ["200-299"])),
            max_response=_size(inputs.get("maxResponse", _DEFAULT_RESPONSE)),
            follow_redirects=flag_of("`followRedirects`", inputs.get("followRedirects", True)),
        ),
        tls=TlsOptions.read(inputs.get("tls", shared.get("tls")) or {}, context.assets),
        credentials=None if isinstance(auth, bytes) else auth,
        paging=paging,
    )


def _connection(inputs: Mapping[str, JSON], context: NodeContext) -> Mapping[str, JSON]:
    """`{url, headers, auth, tls}` of the Connection, or nothing."""
    if "connection" not in inputs:
        return _NOTHING
    connections: Connections = context.connections
    return connections.get(text_of("`connection`", inputs["connection"]), "http")


def _request(inputs: Mapping[str, JSON], shared: Mapping[str, JSON], idempotency_key: str) -> HttpRequest:
    method = str(inputs.get("method", "GET")).upper()
    if not _TOKEN.fullmatch(method) or method in ("CONNECT", "TRACE"):
        raise ValueError(f"`method` cannot be {method[:20]!r}")
    url, credentials = split_credentials(_url(inputs, shared))
    content = content_of(inputs)
    headers = dict(_DEFAULTS)
    if content:
        headers["content-type"] = content.type.encode()
    if credentials:
        headers["authorization"] = credentials
    if method not in _KEYLESS:
        headers["idempotency-key"] = idempotency_key.encode()
    private = dict(_headers(shared.get("headers") or {}))
    own = dict(_headers(inputs.get("headers", {})))
    return HttpRequest(
        method=method,
        url=url,
        headers=headers | private | own,
        content=content.data if content else None,
        private=frozenset(private.keys() - own.keys()),
    )


def _url(inputs: Mapping[str, JSON], shared: Mapping[str, JSON]) -> httpx.URL:
    text = inputs.get("url", "" if shared else None)
    if not isinstance(text, str):
        raise ValueError("`url` must be text")  # noqa: TRY004 - it is what the user wrote that is wrong
    url = _below(str(shared["url"]), text) if shared else checked_url(httpx.URL(text))
    return with_query(url, text_pairs_of("query", inputs.get("query", {})))


def _below(base: str, text: str) -> httpx.URL:
    """`text` added to the path and query of the connection's `base`; a whole address has to be of its origin."""
    start = checked_url(httpx.URL(base))
    if _WHOLE.match(text):
        url = checked_url(httpx.URL(text))
        if origin(url) != origin(start):
            raise ValueError(
                f"`url` must be below {start.scheme}://{start.netloc.decode()}, where the connection leads"
            )
        return url.copy_with(userinfo=start.userinfo)
    path, _, query = text.partition("?")
    above = start.raw_path.partition(b"?")[0].decode("ascii")
    joined = start.copy_with(path=above.rstrip("/") + "/" + path.lstrip("/") if path else above)
    return joined.copy_with(query=b"&".join(filter(None, (start.query, httpx.URL("?" + query).query))))


def _auth(inputs: Mapping[str, JSON], shared: Mapping[str, JSON]) -> bytes | ClientCredentials | None:
    """The node's own way goes before the connection's."""
    own = any(name.lower() == "authorization" for name in mapping_of("`headers`", inputs.get("headers", {})))
    own = own or bool(httpx.URL(str(inputs.get("url", ""))).userinfo)
    if "auth" not in inputs:
        return auth_of(shared["auth"]) if shared.get("auth") and not own else None
    if own:
        raise ValueError("`auth` does not go with a header Authorization or a user in `url`; take one")
    return auth_of(inputs["auth"])


def _headers(given: JSON) -> Iterator[tuple[str, bytes]]:
    for name, value in mapping_of("`headers`", given).items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name[:100]!r} cannot be the name of a header")
        if name.lower() in _FRAMING:
            raise ValueError(f"the header {name} follows from the body; leave it out")
        text = text_of(f"the header {name}", value).strip()
        if _NO_VALUE.search(text):
            raise ValueError(f"the header {name} has a line break or a NUL in its value")
        yield name.lower(), text.encode()


def _expected(value: JSON) -> tuple[range, ...]:
    if not isinstance(value, list):
        raise ValueError("`expect` must be a list of statuses")  # noqa: TRY004 - see above
    return tuple(map(_statuses, value))


def _statuses(entry: JSON) -> range:
    """`404` and `"200-299"` as ranges."""
    first, _, last = str(entry).partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        raise ValueError(f"{entry!r} in `expect` is neither a status like 404 nor a range like 200-299")
    return range(int(first), int(last or first) + 1)


def _size(value: JSON) -> int:
    size = value if isinstance(value, int) else size_in_bytes(str(value))
    if not 0 < size <= MAX_RESPONSE:
        raise ValueError("`maxResponse` must be between 1B and 16MiB")
    return size
