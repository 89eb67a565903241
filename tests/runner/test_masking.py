"""Nothing of a secret is left in what was masked, however it comes back."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import quote, quote_plus

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.masking import Mask, masked
from runner.secrets import Masks

SECRET = 'hun"ter 2/ü+'
PEM = "-----BEGIN KEY-----\n" + "\n".join(f"MII{n:058d}+/=" for n in range(20)) + "\n-----END KEY-----\n"


def mask(*secrets: str) -> Mask:
    made = Mask()
    for secret in secrets:
        made.add(secret)
    return made


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET, safe="").replace("%C3%BC", "%c3%bc").replace("%2F", "%2f").replace("%2B", "%2b"),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        orjson.dumps(SECRET).decode()[1:-1],
        repr(SECRET)[1:-1],
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        SECRET.encode().decode("latin-1"),
        SECRET.replace('"', "&quot;"),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_starred_however_it_is_spelled(spelled: str) -> None:
    assert mask(SECRET).text(f"before {spelled} after") == "before *** after"
    assert mask(SECRET).value([{spelled: [f"x{spelled}"]}]) == [{"***": ["x***"]}]


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("behind", range(4))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_within_what_is_encoded_is_starred(before: int, behind: int, encode: Any) -> None:
    secret = "s3cr3t>>>???value"
    text = encode(b"a" * before + secret.encode() + b"z" * behind).decode()
    left = mask(secret).text(text)
    assert "***" in left
    kept = left.replace("***", "")
    assert len(kept) <= before * 2 + behind * 2 + 2, left
    assert (
        not set(kept[before * 2 :]) & set("3J0")
        or kept == text[: before * 2] + text[len(text) - behind * 2 :]
    )


def test_what_is_shorter_than_four_is_starred_only_as_a_whole() -> None:
    made = mask("ab", "7")
    assert made.value({"x": "ab", "y": "cab", "z": [7, 77, "7", "a7"]}) == {
        "x": "***", "y": "cab", "z": ["***", 77, "***", "a7"],
    }  # fmt: skip


def test_numbers_are_starred_as_a_whole_and_true_is_no_number() -> None:
    made = mask("4711", "1", "2.5")
    assert made.value([4711, 14711, 1, True, 2.5, "x 4711 y"]) == [
        "***",
        14711,
        "***",
        True,
        "***",
        "x *** y",
    ]


def test_of_secrets_that_overlap_or_hold_each_other_nothing_is_left() -> None:
    made = mask("ABCDEF", "DEFGHI", "CDEF", "aaaa")
    assert made.text("xABCDEFGHIy") == "x***y"
    assert made.text("ABCDEFABCDEF CDEF DEFGHI") == "*** *** ***"
    assert made.text("aaaaaaa") == "***"


def test_keys_that_become_the_same_are_all_kept() -> None:
    assert mask("one-secret", "two-secrets").value({"one-secret": 1, "two-secrets": 2}) == {
        "***": 1,
        "*** (2)": 2,
    }


def test_of_a_secret_of_several_lines_each_line_is_one() -> None:
    made = mask(PEM)
    assert made.text(PEM) == "***"
    assert made.text(PEM.replace("\n", "\r\n")).replace("***", "").split() == []
    lines = PEM.split()
    assert made.text(f"> {lines[5]}") == "> ***"
    assert made.value(json.dumps({"key": PEM})) == '{"key": "***"}'
    assert "MII" not in made.text(base64.encodebytes(PEM.encode()).decode())
    wrapped = base64.encodebytes(PEM.encode()).decode()
    assert made.text(wrapped).replace("***", "").replace("\n", "") == ""


def test_a_secret_with_white_space_around_it_is_starred_without_it_too() -> None:
    assert mask("hunter22\n").text("x hunter22 y") == "x *** y"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("status 500: no hunt", "status 500: no ***"),
        ("sh ended: er2-and-more is wrong", "sh ended: *** is wrong"),
        ("er2-and-more is wrong", "*** is wrong"),
        ("key hunter2-a… (99 bytes more were cut)", "key ***… (99 bytes more were cut)"),
        ("\ufffder2-and-more", "\ufffd***"),
        ("hun", "hun"),
    ],
)
def test_what_was_cut_off_within_a_secret_is_starred(text: str, left: str) -> None:
    assert mask("hunter2-and-more").cut_text(text) == left
    assert masked(text, ["hunter2-and-more"]) == left


def test_a_long_output_may_be_the_end_of_something_longer() -> None:
    made = mask("hunter2-and-more")
    assert made.value({"stderr": "2-and-more" + "x" * 300}) == {"stderr": "***" + "x" * 300}
    assert made.value("x" * 300 + "hunter2-an") == "x" * 300 + "***"


def test_what_holds_no_secret_is_the_same_object() -> None:
    value = {"a": [{"b": "text", "c": 1.5, "d": None, "e": True, "long": "x" * 1000}]}
    assert mask("hunter2").value(value) is value
    assert mask().value(value) is value


def test_derived_texts_of_long_ago_are_forgotten_and_secrets_never() -> None:
    made = mask("hunter2")
    made.add_derived(["the first one"])
    for node in range(1000):
        made.add_derived([f"derived-{node}-{part}" for part in range(10)])
    assert made.text("hunter2 derived-999-9 the first one") == "*** *** the first one"


def test_one_mask_may_stand_over_another_that_grows() -> None:
    below = mask("hunter2")
    made = Mask(below)
    below.add("correct horse")
    made.add("staple")
    assert made.value(["hunter2", "a correct horse", "staple"]) == ["***", "a ***", "***"]
    assert below.text("staple") == "staple"


ENCODED = [
    lambda text: text,
    lambda text: quote(text, safe=""),
    quote_plus,
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: text.encode().hex(),
]


@settings(max_examples=300, deadline=None)
@given(
    secrets=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=30), min_size=1, max_size=4
    ),
    pieces=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.text(max_size=5)), max_size=6),
)
def test_nothing_is_left_of_any_secret_in_any_text(
    secrets: list[str], pieces: list[tuple[int, int, str]]
) -> None:
    made = mask(*secrets)
    text = "".join(before + ENCODED[how](secrets[which % len(secrets)]) for which, how, before in pieces)
    left = made.text(text).split("***")
    for secret in secrets:
        for encode in ENCODED:
            assert not any(encode(secret) in part for part in left), (secret, left)


def test_a_large_output_is_looked_through_in_no_time() -> None:
    made = mask(PEM, *(f"secret-number-{n}" for n in range(20)))
    value = [{"id": n, "name": f"customer {n}", "note": "x" * 50} for n in range(20_000)]
    began = time.perf_counter()
    assert made.value(value) is value
    assert time.perf_counter() - began < 5


def test_the_mask_of_a_run_is_kept_until_many_others_came() -> None:
    masks = Masks()
    first = masks.of("first")
    assert masks.of("first") is first
    for run in range(1_000):
        masks.of(str(run))
    assert masks.of("first") is not first


def test_a_long_text_that_was_made_of_a_secret_costs_little() -> None:
    made = mask("hunter2")
    texts = [f"{n} hunter2 " + "x" * 60_000 for n in range(5)]
    began = time.perf_counter()
    made.add_derived([*texts, "y" * 10_000_000])
    assert time.perf_counter() - began < 1
    assert made.text(f"<{texts[3]}>") == "<***>"
    assert made.text("hunter2 " + "y" * 10_000_000) == "*** " + "y" * 10_000_000


@settings(max_examples=200)
@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=150),
    before=st.text("xyz", max_size=90),
    behind=st.text("xyz", max_size=90),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_a_secret_within_wrapped_base64_is_masked_wherever_its_lines_end(
    secret: str, before: str, behind: str, end: str
) -> None:
    wrapped = base64.encodebytes((before + secret + behind).encode()).decode().replace("\n", end)
    made = mask(secret)
    for left in (made.text(wrapped), made.value({"a": [wrapped]})["a"][0]):
        plain = "".join(left.split())
        assert "***" in plain
        inside = base64.b64encode(b"\0" * (len(before) % 3) + secret.encode()).decode()[4:-4]
        kept = {inside[at : at + 12] for at in range(len(inside) - 11)}
        assert not any(one in part for one in kept for part in plain.split("***"))
