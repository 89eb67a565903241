"""The examples are valid, complete, and do what their comments say."""

from __future__ import annotations

import importlib.util
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from live_service import live_service

from reconciler.actions.template_documents import used
from schemas.deployment import DeploymentSpec
from schemas.documents import Document, Kind, ParsedFile, is_document_path, parse_file
from schemas.json_schemas import violations
from schemas.pattern import Node, Pattern
from schemas.rules import AssetState, check
from schemas.template import Template, with_defaults

ROOT = Path(__file__).parent.parent / "examples-repo"


def parsed_files() -> dict[str, ParsedFile]:
    paths = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.rglob("*")) if path.is_file()]
    return {path: parse_file(path, (ROOT / path).read_bytes()) for path in paths if is_document_path(path)}


def state_of(path: str) -> AssetState:
    return AssetState.PRESENT if (ROOT / path).is_file() else AssetState.ABSENT


def documents(kind: Kind) -> list[Document]:
    return [one for file in parsed_files().values() for one in file.documents if one.kind is kind]


def patterns() -> dict[str, Pattern]:
    return {one.name: one.typed for one in documents(Kind.PATTERN) if isinstance(one.typed, Pattern)}


def nodes_of(nodes: tuple[Node, ...]) -> Iterator[Node]:
    for node in nodes:
        yield node
        for block in node.blocks.values():
            yield from nodes_of(block)


def test_no_file_has_a_problem() -> None:
    files = parsed_files()
    assert [str(problem) for file in files.values() for problem in file.problems] == []
    assert [str(problem) for problem in check(files, state_of)] == []


USES = {
    "webhook-to-http": {"url": "https://crm.example/orders", "values": ["created", "paid"], "attempts": 5},
    "scheduled-check": {"url": "https://shop.example/health", "every": "1h"},
}


def test_every_template_makes_a_pattern_and_a_deployment_without_a_problem() -> None:
    assert {one.name for one in documents(Kind.TEMPLATE)} == set(USES)
    for one in documents(Kind.TEMPLATE):
        assert isinstance(one.typed, Template)
        values = with_defaults(one.typed.parameters, USES[one.name])
        assert violations(one.typed.parameters, values) == ()
        made = used((ROOT / one.path).read_text(), one.typed, "made", values)
        files = parsed_files() | {path: parse_file(path, text.encode()) for path, text in made.items()}
        assert [str(problem) for file in files.values() for problem in file.problems] == []
        assert [str(problem) for problem in check(files, state_of)] == []
        assert set(made) == {"patterns/made.yaml", "deployments/made.yaml"}


def test_every_yaml_file_is_one_that_weft_reads() -> None:
    yaml = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.y*ml") if ".github" not in path.parts]
    assert [path for path in yaml if not is_document_path(path)] == []


def test_every_pattern_that_has_a_trigger_of_its_own_is_deployed_and_the_called_ones_need_not_be() -> None:
    deployed = {
        one.typed.pattern for one in documents(Kind.DEPLOYMENT) if isinstance(one.typed, DeploymentSpec)
    }
    started = {name for name, one in patterns().items() if one.webhook or one.schedules}
    assert deployed == started
    assert len(started) >= 6


def test_a_called_pattern_says_that_it_may_be_called() -> None:
    called = [
        (caller, node.with_["pattern"])
        for caller, pattern in patterns().items()
        for node in nodes_of(pattern.nodes)
        if node.uses == "call"
    ]
    assert len({caller for caller, _ in called}) >= 2
    assert [name for _, name in called if not patterns()[name].callable] == []


def test_the_examples_show_every_kind_of_node() -> None:
    used = {node.uses for pattern in patterns().values() for node in nodes_of(pattern.nodes)}
    assert used == {"set", "log", "http", "branch", "call", "fail", "stop", "delay", "script", "respond"}


def test_every_pattern_says_what_it_is_for_and_every_file_of_one_begins_with_why() -> None:
    assert [one.name for one in documents(Kind.PATTERN) if not one.metadata.description] == []
    for path in (ROOT / "patterns").glob("*.yaml"):
        assert path.read_text().startswith("# "), path


def test_the_readme_names_every_pattern_and_nothing_else() -> None:
    listed = re.findall(
        r"^\| \[`([a-z-]+)`\]\(patterns/\1\.yaml\)", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert sorted(listed) == sorted(patterns())


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_report_adds_money_without_losing_a_cent() -> None:
    sales = [
        {"product": "Lamp", "amount": 0.1},
        {"product": "Chair", "amount": 0.2},
        {"product": "Lamp", "amount": 5},
    ]
    report = script("report").main({"sales": sales, "returns": [], "currency": "EUR"})
    assert report == {
        "headline": "5.30 EUR from 3 sales",
        "sold": "5.30",
        "returned": "0.00",
        "best_seller": "Lamp",
    }


def test_a_day_without_sales_has_a_report_too() -> None:
    report = script("report").main({"sales": [], "returns": [], "currency": "EUR"})
    assert report["headline"] == "0.00 EUR from 0 sales"
    assert report["best_seller"] is None


def test_the_import_keeps_good_rows_and_names_the_line_of_each_bad_one() -> None:
    text = "name,email,country\nAda,ada@example.com,UK\nBob,,US\n\nEve,eve at example,FR\nShort\n"
    assert script("customers").check({"text": text}) == {
        "rows": [{"name": "Ada", "email": "ada@example.com", "country": "UK"}],
        "refused": [
            {"line": 3, "reason": "email is empty"},
            {"line": 5, "reason": "'eve at example' is no email address"},
            {"line": 6, "reason": "email, country is empty"},
        ],
    }


def test_a_file_without_a_column_is_refused_as_a_whole() -> None:
    with pytest.raises(ValueError, match="no column email, country"):
        script("customers").check({"text": "name\nAda\n"})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The API of a service to which the examples were pushed, with the address that it has."""
    folder = tmp_path_factory.mktemp("examples") / "repository"
    with live_service() as service:
        shutil.copytree(ROOT, folder)
        for path in (folder / "weft.yaml", folder / "deployments" / "uptime-probes.yaml"):
            path.write_text(path.read_text().replace("127.0.0.1:8080", service.url.removeprefix("http://")))
        service.shell(
            "git init -q -b main; git add .; git commit -qm Examples; git push -q $REMOTE main",
            folder,
            REMOTE=f"{service.url.replace('://', f'://weft:{service.token}@')}/git/default.git",
        )
        headers = {"authorization": f"Bearer {service.token}"}
        with httpx.Client(base_url=service.url, headers=headers, trust_env=False, timeout=40) as client:
            yield client


def by_hand(site: httpx.Client, name: str, given: Any) -> dict[str, Any]:
    answer = site.post(f"/api/v1/deployments/{name}/runs", json={"input": given})
    assert answer.is_success, answer.text
    return ended(site, answer.json()["id"])


def by_webhook(site: httpx.Client, name: str, **request: Any) -> dict[str, Any]:
    url = site.get(f"/api/v1/deployments/{name}").json()["webhookUrl"]
    accepted = site.post(url, **request)
    assert accepted.status_code == 202, accepted.text
    return ended(site, accepted.json()["run"]["id"])


def ended(site: httpx.Client, id_: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        run: dict[str, Any] = site.get(f"/api/v1/runs/{id_}").json()
        if run["endedAt"] is not None:
            return run
        assert time.monotonic() < deadline, run
        time.sleep(0.02)


def told(site: httpx.Client, run: dict[str, Any]) -> list[str]:
    """What a run's calls of notify-team wrote to their logs."""
    children = [node["childRunId"] for node in run["nodes"] if node.get("childRunId")]
    nodes = [node for child in children for node in ended(site, child)["nodes"]]
    return [line["message"] for node in nodes for line in node["log"]]


def test_a_big_order_goes_to_sales_and_an_incomplete_one_fails_with_words_that_help(
    site: httpx.Client,
) -> None:
    big = by_webhook(site, "order-intake", json={"order_id": "A-1", "total": 900.5})
    assert (big["status"], big["output"]) == ("completed", {"order_id": "A-1", "handled_by": "sales"})
    assert told(site, big) == ["[sales] Order A-1 is worth 900.5"]
    small = by_hand(site, "order-intake", {"order_id": "A-2", "total": 20})
    assert small["output"] == {"order_id": "A-2", "handled_by": "web shop"}
    bad = by_webhook(site, "order-intake", json={"order_id": "A-3"})
    assert (bad["status"], bad["error"]["type"]) == ("failed", "incomplete_order")
    assert '{"order_id":"A-3"}' in bad["error"]["message"]


PUSH = {
    "ref": "refs/heads/main",
    "repository": {"full_name": "ada/shop", "default_branch": "main"},
    "pusher": {"name": "ada"},
    "commits": [{"message": "Fix the lamp\n\nIt was off."}, {"message": "Paint the chair"}],
}


def test_a_push_to_the_default_branch_is_told_and_nothing_else_is(site: httpx.Client) -> None:
    run = by_webhook(site, "github-push", json=PUSH, headers={"x-github-event": "push"})
    assert told(site, run) == ["[platform] ada pushed 2 commit(s) to ada/shop: Fix the lamp, Paint the chair"]
    ping = by_webhook(
        site, "github-push", json={"zen": "Keep it simple."}, headers={"x-github-event": "ping"}
    )
    assert ping["output"] == {"ignored": "ping event"}
    side = by_webhook(
        site, "github-push", json=PUSH | {"ref": "refs/heads/x"}, headers={"x-github-event": "push"}
    )
    assert side["output"] == {"ignored": "refs/heads/x"}


def test_the_report_is_made_from_the_sample_where_there_is_no_shop(site: httpx.Client) -> None:
    run = by_hand(site, "nightly-report", {"currency": "CHF"})
    assert run["output"]["headline"] == "159.50 CHF from 3 sales"
    assert told(site, run) == ["[management] 159.50 CHF from 3 sales"]


def test_a_quote_is_answered_in_the_call_itself(site: httpx.Client) -> None:
    hook = site.get("/api/v1/deployments/price-quote").json()["webhookUrl"]
    answer = httpx.post(hook, json={"product": "lamp", "pieces": 10})
    assert (answer.status_code, answer.json()["cents"]) == (200, 35550), "with the deployment's discount"
    assert httpx.post(hook, json={"product": "sofa", "pieces": 1}).status_code == 404
    wrong = httpx.post(hook, json={"product": "lamp", "pieces": 0})
    assert (wrong.status_code, [one["path"] for one in wrong.json()["problems"]]) == (422, ["pieces"])


def test_a_csv_file_is_imported_and_its_bad_rows_are_named(site: httpx.Client) -> None:
    text = "name,email,country\nAda,ada@example.com,UK\nBob,,US\n"
    run = by_webhook(site, "csv-import", content=text.encode(), headers={"content-type": "text/csv"})
    assert run["output"] == {"imported": 1, "refused": [{"line": 3, "reason": "email is empty"}]}
    lines = [line["message"] for node in run["nodes"] for line in node["log"]]
    assert lines == ["1 rows are good, 1 are not", "1 row(s) were refused"]


def test_a_payment_provider_that_is_not_there_is_asked_four_times_and_then_people_are(
    site: httpx.Client,
) -> None:
    run = by_webhook(site, "payment-check", json={"payment_id": "p-1"})
    assert run["output"] == {"payment": "p-1", "state": "unknown", "next": "look by hand"}
    (asked,) = [node for node in run["nodes"] if node["id"] == "ask"]
    assert (asked["status"], asked["attempt"]) == ("failed", 4)
    assert asked["error"]["type"] in ("connection", "timeout")
    assert told(site, run)[0].startswith("[payments] Payment p-1 needs a look: ")


def test_the_probe_finds_weft_up_and_the_paused_one_does_not_run(site: httpx.Client) -> None:
    run = by_hand(site, "uptime-weft", None)
    assert run["output"]["status"] == 200
    assert site.post("/api/v1/deployments/uptime-site/runs", json={}).status_code == 409


def test_a_webhook_made_of_the_template_sends_on_what_is_of_interest(site: httpx.Client) -> None:
    address = f"{site.base_url}/healthz"
    parameters = {"url": str(address), "values": ["paid"], "attempts": 1}
    made = site.post(
        "/api/v1/templates/webhook-to-http/use", json={"name": "send-on", "parameters": parameters}
    )
    assert made.status_code == 200, made.text

    ignored = by_webhook(site, "send-on", json={"event": "seen"})
    assert (ignored["status"], [node["id"] for node in ignored["nodes"]]) == ("completed", ["uninteresting"])
    sent = by_webhook(site, "send-on", json={"event": "paid"})
    assert [(node["id"], node["status"]) for node in sent["nodes"]][:2] == [
        ("uninteresting", "skipped"),
        ("send", "failed"),  # the health page takes no POST
    ]
    assert "405" in sent["error"]["message"]
