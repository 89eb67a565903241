"""Precedence as https://semver.org/spec/v2.0.0.html has it, by its own examples and by a second, plain reading."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.semver import SemVer, parse

RISING = (
    "0.0.0", "0.0.1", "0.1.0", "0.9.9", "1.0.0-0", "1.0.0-1", "1.0.0-9", "1.0.0-10", "1.0.0-10.0",
    "1.0.0-A", "1.0.0-Z", "1.0.0-a", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta",
    "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1-rc", "1.2.0", "1.10.0", "2.0.0", "2.1.0",
    "2.1.1", "10.0.0", "99999999999999999999999.999999999999999999.99999999999999999",
)  # fmt: skip


def version(text: str) -> SemVer:
    found = parse(text)
    assert found is not None, text
    return found


@pytest.mark.parametrize(("lower", "higher"), list(pairwise(RISING)))
def test_versions_rise(lower: str, higher: str) -> None:
    assert version(lower) < version(higher)
    assert version(f"v{higher}") > version(f"{lower}+build.1")


@pytest.mark.parametrize(
    "same", [("1.0.0", "v1.0.0"), ("1.0.0+a", "1.0.0+b.2"), ("1.0.0-rc.1", "v1.0.0-rc.1+001")], ids=str
)
def test_a_leading_v_and_build_metadata_make_no_difference(same: tuple[str, str]) -> None:
    assert version(same[0]) == version(same[1])


@pytest.mark.parametrize(
    "text",
    [
        "1", "1.2", "v1", "1.2.3.4", "01.2.3", "1.02.3", "1.2.03", "1.2.3-", "1.2.3-01", "1.2.3-a..b", "1.2.3+",
        "1.2.3+a+b", "1.2.3-a_b", "V1.2.3", "vv1.2.3", "v 1.2.3", "1.2.3\n", "\u0661.2.3", "-1.2.3", "", "v",
        "latest", "1.2.3-\u0663", f"1.2.{'9' * 300}",
    ],
)  # fmt: skip
def test_what_is_no_semantic_version_is_none(text: str) -> None:
    assert parse(text) is None


numbers = st.integers(0, 30).map(str)
words = st.from_regex(r"[0-9]{0,2}[A-Za-z-][0-9A-Za-z-]{0,2}", fullmatch=True)
dotted = st.lists(st.one_of(numbers, words), min_size=1, max_size=3).map(".".join)
versions = st.builds(
    lambda core, pre, build: ".".join(core) + (f"-{pre}" if pre else "") + (f"+{build}" if build else ""),
    st.tuples(numbers, numbers, numbers),
    st.one_of(st.none(), dotted),
    st.one_of(st.none(), dotted),
)


def compare(one: str, other: str) -> int:
    """Item 11, sentence by sentence: -1, 0 or 1."""
    (core, pre), (other_core, other_pre) = _parts(one), _parts(other)
    for mine, yours in zip(core.split("."), other_core.split("."), strict=True):
        if int(mine) != int(yours):
            return _sign(int(mine), int(yours))
    if not pre or not other_pre:
        return _sign(not pre, not other_pre)
    mine_all, yours_all = pre.split("."), other_pre.split(".")
    for mine, yours in zip(mine_all, yours_all, strict=False):
        if mine.isdecimal() and yours.isdecimal():
            found = _sign(int(mine), int(yours))
        elif mine.isdecimal() != yours.isdecimal():
            found = -1 if mine.isdecimal() else 1
        else:
            found = _sign(mine.encode(), yours.encode())
        if found:
            return found
    return _sign(len(mine_all), len(yours_all))


def _parts(text: str) -> tuple[str, str]:
    core, _, pre = text.partition("+")[0].partition("-")
    return core, pre


def _sign(one: object, other: object) -> int:
    return (one > other) - (one < other)  # type: ignore[operator]


@given(versions, versions)
def test_two_versions_compare_as_the_specification_says(one: str, other: str) -> None:
    mine, yours = version(one), version(other)
    assert (mine > yours) - (mine < yours) == compare(one, other)
    assert (mine == yours) == (compare(one, other) == 0)


@given(versions, versions, versions)
def test_the_order_is_total(one: str, other: str, third: str) -> None:
    a, b, c = version(one), version(other), version(third)
    assert (a < b) + (a == b) + (a > b) == 1
    assert (a < b) == (b > a)
    if a <= b <= c:
        assert a <= c
