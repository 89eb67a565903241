"""Connections that are kept: for whom, how many, and for how long."""

from __future__ import annotations

import time
from contextlib import suppress

import orjson
from hypothesis import given
from hypothesis import strategies as st

from runner.nodes.base import NodeError
from runner.nodes.idle import Idle
from runner.nodes.resp import Answers, BrokenError, ServerError, written


class One:
    def __init__(self) -> None:
        self.fit = True
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_one_is_given_to_whom_it_fits_and_to_nobody_else() -> None:
    idle: Idle[One] = Idle()
    one, changed, broken = One(), One(), One()
    idle.give("a", "spec", one)
    assert idle.take("b", "spec") is None
    assert idle.take("a", "spec") is one
    assert idle.take("a", "spec") is None
    idle.give("a", "old", changed)
    idle.give("a", "spec", broken)
    broken.fit = False
    assert idle.take("a", "spec") is None
    assert (changed.closed, broken.closed, one.closed) == (True, True, False)
    idle.close()


def test_no_more_than_four_are_kept_and_none_for_long() -> None:
    idle: Idle[One] = Idle(seconds=0.05)
    made = [One() for _ in range(6)]
    for one in made:
        idle.give("a", "spec", one)
    assert [one.closed for one in made] == [True, True, False, False, False, False]
    deadline = time.monotonic() + 5
    while not all(one.closed for one in made) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert all(one.closed for one in made)
    late = One()
    idle.give("a", "spec", late)
    idle.close()
    assert late.closed
    after = One()
    idle.give("a", "spec", after)
    assert after.closed


class Source:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, max_bytes: int) -> bytes:
        some, self.content = self.content[:7], self.content[7:]
        return some


RESP = st.lists(
    st.one_of(
        st.binary(max_size=8),
        st.sampled_from(
            [b"*2\r\n", b"%1\r\n", b"$3\r\nabc\r\n", b":1\r\n", b",inf\r\n", b"#t\r\n", b"_\r\n", b"|1\r\n"]
        ),
        st.sampled_from(
            [
                b"-ERR no\r\n",
                b"!2\r\nno\r\n",
                b"=5\r\ntxt:a\r\n",
                b"=-1\r\n",
                b"$-1\r\n",
                b"*-1\r\n",
                b"(9\r\n",
            ]
        ),
    ),
    max_size=12,
).map(b"".join)


@given(RESP)
def test_whatever_comes_it_is_an_answer_or_an_error_that_is_known(content: bytes) -> None:
    with suppress(ServerError, BrokenError, NodeError):
        orjson.dumps(Answers(Source(content)).next())


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_what_is_sent_is_what_was_given(arguments: list[bytes]) -> None:
    sent = written(arguments)
    count, rest = sent[1:].split(b"\r\n", 1)
    assert int(count) == len(arguments)
    for argument in arguments:
        size, rest = rest[1:].split(b"\r\n", 1)
        assert int(size) == len(argument)
        assert rest[: int(size) + 2] == argument + b"\r\n"
        rest = rest[int(size) + 2 :]
    assert rest == b""
