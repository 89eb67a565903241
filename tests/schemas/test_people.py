"""What people and protected refs may be called; what weft.yaml says of them."""

import pytest

from schemas.documents import parse_file
from schemas.people import LONGEST, USER_NAME, is_user_name
from schemas.project import Project, Protected
from schemas.shape import schema_documents

GOOD = ("alice", "Ada", "ada.lovelace", "ada@example.org", "ci-bot", "a+b_c", "7", "a" * LONGEST)
BAD = (
    "", "Ada Lovelace", "a..b", "-a", "a-", "a@{b", "a/b", "a.lock", "a<b>", "älice", "a\n", "a--b",
    "a" * (LONGEST + 1),
)  # fmt: skip
HEAD = "apiVersion: weft/v1\nkind: Project\nmetadata: {name: shop}\nspec:\n"


@pytest.mark.parametrize("name", GOOD)
def test_names_that_tokens_branches_and_authors_can_hold(name: str) -> None:
    assert is_user_name(name)
    assert codes(f'  groups: {{team: ["{name}"]}}\n') == []


@pytest.mark.parametrize("name", BAD)
def test_names_that_they_cannot(name: str) -> None:
    assert not is_user_name(name)
    assert codes(f"  groups: {{team: [{name!r}]}}\n".replace("'", '"')) == ["invalid-value"]


def test_the_schema_has_the_pattern_of_the_code() -> None:
    said = schema_documents()["common"]["$defs"]["userName"]
    assert said["pattern"] == f"^(?!.*\\.lock$){USER_NAME}$"
    assert said["maxLength"] == LONGEST


@pytest.mark.parametrize(
    "glob", ["main", "release/*", "release/**", "**", "v?", "v1.*", "*/production", "a]"]
)
def test_globs_that_can_be_protected(glob: str) -> None:
    assert codes(f'  protect: {{"{glob}": {{push: []}}, tags: {{"{glob}": {{push: []}}}}}}\n') == []


@pytest.mark.parametrize(
    "glob",
    ["refs/tags/x", "a**", "**/a", "a//b", "/a", "a/", "a..b", "[ab]", "a b", "a:b", "-a", "a.lock", ""],
)
def test_globs_that_would_never_match_are_refused(glob: str) -> None:
    assert codes(f'  protect: {{"{glob}": {{push: []}}}}\n') == ["invalid-value"]
    assert codes(f'  protect: {{tags: {{"{glob}": {{push: []}}}}}}\n') == ["invalid-value"]


def test_the_settings_are_typed() -> None:
    text = HEAD + (
        "  groups: {maintainers: [alice, bob], none: []}\n"
        "  protect:\n    main: {push: [maintainers], approvals: 2}\n    x: {approvals: 1}\n"
        "    tags: {'*/production': {push: [alice]}}\n"
    )
    [document] = parse_file("weft.yaml", text.encode()).documents
    assert document.typed == Project(
        name="shop",
        groups={"maintainers": ("alice", "bob"), "none": ()},
        branches={
            "main": Protected(push=("maintainers",), approvals=2),
            "x": Protected(push=None, approvals=1),
        },
        tags={"*/production": Protected(push=("alice",))},
    )


def test_a_misspelt_group_is_told_with_what_was_meant() -> None:
    text = HEAD + "  groups: {maintainers: [alice]}\n  protect: {main: {push: [mantainers]}}\n"
    [problem] = parse_file("weft.yaml", text.encode()).problems
    assert str(problem) == (
        'weft.yaml:6:27: there is no group "mantainers", and nobody of that name in one [unknown-group]'
        ' Did you mean "maintainers"?'
    )


@pytest.mark.parametrize(
    "written", ["groups: 1", "groups: {a: b}", "protect: []", "protect: {main: []}", "protect: {tags: {x: 1}}",
                "protect: {main: {approvals: 1.5}}", "protect: {main: {push: alice}}",
                "protect: {main: {push: [1]}}", "protect: {main: {}}"]
)  # fmt: skip
def test_a_wrong_shape_is_said_once_and_breaks_nothing(written: str) -> None:
    assert codes(f"  {written}\n") in (["wrong-type"], ["missing-key"])


def codes(spec: str) -> list[str]:
    return [problem.code for problem in parse_file("weft.yaml", (HEAD + spec).encode()).problems]
