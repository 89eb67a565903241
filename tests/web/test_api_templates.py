"""Templates over HTTP: listed, used and made, each as one checked commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api_site import Site
from git_work import Work, pattern

TEMPLATE = """\
apiVersion: weft/v1
kind: Template
metadata: {name: forward, title: Forward, description: Send it on., tags: [http]}
spec:
  parameters:
    type: object
    required: [url, limit]
    properties:
      url: {type: string, pattern: "^https?://", default: "https://example.com"}
      limit: {type: integer, minimum: 1}
  pattern:
    # starts here
    on: {webhook: {}}
    nodes:
      - {id: send, uses: http, when: "${{ trigger.body.n > params.limit }}", with: {url: "${{ params.url }}"}}
  deployment: {environment: staging}
"""
PATHS = ("patterns/mine.yaml", "deployments/mine.yaml")


@pytest.fixture
def work(site: Site, tmp_path: Path) -> Work:
    work = Work(tmp_path / "work", site.reconciler)
    plain = TEMPLATE.replace("name: forward,", "name: alone,").replace(
        "  deployment: {environment: staging}\n", ""
    )
    work.commit(
        {
            "templates/forward.yaml": TEMPLATE,
            "templates/more/alone.yaml": plain,
            "patterns/a.yaml": "# Of a\n" + pattern("a", script="scripts/a.py"),
            "scripts/a.py": "def main(input): return 1\n",
        },
        "First",
    )
    work.push()
    return work


def ask(site: Site, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
    answer = site.http.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def use(site: Site, name: str = "mine", *, status: int = 200, of: str = "forward", **parameters: Any) -> Any:
    return ask(site, "POST", f"/templates/{of}/use", {"name": name, "parameters": parameters}, status=status)


def shown(work: Work, path: str) -> str:
    return work.git("show", f"main:{path}", GIT_DIR=str(work.bare))


def head(work: Work) -> str:
    return work.git("rev-parse", "main", GIT_DIR=str(work.bare))


def test_templates_are_listed_and_read(site: Site, work: Work) -> None:
    listed = ask(site, "GET", "/templates")
    assert [one["name"] for one in listed["items"]] == ["alone", "forward"]
    assert listed["items"][1] | {"parameters": None} == {
        "name": "forward", "title": "Forward", "description": "Send it on.", "tags": ["http"],
        "path": "templates/forward.yaml", "parameters": None, "deploys": True,
    }  # fmt: skip
    page = ask(site, "GET", "/templates?limit=1")
    assert ask(site, "GET", f"/templates?cursor={page['next']}")["items"][0]["name"] == "forward"
    one = ask(site, "GET", "/templates/alone")
    assert (one["deploys"], one["deployment"]) == (False, None)
    assert one["pattern"]["nodes"][0]["with"] == {"url": "${{ params.url }}"}
    assert 'Did you mean "forward"?' in ask(site, "GET", "/templates/forwrad", status=404)["detail"]


def test_using_one_is_one_commit_that_is_live(site: Site, work: Work) -> None:
    before = head(work)
    body = {"name": "mine", "parameters": {"limit": 5}, "message": "For the shop"}
    done = ask(site, "POST", "/templates/forward/use", body)

    assert head(work) == done["commit"]
    assert work.git("diff", "--name-only", before, "main", GIT_DIR=str(work.bare)).split() == sorted(PATHS)
    assert work.git("log", "-1", "--format=%an%n%B", "main", GIT_DIR=str(work.bare)).strip() == (
        "admin\nMake mine from the template forward\n\nFor the shop\n\n"
        "Weft-Action: use-template\nWeft-Template: forward\nWeft-Pattern: mine"
    )
    assert shown(work, PATHS[0]) == (
        "apiVersion: weft/v1\nkind: Pattern\nmetadata:\n  name: mine\nspec:\n  # starts here\n  on: {webhook: {}}\n"
        '  nodes:\n    - {id: send, uses: http, when: "${{ trigger.body.n > 5 }}", with: {url: "https://example.com"}}'
    )
    assert shown(work, PATHS[1]).endswith("spec: {pattern: mine, environment: staging}")
    assert done["plan"]["summary"] == "1 created"
    assert site.http.get("/deployments/mine").json()["environment"] == "staging"
    use(site, "second", of="alone", limit=1)
    assert site.http.get("/deployments/second").status_code == 404
    assert (
        "There is a Pattern second already" in use(site, "second", of="alone", limit=1, status=409)["detail"]
    )


def test_parameters_that_do_not_hold_are_told_all_at_once(site: Site, work: Work) -> None:
    before = head(work)
    refused = use(site, url="ftp://x", lmit=3, limit=0, status=422)
    assert refused["type"] == "urn:weft:problem:invalid-parameters"
    said = [one["message"] for one in refused["problems"]]
    assert len(said) == 3
    assert 'there is no parameter "lmit". Did you mean "limit"?' in said
    assert any(one.startswith("url: ") for one in said)
    assert any(one.startswith("limit: ") for one in said)
    assert '"limit" is a required property' in use(site, status=422)["detail"]
    assert "64 bits" in use(site, limit=2**63, status=422)["detail"]
    assert "NUL" in use(site, limit=1, url="https://\0", status=422)["detail"]
    assert "nested" in use(site, limit=[[[0]] * 2] and _deep(60), status=422)["detail"]
    assert head(work) == before


def _deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def test_what_the_gate_refuses_is_not_written(site: Site, work: Work) -> None:
    before = head(work)
    refused = use(site, url="https://${{ secrets.X }}", limit=1, status=200)
    assert "secrets.X" in shown(work, PATHS[0])
    assert refused["commit"] != before
    text = TEMPLATE.replace("name: forward,", "name: caller,").replace(
        "uses: http", "uses: call"
    ).replace('{url: "${{ params.url }}"}', '{pattern: "${{ params.callee }}"}').replace(
        "limit: {type", "callee: {type: string, default: a}\n      limit: {type"
    )  # fmt: skip
    work.git("fetch", "--quiet", str(work.bare), "main")
    work.git("reset", "--quiet", "--hard", "FETCH_HEAD")
    work.commit({"templates/caller.yaml": text})
    work.push()
    before = head(work)
    refused = use(site, "other", of="caller", limit=1, callee="nobody", status=422)
    assert refused["problems"][0]["code"] == "unknown-pattern"
    assert head(work) == before


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/templates/frward/use", {"name": "b"}, 404, 'Did you mean "forward"?'),
        ("/templates/forward/use", {"name": "B"}, 422, "a name"),
        ("/templates/forward/use", {"name": "b", "parameters": []}, 422, "an object"),
        ("/templates/forward/use", {"name": "b", "params": {}}, 422, 'Did you mean "parameters"?'),
        ("/patterns/nobody/template", {"name": "b"}, 404, "main has no pattern nobody"),
        ("/patterns/a/template", {"name": "forward"}, 409, "There is a Template forward already"),
        ("/patterns/a/template", {}, 422, "a name"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused(
    site: Site, work: Work, path: str, body: Any, status: int, said: str
) -> None:
    before = head(work)
    assert said in ask(site, "POST", path, body, status=status)["detail"]
    assert head(work) == before


def test_a_template_made_of_a_pattern_keeps_its_text_and_makes_it_again(site: Site, work: Work) -> None:
    ask(site, "POST", "/patterns/a/template", {"name": "like-a"})
    assert work.git("log", "-1", "--format=%(trailers)", "main", GIT_DIR=str(work.bare)).strip() == (
        "Weft-Action: create-template\nWeft-Template: like-a\nWeft-Pattern: a"
    )
    assert shown(work, "templates/like-a.yaml").startswith(
        "apiVersion: weft/v1\nkind: Template\nmetadata:\n  name: like-a\nspec:\n"
        "  parameters: {type: object}\n  pattern:\n    on: {webhook: {}, call: {}}\n"
    )
    use(site, "b", of="like-a")
    one, other = (site.http.get(f"/patterns/{name}/versions/1").json() for name in ("a", "b"))
    assert (one["spec"], one["assets"]) == (other["spec"], other["assets"])


def test_a_push_of_a_template_with_a_problem_is_refused(site: Site, work: Work) -> None:
    work.commit({"templates/forward.yaml": TEMPLATE.replace("params.url", "params.ulr")})
    outcome = work.push()
    assert "templates/forward.yaml:15:95: " in outcome.lines[1]
    assert "[unknown-parameter]" in outcome.lines[1]


def test_who_may_not_push_may_not_use_one(site: Site, work: Work) -> None:
    body = {"name": "mine", "parameters": {"limit": 1}}
    for role, status in (("viewer", 403), ("editor", 200)):
        with site.client(site.token(role)) as http:
            assert http.get("/templates/forward").status_code == 200
            assert http.post("/templates/forward/use", json=body).status_code == status
