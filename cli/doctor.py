"""`weft doctor`: what this installation runs with, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import typer
from rich.console import Console

from cli.addresses import url_file
from cli.checks import Check, all_checks
from cli.given import STARS, Given, Origin, Setting
from cli.installation import key_file, token_file
from cli.options import Data, Json
from cli.secret_checks import secret_checks
from cli.settings import (
    ADMIN_TOKEN,
    DATABASE_URL,
    FORGE_API,
    FORGE_SECRET,
    INSTALLATION_KEY,
    REDIS_URL,
    SECRETS_DIR,
    SECRETS_KEY,
    SECRETS_KEY_OLD,
    SETTINGS,
    TOKEN,
    TRUSTED_PROXIES,
    UPSTREAM,
    UPSTREAM_EVERY,
    UPSTREAM_TOKEN,
    URL,
    Settings,
    read_settings,
)
from cli.values import without_password
from cli.vault import (
    VAULT_KUBERNETES_ROLE,
    VAULT_MOUNT,
    VAULT_PREFIX,
    VAULT_ROLE_ID,
    VAULT_SECRET_ID,
    VAULT_TOKEN,
    VAULT_URL,
)
from reconciler.upstream.address import address

OPTIONAL = (
    *(UPSTREAM_TOKEN, FORGE_SECRET, FORGE_API, SECRETS_KEY, SECRETS_KEY_OLD, SECRETS_DIR),
    *(
        VAULT_URL,
        VAULT_MOUNT,
        VAULT_PREFIX,
        VAULT_TOKEN,
        VAULT_ROLE_ID,
        VAULT_SECRET_ID,
        VAULT_KUBERNETES_ROLE,
    ),
)
"""The settings that the service can do without, or whose default is a constant."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A setting as it may be shown."""

    name: str
    value: str
    origin: str


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(data: Data = None, as_json: Json = False) -> None:
    """Check this installation: servers, clock, disk, port, secrets. Says what to do; exit code 1 if anything.

    Example: weft doctor --data /var/lib/weft
    """
    given = Given(flags={"WEFT_DATA": data})
    settings = read_settings(given)
    checks = [*all_checks(settings), *secret_checks(settings)]
    shown = list(show_settings(given, settings))
    if as_json:
        _print_json(checks, shown)
    else:
        _print_text(checks, shown)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def show_settings(given: Given, settings: Settings) -> Iterator[Shown]:
    """Every setting with its value (secrets as stars) and where it came from."""
    files = {ADMIN_TOKEN: token_file, INSTALLATION_KEY: key_file, URL: url_file, TOKEN: token_file}
    for setting in SETTINGS:
        origin = given.origin(setting)
        value, place = _shown_value(setting, given, settings), str(origin)
        if origin is Origin.FLAG:
            place = f"flag {setting.flag}"
        elif origin is Origin.DEFAULT and setting in files:
            file = files[setting](settings.data)
            place = f"file {file}" if file.exists() else setting.default
        yield Shown(name=setting.name, value=value, origin=place)


def _shown_value(setting: Setting[Any], given: Given, settings: Settings) -> str:
    if setting in (DATABASE_URL, REDIS_URL):
        return without_password(given.read(setting) or "embedded")
    if setting is UPSTREAM:
        return "none" if settings.upstream is None else address(settings.upstream).url
    if setting is TRUSTED_PROXIES:
        return ", ".join(settings.trusted_proxies) or TRUSTED_PROXIES.default
    if setting in OPTIONAL and given.origin(setting) is Origin.DEFAULT:
        return setting.default
    if setting is UPSTREAM_EVERY:
        return f"{settings.upstream_every:g}s"
    if setting.secret:
        return STARS
    if setting in OPTIONAL:
        return str(given.read(setting))
    if setting is URL:
        file = url_file(settings.data)
        return given.read(URL) or (
            file.read_text().strip() if file.exists() else "nobody's: weft up does not run"
        )
    return str(getattr(settings, setting.name.removeprefix("WEFT_").lower()))


def _print_json(checks: list[Check], shown: list[Shown]) -> None:
    report = {
        "ok": all(check.ok for check in checks),
        "checks": [asdict(check) | {"ok": check.ok} for check in checks],
        "settings": [asdict(setting) for setting in shown],
    }
    typer.echo(json.dumps(report, indent=2))


def _print_text(checks: list[Check], shown: list[Shown]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for check in checks:
        mark = "[green]ok   [/]" if check.ok else "[red]wrong[/]"
        console.print(f"{mark} {check.name:12} ", end="")
        console.print(check.found, markup=False)
        if check.remedy:
            console.print(f"                   → {check.remedy}", markup=False)
    rows = [("Setting", "Value", "From"), *((one.name, one.value, one.origin) for one in shown)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    console.print()
    for name, value, origin in rows:
        console.print(f"{name:{widths[0]}}  {value:{widths[1]}}  {origin}", markup=False)
