"""`weft dead-letters`, against a real server."""

import json
from collections.abc import Callable

import pytest
import typer
from api_site import ADMIN, Site
from typer.testing import CliRunner, Result

from cli import letters, runs
from store.runs import RunStatus

Weft = Callable[..., Result]


@pytest.fixture
def site(site: Site) -> Site:
    site.deploy("orders")
    return site


@pytest.fixture
def weft(site: Site) -> Weft:
    app = typer.Typer()
    runs.register(app)
    letters.register(app)
    environ = {"WEFT_URL": site.url, "WEFT_TOKEN": ADMIN}
    return lambda *arguments: CliRunner().invoke(app, ["dead-letters", *arguments], env=environ)


def dead(site: Site, type_: str = "connection") -> str:
    error = f'{{"type": "{type_}", "message": "it broke"}}'
    return site.run("orders", status=RunStatus.DEAD_LETTER, error=error)


def test_the_inbox_lists_what_died_of_what(site: Site, weft: Weft) -> None:
    assert "no such dead letters" in weft().stdout
    run = dead(site)
    [_, line] = weft().stdout.splitlines()
    assert line.startswith(run)
    assert "connection: it broke" in line
    assert json.loads(weft("--error", "timeout", "--json").stdout) == []


def test_some_are_retried_by_id_and_all_by_filter(site: Site, weft: Weft) -> None:
    [a, b, c] = dead(site), dead(site), dead(site, "timeout")
    said = weft("retry", a)
    assert (said.exit_code, site.rung[0] in said.stdout) == (0, True)
    done = json.loads(weft("retry", "--all", "--error", "connection", "--from-failed", "--json").stdout)
    assert ([one["id"] for one in done["retried"]], done["refused"]) == ([b], [])
    site.execute("UPDATE deployments SET state = 'paused'")
    said = weft("retry", "--all")
    assert said.exit_code == 1
    assert f"{c} stays: " in said.stderr


def test_all_are_discarded_in_as_many_requests_as_that_takes(
    site: Site, weft: Weft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.api.letters.MOST_DISCARDED", 2)
    ids = [dead(site) for _ in range(5)]
    assert json.loads(weft("discard", "--all", "--json").stdout) == {"discarded": ids}
    assert len(weft("--state", "discarded").stdout.splitlines()) == 6


@pytest.mark.parametrize(
    "arguments", [["retry"], ["discard"], ["retry", "--all", "x"], ["discard", "x", "--error", "e"]]
)
def test_which_ones_has_to_be_said(weft: Weft, arguments: list[str]) -> None:
    done = weft(*arguments)
    assert getattr(done.exception, "exit_code", None) == 2
