"""The client commands, against a real server."""

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from api_site import ADMIN, Site
from git_work import Work, deployment, pattern
from typer.testing import CliRunner, Result

from cli import actions, deployments, diff, printing, rebuild, runs, templates
from cli.errors import CommandError
from store.deployments import Condition
from store.runs import RunStatus
from store.spans import Span, SpanStatus

Weft = Callable[..., Result]


@pytest.fixture
def weft(site: Site) -> Weft:
    return lambda *arguments, **options: invoke(*arguments, url=site.url, **options)


def make_app() -> typer.Typer:
    app = typer.Typer()
    for module in (actions, deployments, diff, runs, rebuild, templates):
        module.register(app)
    return app


def invoke(*arguments: str, url: str = "", token: str = ADMIN, **options: Any) -> Result:
    environ = {"WEFT_URL": url, "WEFT_TOKEN": token, **options.pop("environ", {})}
    return CliRunner().invoke(make_app(), arguments, env=environ, **options)


def refusal(result: Result) -> CommandError:
    assert isinstance(result.exception, CommandError)
    return result.exception


def wrong_usage(result: Result) -> str:
    assert result.exit_code == 2
    return result.stderr


STEPS = [
    {"id": "a", "uses": "set", "with": {"x": "${{ input.n }}"}},
    {"id": "note", "uses": "log", "with": {"message": "n is ${{ input.n }}"}},
    {"id": "check", "uses": "fail", "when": "${{ input.n > 1 }}", "with": {"message": "too much"}},
]
SPEC = {"on": {"webhook": {}, "schedule": [{"cron": "0 9 * * *"}]}, "nodes": STEPS}


def test_deployments_lists_what_is_live(site: Site, weft: Weft) -> None:
    assert "Nothing is deployed" in weft("deployments").stdout
    site.deploy("orders", SPEC)
    site.deploy("reports", state="paused")
    lines = weft("deployments").stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["orders", "v1", "active"],
        ["reports", "v1", "paused"],
    ]
    assert "branch main" in lines[1]
    found = json.loads(weft("deployments", "--state", "paused", "--json").stdout)
    assert [one["name"] for one in found] == ["reports"]


def test_a_deployment_fits_one_screen(site: Site, weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    why = Condition("Stalled", True, "tag-not-found", "There is no tag live.", None, "2026-03-01T00:00:00Z")
    callee = site.deploy("notify")
    site.deploy("notify", number=2)
    site.deploy("orders", SPEC, calls={"notify": callee})
    site.deploy("orders", SPEC, number=2, calls={"notify": callee}, conditions=[why])
    monkeypatch.setattr(printing, "UNLIMITED", 80)
    screen = weft("deployment", "orders").stdout
    for said in (
        "orders (production)", "active, stalled", "There is no tag live.", "orders v2", "branch main", "by ada",
        "POST http://weft.test/hooks/hook-default-orders", "0 9 * * * (UTC), next ", "notify v1 (newest: v2)",
        "Change 1", "Change 2",
    ):  # fmt: skip
        assert said in screen
    assert max(map(len, screen.splitlines())) <= 80
    assert len(screen.splitlines()) <= 24
    found = json.loads(weft("deployment", "orders", "--json").stdout)
    assert [one["revision"] for one in found["revisions"]] == [2, 1]


def test_versions_say_where_they_are_live(site: Site, weft: Weft) -> None:
    site.deploy("orders", SPEC)
    site.deploy("orders", SPEC, number=2)
    lines = weft("versions", "orders").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["VERSION", "v2", "v1"]
    assert "orders" in lines[1]
    assert "orders" not in lines[2]
    found = json.loads(weft("versions", "orders", "--json").stdout)
    assert [one["liveIn"] for one in found] == [["orders"], []]


def test_a_run_is_started_followed_and_told_by_its_exit_code(site: Site, weft: Weft, tmp_path: Path) -> None:
    site.deploy("orders", SPEC)
    with site.worker():
        good = weft("run", "orders", "--input", '{"n": 1}', "--follow")
        file = tmp_path / "input.json"
        file.write_text('{"n": 2}')
        bad = weft("run", "orders", "--input", f"@{file}", "--follow")
        quiet = weft("run", "orders", "--input", "@-", "--follow", "--json", input='{"n": 1}')
    assert (good.exit_code, bad.exit_code, quiet.exit_code) == (0, 1, 0)
    assert '→ {"x": 1}' in good.stdout
    assert "info  n is 1" in good.stdout
    assert "check  fail  skipped" in good.stdout
    assert "completed after" in good.stdout.splitlines()[-1]
    assert "failed: too much" in bad.stdout
    events = [json.loads(line) for line in quiet.stdout.splitlines()]
    assert (events[0]["data"]["trigger"], events[-1]["event"]) == ("manual", "end")


def test_a_run_that_nobody_follows_says_how_to_see_it(site: Site, weft: Weft) -> None:
    site.deploy("orders", {"nodes": []})
    result = weft("run", "orders")
    assert result.exit_code == 0
    assert f"weft log {site.rung[0]} --follow" in result.stdout
    assert json.loads(weft("run", "orders", "--json").stdout)["status"] == "pending"


def test_runs_are_listed_whole_in_80_columns_and_uncut_in_a_pipe(
    site: Site, weft: Weft, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "a-very-long-name-of-a-deployment-that-somebody-thought-of"
    site.deploy(name)
    assert "no such runs" in weft("runs").stdout
    run = site.run(name, status=RunStatus.DEAD_LETTER)
    assert name in weft("runs").stdout
    monkeypatch.setattr(printing, "UNLIMITED", 80)
    lines = weft("runs").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert run in lines[1]
    assert "dead_letter" in lines[1]


def test_runs_are_filtered_and_as_many_as_asked_for(site: Site, weft: Weft) -> None:
    site.deploy("orders")
    made = [site.run("orders") for _ in range(5)]
    failed = site.run("orders", status=RunStatus.FAILED)

    def found(*options: str) -> list[str]:
        return [one["id"] for one in json.loads(weft("runs", "--json", *options).stdout)]

    assert found("--limit", "3") == [failed, *made[:2:-1]]
    assert found("--status", "failed", "--deployment", "orders", "--since", "1h") == [failed]
    assert found("--until", "1h") == []
    assert found("--since", "2020-01-01", "--roots", "--trigger", "webhook", "--limit", "1") == [failed]
    assert "--since" in wrong_usage(weft("runs", "--since", "yesterday"))
    unknown = refusal(weft("runs", "--status", "done"))
    assert (unknown.exit_code, "completed" in str(unknown)) == (2, True)


def test_the_log_tells_node_by_node_what_happened(site: Site, weft: Weft) -> None:
    site.deploy("orders", SPEC)
    error = '{"type": "failed", "message": "too much\\nby far", "node": "check", "hint": "order less"}'
    log = '[{"level": "warning", "message": "hm"}]'
    spans = [
        Span("a", SpanStatus.COMPLETED, 2, 1.0, 1.0123, output=json.dumps({"x": "y" * 5000}), log=log),
        Span("check", SpanStatus.FAILED, 1, 2.0, 3.5, error=error),
    ]
    run = site.run("orders", status=RunStatus.FAILED, spans=spans, error=error)
    shown = weft("log", run)
    assert shown.exit_code == 0
    for said in (
        "12.3 ms",
        "attempt 2",
        "warning  hm",
        "1.5 s",
        "failed: too much",
        "by far",
        "hint: order less",
    ):
        assert said in shown.stdout
    assert shown.stdout.count("too much") == 1
    assert max(map(len, shown.stdout.splitlines())) <= 2000
    assert weft("log", run, "--follow").exit_code == 1
    assert json.loads(weft("log", run, "--json").stdout)["nodes"][0]["path"] == "a"


def test_the_log_of_an_earlier_attempt_can_be_read(site: Site, weft: Weft) -> None:
    site.deploy("orders", SPEC)
    error = '{"type": "failed", "message": "too much", "node": "check"}'
    spans = [Span("check", SpanStatus.FAILED, 1, 2.0, 3.5, error=error)]
    run = site.run("orders", status=RunStatus.RUNNING, spans=spans)
    site.execute("UPDATE runs SET attempt = 2 WHERE id = %s", run)
    shown = weft("log", run, "--attempt", "1").stdout
    assert "attempt 1 of 2" in shown
    assert "too much" in shown
    assert "has had 2" in str(refusal(weft("log", run, "--attempt", "3")))
    assert "not both" in wrong_usage(weft("log", run, "--attempt", "1", "--follow"))


def test_what_is_in_brackets_is_no_markup(site: Site, weft: Weft) -> None:
    site.deploy("orders", SPEC)
    run = site.run("orders", status=RunStatus.COMPLETED, output='"[red]x[/]"')
    assert '"[red]x[/]"' in weft("log", run).stdout or "[red]x[/]" in weft("log", run).stdout
    assert "\x1b" not in weft("log", run).stdout


def test_a_run_is_cancelled_and_retried(site: Site, weft: Weft) -> None:
    site.deploy("orders", SPEC)
    run = site.run("orders")
    assert "asked to end" in weft("cancel", run).stdout
    assert "Wait for its end" in str(refusal(weft("retry", run)))
    spans = [Span("a", SpanStatus.COMPLETED, 1, 1.0, 2.0, output="1")]
    ended = site.run("orders", status=RunStatus.FAILED, spans=spans)
    again = json.loads(weft("retry", ended, "--from-failed", "--json").stdout)
    assert (again["replayOf"], again["trigger"]) == (ended, "replay")
    assert len(json.loads(weft("log", again["id"], "--json").stdout)["nodes"]) == 1
    assert weft("retry", ended, "--from", "a", "--live", "--input", "{}").exit_code == 0
    assert "not both" in wrong_usage(weft("retry", ended, "--from", "a", "--from-failed"))
    assert "nothing left" in str(refusal(weft("cancel", ended)))


@pytest.mark.parametrize("given", ["{", "@/nowhere/at/all", "@/"])
def test_an_input_that_cannot_be_read_is_wrong_usage(weft: Weft, given: str) -> None:
    assert "--input" in wrong_usage(weft("run", "orders", "--input", given))


def test_every_problem_of_a_refusal_is_a_line(site: Site, weft: Weft) -> None:
    site.deploy("orders", {"input": {"required": ["a", "b"]}, "nodes": []})
    error = refusal(weft("run", "orders", "--input", "{}"))
    assert error.exit_code == 1
    assert str(error).splitlines() == [
        "The input does not fit the pattern:",
        '  input: "a" is a required property',
        '  input: "b" is a required property',
    ]


def test_what_is_not_found_and_a_wrong_token_say_what_to_do(site: Site, weft: Weft) -> None:
    assert "`weft deployments` lists them" in str(refusal(weft("deployment", "nothing")))
    assert "`weft runs` lists them" in str(refusal(weft("log", "nothing")))
    wrong = refusal(invoke("runs", url=site.url, token="this-is-not-the-token"))
    assert "admin-token" in str(wrong)


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        error = refusal(invoke("runs", url=url))
    assert url in str(error)
    assert "weft up" in str(error)
    assert len(str(error).splitlines()) == 1
    nowhere = invoke("runs", environ={"WEFT_URL": "", "WEFT_TOKEN": "", "WEFT_DATA": str(tmp_path)})
    assert "weft up" in str(refusal(nowhere))


def test_a_server_that_is_not_weft_is_recognised() -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        error = refusal(invoke("runs", url=f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()
        thread.join()
    assert "is not Weft (200 OK)" in str(error)


def test_without_settings_the_installation_on_this_machine_is_asked(site: Site, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "url").write_text(f"{site.url}\n")
    (data / "admin-token").write_text(f"{ADMIN}\n")
    environ = {"WEFT_URL": "", "WEFT_TOKEN": "", "HTTP_PROXY": "http://127.0.0.1:9"}
    assert invoke("runs", "--data", str(data), environ=environ).exit_code == 0


def test_actions_say_what_they_made_of_it(site: Site, weft: Weft, tmp_path: Path) -> None:
    work = Work(tmp_path / "work", site.reconciler)
    for number in (1, 2):
        work.commit({"patterns/a.yaml": pattern("a", f"v{number}"), "deployments/a.yaml": deployment("a")})
        work.push()

    said = weft("rollback", "a", "-m", "v2 loses orders").stdout.splitlines()

    head = work.git("ls-remote", str(work.bare), "refs/heads/main")[:10]
    assert said[:3] == [f"main is at {head}", "1 changed", "a  v2 → v1  changed"]
    assert json.loads(weft("pause", "a", "--json").stdout)["plan"]["summary"] == "1 changed"
    assert "a is paused already" in str(refusal(weft("pause", "a")))
    assert weft("deployment", "a").stdout.splitlines()[1].split() == ["State", "paused"]
    assert weft("resume", "a").exit_code == 0
    assert weft("promote", "a", "--follow", "main").exit_code == 0
    assert "exactly one of" in wrong_usage(weft("promote", "a"))
    assert str(refusal(weft("promote", "a", "--tag", "nope"))).splitlines()[1:] == [
        "  deployments/a.yaml:7:3: There is no tag nope. Push it (again), or follow another source."
    ]
    assert weft("clone", "a", "b").stdout.splitlines()[1:] == ["1 unchanged"]
    assert weft("deploy", "b", "--version", "1", "--environment", "staging").stdout.splitlines()[1:3] == [
        "1 created, 1 unchanged",
        "b  v1  created",
    ]
    assert "one of" in wrong_usage(weft("deploy", "b", "--version", "1", "--tag", "x"))
    assert "exactly one of" in wrong_usage(weft("promote", "a", "--version", "1", "--tag", "x"))
    assert weft("undeploy", "a").stdout.splitlines()[1:3] == [
        "1 unchanged, 1 undeployed",
        "a  v2  undeployed",
    ]


def test_a_rollback_may_restore_the_files_instead(site: Site, weft: Weft, tmp_path: Path) -> None:
    work = Work(tmp_path / "work", site.reconciler)
    for number in (1, 2):
        work.commit({"patterns/a.yaml": pattern("a", f"v{number}"), "deployments/a.yaml": deployment("a")})
        work.push()
    assert weft("rollback", "a", "--revert").stdout.splitlines()[1:3] == ["1 changed", "a  v2 → v1  changed"]
    assert work.git("show", "main:patterns/a.yaml", GIT_DIR=str(work.bare)) == pattern("a", "v1").strip()


TEMPLATE = """\
apiVersion: weft/v1
kind: Template
metadata: {name: tell, description: Say something.}
spec:
  parameters:
    type: object
    required: [text]
    properties: {text: {type: string}, times: {type: integer, default: 2}, tags: {type: array, default: []}}
  pattern:
    on: {webhook: {}}
    nodes:
    - id: say
      uses: set
      with: {text: "${{ params.text }}", n: "${{ params.times }}", t: "${{ params.tags }}"}
  deployment: {}
"""


def test_a_template_is_listed_used_and_made(site: Site, weft: Weft, tmp_path: Path) -> None:
    work = Work(tmp_path / "work", site.reconciler)
    work.commit({"README.md": "Nothing yet"})
    work.push()
    assert "No templates yet" in weft("template", "list").stdout
    work.commit({"templates/tell.yaml": TEMPLATE})
    work.push()

    row = weft("template", "list").stdout.splitlines()[1]
    assert row.split()[:6] == ["tell", "text*,", "times,", "tags", "pattern,", "deployment"]
    params = ("-p", "text=5", "-p", "times=7", "-p", 'tags=["a=b"]')
    assert weft("template", "use", "tell", "mine", *params).stdout.splitlines()[1:3] == [
        "1 created",
        "mine  v1  created",
    ]
    [node] = site.http.get("/patterns/mine/versions/1").json()["spec"]["nodes"]
    assert node["with"] == {"text": "5", "n": 7, "t": ["a=b"]}

    given = tmp_path / "given.json"
    given.write_text('{"text": "from a file", "times": 1}')
    assert weft("template", "use", "tell", "other", "--params", f"@{given}", "-p", "times=3").exit_code == 0
    [node] = site.http.get("/patterns/other/versions/1").json()["spec"]["nodes"]
    assert node["with"] == {"text": "from a file", "n": 3, "t": []}

    refused = str(refusal(weft("template", "use", "tell", "third", "-p", "times=x")))
    assert 'parameters: times: "x" is not of type "integer"' in refused
    assert 'parameters: "text" is a required property' in refused
    assert "KEY=VALUE" in wrong_usage(weft("template", "use", "tell", "third", "-p", "text"))
    assert "an object" in wrong_usage(weft("template", "use", "tell", "third", "--params", "[]"))
    assert "not JSON" in wrong_usage(weft("template", "use", "tell", "third", "--params", "{"))
    assert 'Did you mean "tell"' in str(refusal(weft("template", "use", "tel", "third", "-p", "text=x")))
    assert weft("template", "create", "mine").exit_code == 0
    assert [one["name"] for one in json.loads(weft("template", "list", "--json").stdout)] == ["mine", "tell"]


def test_a_diff_speaks_as_a_plan_does(site: Site, weft: Weft, tmp_path: Path) -> None:
    work = Work(tmp_path / "work", site.reconciler)
    one = pattern("a", "good day", script="s.py")
    other = one.replace("good day", "bye").replace(
        "{webhook: {}, call: {}}", "{call: {}, schedule: [{every: 1h}]}"
    )
    for text, program in ((one, "1"), (one, "2"), (other, "2")):
        work.commit({"patterns/a.yaml": text, "s.py": program})
        work.push()

    assert weft("diff", "a", "1", "2").stdout.splitlines() == ["a  v1 → v2", "    file s.py changed"]
    assert weft("diff", "a", "2", "3").stdout.splitlines() == [
        "a  v2 → v3",
        "    trigger webhook removed",
        "    trigger schedule added: every 1h",
        "    node `say`: with.message: good day → bye",
    ]
    assert weft("diff", "a", "3", "3").stdout.splitlines() == ["a  v3 → v3", "    no difference"]
    found = json.loads(weft("diff", "a", "3", "1", "--json").stdout)
    assert (found["from"]["number"], found["to"]["number"], len(found["changes"])) == (3, 1, 4)
    assert "has no version '9'" in str(refusal(weft("diff", "a", "1", "9")))
    assert "has no version '1'" in str(refusal(weft("diff", "b", "1", "9")))
    assert site.http.get("/patterns/a/diff?from=1").status_code == 422


def test_every_command_shows_an_example() -> None:
    names = ("deployments", "deployment", "versions", "run", "runs", "log", "cancel", "retry", "rebuild")
    for name in names:
        assert f"Example: weft {name}" in CliRunner().invoke(make_app(), [name, "--help"]).stdout
