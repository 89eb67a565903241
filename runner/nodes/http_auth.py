"""As whom an `http` node asks."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from runner.nodes.http_request import basic, checked_url
from runner.nodes.http_tokens import ClientCredentials
from runner.nodes.http_values import mapping_of, needed_text, one_of, text_of
from schemas.pattern import JSON

_KINDS = ("basic", "bearer", "oauth2")
_OAUTH2 = ("tokenUrl", "clientId", "clientSecret", "scope", "audience", "clientAuth")


def auth_of(value: JSON) -> bytes | ClientCredentials:
    """The value of the header, or what fetches it. Raises ValueError, which quotes no secret."""
    given = mapping_of("`auth`", value, _KINDS)
    kind = one_of("`auth`", given, _KINDS)
    if kind is None:
        raise ValueError(f"`auth` needs one of {', '.join(_KINDS)}")
    if kind == "oauth2":
        return _client_credentials(mapping_of("`auth.oauth2`", given[kind], _OAUTH2))
    if kind == "bearer":
        token = mapping_of("`auth.bearer`", given[kind], ("token",)).get("token")
        return b"Bearer " + _header("`auth.bearer.token`", needed_text("`auth.bearer.token`", token))
    pair = mapping_of("`auth.basic`", given[kind], ("username", "password"))
    username = text_of("`auth.basic.username`", pair.get("username"))
    if ":" in username:
        raise ValueError("`auth.basic.username` cannot have a colon")
    return basic(username, text_of("`auth.basic.password`", pair.get("password", "")))


def _header(what: str, text: str) -> bytes:
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"{what} has a character that no header can hold")
    return text.strip().encode()


def _client_credentials(given: Mapping[str, JSON]) -> ClientCredentials:
    client_auth = given.get("clientAuth", "basic")
    if client_auth not in ("basic", "post"):
        raise ValueError("`auth.oauth2.clientAuth` must be basic or post")
    needed = {
        key: needed_text(f"`auth.oauth2.{key}`", given.get(key))
        for key in ("tokenUrl", "clientId", "clientSecret")
    }
    return ClientCredentials(
        token_url=_token_url(needed["tokenUrl"]),
        client_id=needed["clientId"],
        client_secret=needed["clientSecret"],
        scope=_optional(given, "scope"),
        audience=_optional(given, "audience"),
        client_auth="basic" if client_auth == "basic" else "post",
    )


def _token_url(text: str) -> httpx.URL:
    try:
        url = checked_url(httpx.URL(text))
    except (httpx.InvalidURL, ValueError):
        raise ValueError("`auth.oauth2.tokenUrl` is not a valid address of http or https") from None
    if url.userinfo:
        raise ValueError("`auth.oauth2.tokenUrl` must name no user: give `clientId` and `clientSecret`")
    return url


def _optional(given: Mapping[str, JSON], key: str) -> str | None:
    value = given.get(key)
    return None if value is None else text_of(f"`auth.oauth2.{key}`", value)
