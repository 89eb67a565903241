"""Whom an `http` node trusts, and as whom it shows itself."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import httpx

from runner.nodes.base import Assets
from runner.nodes.http_values import flag_of, mapping_of, needed_text
from schemas.pattern import JSON

_KEYS = ("verify", "ca", "caFile", "certificate", "key", "serverName")


@dataclass(frozen=True, kw_only=True)
class TlsOptions:
    """PEM texts: `authorities` are trusted beside the public ones; `certificate` and `key` are the client's own."""

    verify: bool = True
    authorities: str | None = None
    certificate: str = ""
    key: str = field(default="", repr=False)
    server_name: str | None = None

    @classmethod
    def read(cls, value: JSON, assets: Assets) -> TlsOptions:
        """Raises ValueError, and what reading the asset raises."""
        given = {key: item for key, item in mapping_of("`tls`", value, _KEYS).items() if item is not None}
        if ("certificate" in given) != ("key" in given):
            raise ValueError("`tls` needs `certificate` and `key` together")
        texts = {key: needed_text(f"`tls.{key}`", item) for key, item in given.items() if key != "verify"}
        return cls(
            verify=flag_of("`tls.verify`", given.get("verify", True)),
            authorities=_authorities(texts, assets),
            certificate=texts.get("certificate", ""),
            key=texts.get("key", ""),
            server_name=texts.get("serverName"),
        )

    def unnamed(self) -> TlsOptions:
        """For another host that the author names."""
        return replace(self, server_name=None)

    def elsewhere(self) -> TlsOptions:
        """For a host that an answer names: it is checked, and does not learn who we are."""
        return TlsOptions(authorities=self.authorities)

    def context(self) -> ssl.SSLContext:
        """Reads the file of trusted certificates; SSL_CERT_FILE and SSL_CERT_DIR name others. Raises ValueError."""
        context = httpx.create_ssl_context(verify=True)
        if self.authorities is not None:
            try:
                context.load_verify_locations(cadata=self.authorities)
            except (ssl.SSLError, ValueError) as error:
                raise ValueError("`tls.ca` or `tls.caFile` holds no certificate in PEM form") from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            _load_own(context, self.certificate, self.key)
        return context


def _authorities(texts: Mapping[str, str], assets: Assets) -> str | None:
    if "caFile" not in texts:
        return _ascii(texts["ca"].encode()) if "ca" in texts else None
    if "ca" in texts:
        raise ValueError("`tls` takes only one of `ca` and `caFile`")
    return _ascii(assets.read(texts["caFile"]))


def _ascii(pem: bytes) -> str:
    """Bundles have comments in other letters, and the ssl module takes none."""
    return pem.decode("ascii", "ignore")


def _load_own(context: ssl.SSLContext, certificate: str, key: str) -> None:
    # OpenSSL takes them from a file only. This one is readable by us alone, and gone in a moment.
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"{certificate}\n{key}\n")
        file.flush()
        try:
            # With a password at hand, even a wrong one, OpenSSL asks nobody at the terminal.
            context.load_cert_chain(file.name, password="-")  # noqa: S106
        except (ssl.SSLError, ValueError) as error:
            raise ValueError(
                "`tls.certificate` and `tls.key` are no pair of a certificate and its unencrypted key in PEM form"
            ) from error
