"""Where a forge is, and what its answers mean: tables."""

from __future__ import annotations

import pytest

from reconciler.forges.address import (
    ForgeKind,
    NoForgeError,
    forge_address,
    repository_name,
    same_repository,
)
from reconciler.forges.errors import RefusedError, TryLaterError, error_of, wait_after
from reconciler.forges.forge import Status
from reconciler.forges.verdict import elsewhere, unplanned, verdict_of
from reconciler.proposal import Proposed
from schemas.problems import Problem

GITHUB, GITLAB, GITEA = ForgeKind.GITHUB, ForgeKind.GITLAB, ForgeKind.GITEA


@pytest.mark.parametrize(
    ("kind", "upstream", "api", "repository"),
    [
        (GITHUB, "https://github.com/acme/flows.git", "https://api.github.com", "acme/flows"),
        (GITHUB, "https://github.com/acme/flows", "https://api.github.com", "acme/flows"),
        (GITHUB, "git@github.com:acme/flows.git", "https://api.github.com", "acme/flows"),
        (GITHUB, "ssh://git@ssh.github.com:443/acme/flows.git", "https://api.github.com", "acme/flows"),
        (GITHUB, "https://git.example/acme/flows/", "https://git.example/api/v3", "acme/flows"),
        (GITLAB, "https://gitlab.com/acme/ops/flows.git", "https://gitlab.com/api/v4", "acme/ops/flows"),
        (GITLAB, "ssh://git@gitlab.example:2222/acme/flows", "https://gitlab.example/api/v4", "acme/flows"),
        (GITEA, "http://localhost:3000/acme/my.flows.git", "http://localhost:3000/api/v1", "acme/my.flows"),
        (GITEA, "git.example:acme/flows", "https://git.example/api/v1", "acme/flows"),
    ],
)
def test_the_forge_is_found_from_the_upstream(
    kind: ForgeKind, upstream: str, api: str, repository: str
) -> None:
    found = forge_address(kind, upstream)
    assert (found.kind, found.api, found.repository) == (kind, api, repository)


def test_another_place_of_the_api_can_be_named() -> None:
    found = forge_address(
        GITLAB, "https://example.org/gitlab/acme/flows.git", "https://example.org/gitlab/api/v4/"
    )
    assert (found.api, found.repository) == ("https://example.org/gitlab/api/v4", "acme/flows")
    folder = forge_address(GITEA, "/srv/git/acme/flows.git", "http://127.0.0.1:3000/api/v1")
    assert (folder.api, folder.repository) == ("http://127.0.0.1:3000/api/v1", "acme/flows")


@pytest.mark.parametrize(
    "upstream",
    [
        "https://git.example/flows.git",
        "https://git.example/acme/../flows",
        "https://git.example/acme/flows%2F..",
        "/flows.git",
        "https://git.example/acme//flows",
    ],
)
def test_what_names_no_repository_is_none(upstream: str) -> None:
    with pytest.raises(NoForgeError, match="owner and name"):
        repository_name(upstream)


def test_a_folder_is_at_no_forge() -> None:
    with pytest.raises(NoForgeError, match="set WEFT_FORGE_API"):
        forge_address(GITHUB, "/srv/git/acme/flows.git")


def test_case_makes_no_other_repository() -> None:
    assert same_repository("Acme/Flows", "acme/flows")
    assert not same_repository("acme/flows", "acme/flows2")


@pytest.mark.parametrize(
    ("status", "headers", "said", "wait"),
    [
        (500, {}, "", None),
        (503, {"retry-after": "7"}, "", 7.0),
        (408, {}, "", None),
        (429, {}, "", 60.0),
        (429, {"retry-after": "30"}, "", 30.0),
        (429, {"ratelimit-reset": "1090"}, "", 90.0),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1300"}, "API rate limit exceeded", 300.0),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "900"}, "", 1.0),
        (403, {"retry-after": "60"}, "You have exceeded a secondary rate limit", 60.0),
        (403, {"x-ratelimit-remaining": "99"}, "You have exceeded a secondary rate limit", 60.0),
    ],
)
def test_what_may_work_later(status: int, headers: dict[str, str], said: str, wait: float | None) -> None:
    error = error_of("GET https://git.example/x", status, headers, said, now=1000.0)
    assert isinstance(error, TryLaterError)
    assert error.wait == wait


@pytest.mark.parametrize(
    ("status", "headers", "remedy"),
    [
        (401, {}, "set WEFT_UPSTREAM_TOKEN to one that is"),
        (403, {"x-ratelimit-remaining": "59", "x-ratelimit-reset": "1300"}, "let it write comments"),
        (404, {}, "the token may not see it"),
        (301, {}, "has moved"),
        (422, {}, "does not take this request"),
    ],
)
def test_what_needs_somebody(status: int, headers: dict[str, str], remedy: str) -> None:
    error = error_of("GET https://git.example/x", status, headers, "No", now=1000.0)
    assert isinstance(error, RefusedError)
    assert str(error).startswith(f"GET https://git.example/x: status {status} (No): ")
    assert remedy in str(error)


def test_what_went_well_is_no_error() -> None:
    assert [error_of("x", status, {}, "", 0.0) for status in (200, 201, 204)] == [None, None, None]


def test_waiting_doubles_up_to_a_quarter_of_an_hour_and_ends() -> None:
    assert [wait_after(attempts, None) for attempts in (1, 2, 3, 8, 9, 11, 12)] == [
        5,
        10,
        20,
        640,
        900,
        900,
        None,
    ]
    assert [wait_after(1, asked) for asked in (0.0, 300.0, 86400.0)] == [1.0, 300.0, 3600.0]


def test_problems_cannot_break_out_of_their_block_and_are_cut() -> None:
    found = [problem(f"a ```{'`' * 3} </details> <!-- x --> {'y' * 400}\nsecond") for _ in range(200)]
    verdict = verdict_of(Proposed(plan=None, problems=tuple(found)), "main")
    lines = verdict.text.splitlines()
    assert lines[2] == lines[-1] + "text"
    assert lines[-1] == "`" * 7
    assert "second" in lines[3]
    assert lines[-2].endswith("`weft validate` shows them all")
    assert len(verdict.text) < 25_000
    assert verdict.status is Status.FAILURE


def test_without_a_plan_there_is_a_reason_on_one_line() -> None:
    verdict = unplanned("aaa conflicts with bbb in x.yaml:\nmerge it first")
    assert verdict.description == "aaa conflicts with bbb in x.yaml: merge it first"
    assert verdict.status is Status.FAILURE


def test_a_branchs_name_writes_no_markdown() -> None:
    assert "goes to `[x](http://y)`, not to `main`: " in elsewhere("[x]`(http://y)", "main").text


def problem(message: str) -> Problem:
    return Problem(path="patterns/a.yaml", line=1, column=1, code="x", message=message, hint="")
