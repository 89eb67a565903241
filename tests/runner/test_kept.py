"""The cache of the values used last."""

from __future__ import annotations

from runner.kept import Kept


def never() -> int:
    raise AssertionError("it was kept")


def test_a_value_is_made_once() -> None:
    kept: Kept[str, int] = Kept(4)
    assert kept.get("a", lambda: 1) == 1
    assert kept.get("a", never) == 1


def test_what_is_used_stays_while_others_come_and_go() -> None:
    kept: Kept[int, int] = Kept(8)
    for number in range(100):
        kept.get(number, lambda number=number: number)  # type: ignore[misc]
        assert kept.get(0, never) == 0


def test_what_is_not_used_is_forgotten() -> None:
    kept: Kept[int, int] = Kept(8)
    for number in range(100):
        kept.get(number, lambda number=number: number)  # type: ignore[misc]
    assert kept.get(0, lambda: -1) == -1
    assert sum(kept.get(number, lambda: -1) >= 0 for number in range(90, 100)) <= 8


def test_a_value_of_before_it_was_cleared_is_not_kept() -> None:
    kept: Kept[str, str] = Kept(4)

    def slow() -> str:
        kept.clear()  # a commit is applied while the value of before is being read
        return "before"

    assert kept.get("a", slow) == "before"
    assert kept.get("a", lambda: "after") == "after"


def test_nothing_is_left_when_it_was_cleared() -> None:
    kept: Kept[int, str] = Kept(4)
    for number in range(3):
        kept.get(number, lambda: "before")
    kept.clear()
    assert [kept.get(number, lambda: "after") for number in range(3)] == ["after"] * 3
