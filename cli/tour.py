"""The narrated tour: a push, a webhook, its run, another version, a revert; all of it over real HTTP and Git."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from cli.errors import CommandError
from cli.tour_page import Page, Step, milliseconds, shortened
from cli.work_tree import WorkTree

DEPLOYMENT = "order-intake"
FILE = "patterns/order-intake.yaml"
ORDER = {"order_id": "A-1001", "total": 250}
BEFORE, AFTER = "threshold: 500", "threshold: 100"
WRITTEN_FOR = "127.0.0.1:8080"  # where the examples think that Weft is

RUN_PATIENCE = 15.0  # seconds that a run of the tour may take
POLL = 0.005  # seconds


class TourFailed(CommandError):
    """A step did not give what it had to."""


@dataclass(frozen=True, kw_only=True)
class Live:
    """What is live at one moment."""

    number: int
    version: str
    hook: str


@dataclass(frozen=True, kw_only=True)
class Stop:
    """What the tour needs: the server, how to speak to it, the repository that it pushes from."""

    url: str
    token: str = field(repr=False)
    examples: Path
    tree: WorkTree


class Tour:
    def __init__(self, stop: Stop, page: Page) -> None:
        self._stop = stop
        self._page = page
        self._http = httpx.Client(
            base_url=stop.url,
            headers={"authorization": f"Bearer {stop.token}"},
            timeout=10.0,
            trust_env=False,
        )

    def run(self) -> Live:
        """All steps in order; gives what is live at the end. Raises TourFailed or GitFailed."""
        with self._http:
            first = self._deploy()
            self._call(first, "web shop", "Call its webhook: a run, recorded node by node")
            second = self._change(first)
            self._call(second, "sales", "The same order again: sales hear of it now")
            back = self._revert(first)
            self._call(back, "web shop", "And once more, as before")
            return back

    def _deploy(self) -> Live:
        """The examples into the repository, and that to the server."""
        tree = self._stop.tree
        tree.connect(git_url(self._stop.url, self._stop.token))
        place_examples(self._stop.examples, tree.folder, self._stop.url)
        new = tree.commit("Start with the examples")
        with self._page.step("Push the examples: what is on main is live") as step:
            step.command("git push weft main")
            self._push(step)
            if not new:
                step.say("(they were there already)", "dim")
        return self._live()

    def _call(self, live: Live, handled_by: str, title: str) -> None:
        """A webhook call, and the log of its run: on the live version, and to the right end."""
        with self._page.step(title) as step:
            step.command(curl(ORDER, live.hook))
            sent = time.perf_counter()
            id_ = self._ask("POST", live.hook, httpx.codes.ACCEPTED, json=ORDER)["run"]["id"]
            step.say(f"202 after {milliseconds(time.perf_counter() - sent)}: the run is recorded", "green")
            run = self._ended(id_)
            step.command(f"weft log {id_}")
            step.nodes(run["nodes"])
            took = milliseconds((run["durationMs"] or 0) / 1000)
            step.say(
                f"{run['status']} on v{run['version']['number']} after {took}: {shortened(run['output'])}"
            )
            self._check(run, handled_by, live)

    def _check(self, run: Mapping[str, Any], handled_by: str, live: Live) -> None:
        if run["status"] != "completed":
            raise TourFailed(f"run {run['id']} ended as {run['status']}: {run['error']}")
        if run["version"]["id"] != live.version:
            raise TourFailed(f"run {run['id']} ran version {run['version']['id']}, live is {live.version}")
        if run["output"] != {"order_id": ORDER["order_id"], "handled_by": handled_by}:
            raise TourFailed(f"run {run['id']} gave {run['output']}, not an order handled by {handled_by}")

    def _change(self, before: Live) -> Live:
        path = self._stop.tree.folder / FILE
        text = path.read_text()
        if text.count(BEFORE) != 1:
            raise TourFailed(f"{path} does not say {BEFORE!r}")
        path.write_text(text.replace(BEFORE, AFTER))
        self._stop.tree.commit("Let sales see orders from 100 on")
        with self._page.step("Change a line and push: the next version is live") as step:
            step.diff(self._stop.tree.changed_lines())
            step.command("git commit -am 'Let sales see orders from 100 on' && git push weft main")
            self._push(step)
        live = self._live()
        if live.version == before.version:
            raise TourFailed(f"after the push {DEPLOYMENT} is still on v{live.number}")
        return live

    def _revert(self, first: Live) -> Live:
        self._stop.tree.revert()
        with self._page.step("Roll back with git revert: the first version is live again") as step:
            step.command("git revert HEAD && git push weft main")
            self._push(step)
            live = self._live()
            step.say(f"the same version, not a copy of it: {live.version[:16]}…", "dim")
        if live != first:
            raise TourFailed(
                f"live is v{live.number} ({live.version}), it was v{first.number} ({first.version})"
            )
        return live

    def _push(self, step: Step) -> None:
        started = time.perf_counter()
        for line in self._stop.tree.push():
            step.say(f"remote: {line}", "green")
        step.took = time.perf_counter() - started

    def _live(self) -> Live:
        found = self._get(f"/api/v1/deployments/{DEPLOYMENT}")
        if found["version"] is None:
            raise TourFailed(f"{DEPLOYMENT} has no live version: {found['conditions']}")
        version = found["version"]
        return Live(number=version["number"], version=version["id"], hook=found["webhookUrl"])

    def _ended(self, id_: str) -> Mapping[str, Any]:
        deadline = time.monotonic() + RUN_PATIENCE
        while True:
            run = self._get(f"/api/v1/runs/{id_}")
            if run["endedAt"] is not None:
                return run
            if time.monotonic() > deadline:
                raise TourFailed(f"run {id_} is still {run['status']} after {RUN_PATIENCE:g} s")
            time.sleep(POLL)

    def _get(self, path: str) -> Mapping[str, Any]:
        return self._ask("GET", path, httpx.codes.OK)

    def _ask(self, method: str, path: str, expected: int, **sent: Any) -> Mapping[str, Any]:
        try:
            answer = self._http.request(method, path, **sent)
        except httpx.HTTPError as error:
            raise TourFailed(f"{method} {path}: {error or type(error).__name__}") from error
        if answer.status_code != expected:
            raise TourFailed(f"{method} {path} answered {answer.status_code}: {answer.text}")
        found: Mapping[str, Any] = answer.json()
        return found


def curl(body: Mapping[str, Any], url: str) -> str:
    """The command that sends it; spelled so that older versions of curl know it, too."""
    return f"curl -H 'Content-Type: application/json' -d '{orjson.dumps(body).decode()}' {url}"


def git_url(url: str, token: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://weft:{token}@{rest}/git/default.git"


def place_examples(examples: Path, folder: Path, url: str) -> None:
    """Copies them, with the address that Weft has here where they name its usual one."""
    shutil.copytree(examples, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path in folder.rglob("*.yaml"):
        text = path.read_text()
        path.write_text(text.replace(WRITTEN_FOR, url.partition("://")[2]))
