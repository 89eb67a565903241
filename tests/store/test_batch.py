"""Group commit: everybody gets their own answer, nobody hangs, a bad item fails alone."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from store.batch import GroupCommit


def test_whoever_comes_during_a_commit_shares_the_next_one() -> None:
    sizes: list[int] = []
    entered, go = threading.Event(), threading.Event()

    def commit(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        entered.set()
        assert go.wait(5)
        return [item * 10 for item in items]

    group = GroupCommit(commit)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(group.submit, [0])
        assert entered.wait(5)
        others = [pool.submit(group.submit, [i]) for i in range(1, 9)]
        while len(group._waiting) < 8:
            pass
        go.set()
        assert [first.result(5), *(other.result(5) for other in others)] == [[i * 10] for i in range(9)]
    assert sizes == [1, 8]


def test_a_bad_item_fails_alone() -> None:
    def commit(items: Sequence[int]) -> list[int]:
        if 13 in items:
            raise ValueError("unlucky")
        return list(items)

    group = GroupCommit(commit)
    with pytest.raises(ValueError, match="unlucky"):
        group.submit([12, 13, 14])
    committed: list[int] = []
    spying = GroupCommit(lambda items: committed.extend(commit(items)) or list(items))
    with pytest.raises(ValueError, match="unlucky"):
        spying.submit([12, 13, 14])
    assert committed == [12, 14]


def test_after_an_error_the_next_caller_leads_again() -> None:
    answers = iter([RuntimeError("away"), [1]])

    def commit(_: Sequence[int]) -> list[int]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    group = GroupCommit(commit)
    with pytest.raises(RuntimeError):
        group.submit([1])
    assert group.submit([1]) == [1]


def test_many_threads_lose_nothing() -> None:
    committed: list[int] = []
    group = GroupCommit(lambda items: committed.extend(items) or list(items), limit=7)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: group.submit([i, -i]), range(1, 2001)))
    assert answers == [[i, -i] for i in range(1, 2001)]
    assert sorted(committed) == sorted([*range(1, 2001), *range(-2000, 0)])


def test_nobody_leads_for_ever() -> None:
    leaders: list[int] = []
    stop = threading.Event()

    def commit(items: Sequence[int]) -> list[int]:
        leaders.append(threading.get_ident())
        return list(items)

    group = GroupCommit(commit)

    def keep_coming() -> None:
        while not stop.is_set():
            group.submit([0])

    threads = [threading.Thread(target=keep_coming) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(50):
        assert group.submit([i]) == [i]
    stop.set()
    for thread in threads:
        thread.join()
    assert len(set(leaders)) > 1
