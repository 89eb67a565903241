"""`weft secret`: values go in on a terminal or a pipe, and nowhere else."""

import json
import os
import pty
import subprocess
from collections.abc import Callable
from contextlib import suppress

import pytest
from api_site import ADMIN, Site
from weft_command import WEFT, environment, weft_here

VALUE = "correct horse battery staple"
Done = subprocess.CompletedProcess[str]
Weft = Callable[..., Done]


@pytest.fixture
def weft(site: Site) -> Weft:
    def run(*arguments: str, given: str | bytes = "", token: str = ADMIN) -> Done:
        environ = {"WEFT_URL": site.url, "WEFT_TOKEN": token}
        return weft_here("secret", *arguments, given=given, environ=environ)

    return run


def test_a_secret_is_set_from_a_pipe_listed_and_deleted(site: Site, weft: Weft) -> None:
    done = weft("set", "TOKEN", given=f"{VALUE}\n")
    assert (done.stdout, done.stderr, done.returncode) == ("TOKEN is set for all environments.\n", "", 0)
    assert site.secrets.get("default", "production", "TOKEN") == VALUE
    staging = weft("set", "TOKEN", "--environment", "staging", given="other\r\n")
    assert staging.stdout == "TOKEN is set for the environment staging.\n"
    assert site.secrets.get("default", "staging", "TOKEN") == "other"
    again = weft("set", "TOKEN", given="third\n\n")
    assert again.stdout == (
        "TOKEN is changed (version 2) for all environments.\nstaging still has one of its own.\n"
    )
    assert site.secrets.get("default", "production", "TOKEN") == "third\n"
    lines = weft("list").stdout.splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["NAME", "ENVIRONMENT", "FROM", "VERSION"],
        ["TOKEN", "all", "stored", "2"],
        ["TOKEN", "staging", "stored", "1"],
    ]
    assert [one["environment"] for one in json.loads(weft("list", "--json").stdout)] == [None, "staging"]
    gone = weft("delete", "TOKEN", "--environment", "staging")
    assert (gone.stdout, gone.returncode) == ("TOKEN is deleted for the environment staging.\n", 0)
    missing = weft("delete", "TOKEN", "--environment", "staging")
    assert missing.returncode == 1
    assert "There is one for all environments." in missing.stderr


def test_a_value_as_an_argument_is_refused_without_being_shown(site: Site, weft: Weft) -> None:
    for arguments in (("TOKEN", "hunter2"), ("TOKEN", "hunter2", "more"), ("TOKEN", "--", "-hunter2")):
        done = weft("set", *arguments, given="x")
        assert done.returncode == 2
        assert "never an argument" in done.stderr
        assert "hunter2" not in done.stdout + done.stderr
    assert site.http.get("/secrets").json()["items"] == []


def test_nothing_and_what_is_no_text_is_refused(site: Site, weft: Weft) -> None:
    for given, said in (("", "not empty"), ("\n", "not empty"), (b"hunter2\xff", "not UTF-8")):
        done = weft("set", "TOKEN", given=given)
        assert done.returncode == 2
        assert said in done.stderr
        assert "hunter2" not in done.stderr
    wrong = weft("set", "7UP", given="x")
    assert wrong.returncode == 2
    assert "no digit first" in wrong.stderr
    assert site.http.get("/secrets").json()["items"] == []


def test_who_is_no_admin_sees_names_and_sets_nothing(site: Site, weft: Weft) -> None:
    weft("set", "TOKEN", given=VALUE)
    viewer = site.token("viewer")
    assert "TOKEN" in weft("list", token=viewer).stdout
    for arguments in (("set", "TOKEN"), ("delete", "TOKEN"), ("rotate",)):
        done = weft(*arguments, given="x", token=viewer)
        assert done.returncode == 1
        assert "needs the role admin" in done.stderr


def test_rotating_says_how_many_and_when_an_old_key_is_used_up(site: Site, weft: Weft) -> None:
    weft("set", "TOKEN", given=VALUE)
    assert weft("rotate").stdout == "1 secret encrypted anew.\n"
    assert json.loads(weft("rotate", "--json").stdout) == {"secrets": 1, "keyChanged": False}
    assert site.secrets.get("default", "production", "TOKEN") == VALUE


def on_a_terminal(site: Site, *typed: str) -> tuple[int, str]:
    """Exit code and all that the terminal showed."""
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [*WEFT, "secret", "set", "TOKEN"],
        env=environment(WEFT_URL=site.url, WEFT_TOKEN=ADMIN, TERM="dumb"),
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
    )
    os.close(inside)
    shown, left = b"", list(typed)
    with open(terminal, "r+b", buffering=0) as screen, suppress(OSError):  # when the other end is closed
        while part := screen.read(1024):
            shown += part
            if left and shown.endswith(b": "):
                screen.write(f"{left.pop(0)}\n".encode())
    return process.wait(30), shown.decode()


def test_on_a_terminal_it_is_asked_for_twice_and_not_shown(site: Site) -> None:
    code, shown = on_a_terminal(site, VALUE, VALUE)
    assert code == 0, shown
    assert "TOKEN is set for all environments." in shown
    assert VALUE not in shown
    assert site.secrets.get("default", "production", "TOKEN") == VALUE


def test_two_different_ones_are_asked_for_again(site: Site) -> None:
    code, shown = on_a_terminal(site, VALUE, "correct hrose", VALUE, VALUE)
    assert code == 0, shown
    assert "do not match" in shown
    assert VALUE not in shown
    assert site.secrets.get("default", "production", "TOKEN") == VALUE
