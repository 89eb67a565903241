"""Which tag a glob comes to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.tags import Tags, names_pre_release

NAMES = (
    "order-intake/v1.0.0", "order-intake/v1.2.0", "order-intake/1.2.0", "order-intake/v1.10.0",
    "order-intake/v2.0.0-rc.1", "order-intake/v2.0.0-rc.2", "order-intake/v2.0.0-beta.9", "order-intake/vNext",
    "order-intake/production", "order-intake/v/9.0.0", "order-intake/vendor/v8.0.0", "order-intake-two/v7.0.0",
    "billing/v3.0.0", "billing/eu/v4.0.0", "v0.1.0", "0.2.0", "build/v1.0.0+b1", "build/v1.0.0+b2",
    "build/v0.9.0+b-3", "ready-only/v1.0.0-rc.1",
)  # fmt: skip


def tags(*names: str) -> Tags:
    refs = {f"refs/tags/{name}": "a" * 40 for name in names}
    return Tags().moved({**refs, "refs/heads/order-intake/v99.0.0": "b" * 40})


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("order-intake/v*", "order-intake/v1.10.0"),
        ("order-intake/*", "order-intake/v1.10.0"),
        ("order-intake/v1.[0-3].*", "order-intake/v1.2.0"),
        ("order-intake/[!v]*", "order-intake/1.2.0"),
        ("order-intake/v1.?.0", "order-intake/v1.2.0"),
        ("order-intake/v1.0.0", "order-intake/v1.0.0"),
        # Pre-releases only for those who ask for them.
        ("order-intake/v2*", None),
        ("order-intake/v2.0.0-*", "order-intake/v2.0.0-rc.2"),
        ("order-intake/v*-*", "order-intake/v2.0.0-rc.2"),
        ("order-intake/v2.0.0-beta.*", "order-intake/v2.0.0-beta.9"),
        ("ready-only/*", None),
        # No wildcard reaches over a slash; one may stand for a folder.
        ("*", "0.2.0"),
        ("v*", "v0.1.0"),
        ("*/v*", "order-intake-two/v7.0.0"),
        ("order*/v[0-9]*", "order-intake-two/v7.0.0"),
        ("*/*/v*", "order-intake/vendor/v8.0.0"),
        ("billing/**", "billing/v3.0.0"),
        # Build metadata decides nothing; of equal versions the last by name is taken.
        ("build/*", "build/v1.0.0+b2"),
        ("build/*+b-*", "build/v0.9.0+b-3"),
        ("order-intake/production", None),
        ("nobody/*", None),
        ("*/nobody", None),
    ],
)
def test_the_highest_matching_version_is_taken(glob: str, expected: str | None) -> None:
    assert tags(*NAMES).highest(glob) == expected


@pytest.mark.parametrize(
    ("glob", "said"),
    [
        ("nobody/*", "No tag matches nobody/*. Push one, together with this or before it"),
        ("order-intake/p*", "is a semantic version, such as order-intake/production. Push one that ends in"),
        (
            "order-intake/v2*",
            "only pre-releases are versions, such as order-intake/v2.0.0-rc.2. Push a release",
        ),
        ("ready-only/v*", "or ask for pre-releases with ready-only/v*-*."),
    ],
)
def test_it_says_why_there_is_none_and_what_to_do(glob: str, said: str) -> None:
    reason = tags(*NAMES).why_none(glob)
    assert reason.code == "no-tag-matches"
    assert said in reason.message


def test_a_hyphen_in_a_class_a_folder_or_the_build_asks_for_no_pre_release() -> None:
    assert not any(map(names_pre_release, ("v[0-9]*", "order-intake/v*", "v*+b-1", "v[!a-c].*")))
    assert all(map(names_pre_release, ("v*-*", "order-intake/v1.[0-9].0-rc.*", "v*-*+b")))


def test_a_glob_of_many_stars_is_answered_at_once() -> None:
    name = "order-intake/" + "a" * 200
    assert tags(name).highest("order-intake/" + "*a" * 90 + "b") is None


folders, versions = ("", "a/", "b/", "a/b/"), ("v1.0.0", "v2.0.0-rc", "v3.0.0", "x")
names = st.lists(
    st.sampled_from([folder + version for folder in folders for version in versions]), unique=True, max_size=8
)


@given(st.lists(names, min_size=1, max_size=4))
def test_what_is_remembered_of_other_refs_changes_no_answer(states: list[list[str]]) -> None:
    globs = ("*", "a/*", "b/v*", "*/*", "a/*/v*", "a/v*-*", "c/*")
    remembered = Tags()
    for state in states:
        remembered = remembered.moved({f"refs/tags/{name}": "a" * 40 for name in state})
        fresh = tags(*state)
        for glob in globs:
            assert remembered.highest(glob) == fresh.highest(glob)
            assert remembered.why_none(glob) == fresh.why_none(glob)
