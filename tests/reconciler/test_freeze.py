"""Ids say exactly what content says; numbers say exactly what history says."""

import copy
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from git_work import ENVIRONMENT, deployment, pattern, trial
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.affected import still_sound
from reconciler.freeze import (
    CALL_CIRCLE,
    CALLEE_NOT_FROZEN,
    Draft,
    Mention,
    World,
    canonical,
    freeze,
    version_id,
)
from reconciler.git.repository import Repository
from reconciler.git.trees import changes
from reconciler.history import FirstHeld, walk
from reconciler.numbers import Ledger
from reconciler.reader import Memory, Reader
from reconciler.snapshot import EMPTY, Snapshot, advance, problems
from schemas.documents import parse_file

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
specs = st.dictionaries(
    st.text(),
    st.recursive(leaves, lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(), c, max_size=3)),
    max_size=4,
)


@given(specs)
def test_the_order_of_keys_does_not_change_the_id(spec: dict[str, object]) -> None:
    turned = dict(reversed(list(copy.deepcopy(spec).items())))
    assert version_id("a", spec, {}, {}) == version_id("a", turned, {}, {})


@given(specs, specs)
def test_different_specs_have_different_ids(one: dict[str, object], other: dict[str, object]) -> None:
    same = canonical(one) == canonical(other)
    assert (version_id("a", one, {}, {}) == version_id("a", other, {}, {})) == same


def test_every_part_of_the_content_counts() -> None:
    ids = {
        version_id("a", {"x": 1}, {}, {}),
        version_id("b", {"x": 1}, {}, {}),
        version_id("a", {"x": 1.0}, {}, {}),
        version_id("a", {"x": True}, {}, {}),
        version_id("a", {"x": "1"}, {}, {}),
        version_id("a", {"x": 1}, {"s.py": "0"}, {}),
        version_id("a", {"x": 1}, {"s.py": "1"}, {}),
        version_id("a", {"x": 1}, {}, {"b": "0"}),
        version_id("a", {"x": 1}, {}, {"b@1": "0"}),
    }
    assert len(ids) == 9


def test_an_id_is_the_same_for_ever() -> None:
    """A change here gives every version in the world a new id: do not."""
    assert canonical({"b": [1, 1.0, None, "ä"], "a": {}}) == '{"a":{},"b":[1,1.0,null,"ä"]}'
    assert version_id("hello", {"nodes": [{"id": "a", "uses": "log"}]}, {}, {}) == (
        "618a05ac0ff604cc353db7dccceabcb36a909ac31137a61741c6f843812b727f"
    )


@given(
    st.sampled_from(["# note\n", "\n\n", ""]), st.sampled_from(["", "title: T, ", "tags: [x], owner: eve, "])
)
def test_comments_layout_and_metadata_do_not_change_the_id(comment: str, metadata: str) -> None:
    plain = pattern("a")
    dressed = comment + plain.replace("name: a}", f"{metadata}name: a}}").replace(
        "  nodes:", f"{comment}  nodes:"
    )
    ids = set()
    for text in (plain, dressed):
        (document,) = parse_file("patterns/a.yaml", text.encode()).documents
        ids.add(version_id(document.name, document.spec, {}, {}))
    assert len(ids) == 1


def draft(name: str, *calls: str) -> Draft:
    mentions = tuple(Mention(name=call, line=1, column=1) for call in calls)
    return Draft(name=name, path=f"patterns/{name}.yaml", line=1, column=1, spec={"n": name}, calls=mentions)


WORLD = World(digest=lambda path: None, numbered=lambda name, number: None)


def test_a_circle_and_what_leads_into_it_do_not_freeze_and_the_rest_does() -> None:
    drafts = {
        d.name: d for d in (draft("a", "b"), draft("b", "a"), draft("c", "a"), draft("d"), draft("e", "gone"))
    }
    frozen = freeze(drafts, drafts.keys(), WORLD)
    assert set(frozen.versions) == {"d"}
    assert {name: fault.code for name, fault in frozen.faults.items()} == {
        "a": CALL_CIRCLE, "b": CALL_CIRCLE, "c": CALL_CIRCLE, "e": CALLEE_NOT_FROZEN,
    }  # fmt: skip


def test_a_chain_of_five_thousand_calls_freezes() -> None:
    drafts = {f"p{n}": draft(f"p{n}", f"p{n + 1}") for n in range(5_000)} | {"p5000": draft("p5000")}
    assert len(freeze(drafts, drafts.keys(), WORLD).versions) == 5_001


# Random histories: few names and few texts, so that contents come back and calls meet.
paths = st.sampled_from(["patterns/a.yaml", "patterns/b.yaml", "patterns/c.yaml", "scripts/s.py"])
contents = st.sampled_from(
    [
        None,
        "kind: [",
        *(pattern("a", text) for text in "xy"),
        pattern("a", calls="b"),
        pattern("a", calls="b@2"),
        pattern("b", "x", calls="c"),
        pattern("b", "y", script="scripts/s.py"),
        pattern("b", "z"),
        pattern("c", calls="a"),
        pattern("c", "x"),
        pattern("c", "x", calls="b@1"),
    ]
)
commits = st.lists(st.dictionaries(paths, contents, min_size=1, max_size=3), min_size=1, max_size=14)


@pytest.fixture(scope="module")
def bare() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Repository.ensure(Path(folder) / "default.git").path


def imported(bare: Path, history: list[dict[str, str | None]]) -> str:
    stream = "reset refs/heads/main\n"
    for number, files in enumerate(history):
        stream += f"commit refs/heads/main\nmark :{number + 1}\n"
        stream += f"committer a <a> {1_700_000_000 + number} +0000\ndata 1\nx\n"
        stream += f"from :{number}\n" if number else "deleteall\n"
        for path, text in files.items():
            stream += f"D {path}\n" if text is None else f"M 644 inline {path}\ndata {len(text)}\n{text}\n"
    subprocess.run(
        ["git", "fast-import", "--quiet", "--force"],
        cwd=bare,
        env=ENVIRONMENT,
        input=stream.encode(),
        check=True,
    )
    return Repository(bare).refs()["refs/heads/main"]


def told(firsts: list[FirstHeld]) -> list[tuple[str, int | None, str, str]]:
    return [(first.version.pattern, first.number, first.version.id, first.commit.id) for first in firsts]


@settings(deadline=None, max_examples=60)
@given(history=commits, cuts=st.sets(st.integers(1, 13)))
def test_numbers_are_the_same_push_by_push_and_from_a_whole_history(
    bare: Path, history: list[dict[str, str | None]], cuts: set[int]
) -> None:
    line, _ = Repository(bare).first_parents(imported(bare, history), None)
    at_once = Ledger()
    head, whole = walk(line, EMPTY, at_once, Reader(Repository(bare), Memory()))

    ids: dict[str, list[str]] = {}
    pieces: list[FirstHeld] = []
    snapshot: Snapshot = EMPTY
    edges = [0, *sorted(cut for cut in cuts if cut < len(line)), len(line)]
    for start, end in pairwise(edges):
        # Every piece in a process of its own, that has the numbers from the database and the last tree from Git.
        reader, ledger = Reader(Repository(bare), Memory()), Ledger(ids)
        snapshot = advance(EMPTY, line[start - 1].tree, reader, ledger) if start else EMPTY
        snapshot, firsts = walk(line[start:end], snapshot, ledger, reader)
        pieces += firsts
        for first in firsts:
            ids.setdefault(first.version.pattern, []).append(first.version.id)
    assert told(pieces) == told(whole)
    assert snapshot.frozen == head.frozen

    # What a walk has frozen on the way is what its last commit freezes to by itself.
    alone = advance(EMPTY, line[-1].tree, Reader(Repository(bare), Memory()), at_once)
    assert alone.frozen == head.frozen
    assert len({first.version.id for first in whole}) == len(whole)


placed = st.sampled_from(
    [*(f"{folder}/{n}.yaml" for folder in ("patterns", "deployments", "tests") for n in "ab"), "s.py"]
)
written = st.sampled_from(
    [
        None,
        "kind: [",
        *(pattern(name) for name in "ab"),
        pattern("a", calls="b"),
        pattern("b", calls="a"),
        pattern("c", calls="c"),
        pattern("b", script="s.py"),
        pattern("b").replace(", call: {}", ""),
        *(deployment(name) for name in "ab"),
        deployment("a", "b"),
        pattern("b") + "---\n" + pattern("d", calls="a"),
        trial("a", "a", "ask/work"),
        trial("b", "a", "ask/say"),
        trial("a", "b", "work"),
    ]
)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.dictionaries(placed, written, min_size=1, max_size=2), min_size=2, max_size=10))
def test_checking_what_a_change_affects_finds_whatever_checking_everything_finds(
    bare: Path, history: list[dict[str, str | None]]
) -> None:
    line, _ = Repository(bare).first_parents(imported(bare, history), None)
    reader, ledger, sound = Reader(Repository(bare), Memory()), Ledger(), EMPTY
    for commit in line:
        snapshot, _ = walk([commit], sound, ledger, reader)
        clean = not problems(snapshot, reader)
        differing = list(changes(reader.entries, sound.tree, snapshot.tree))
        if still_sound(sound, snapshot, differing, reader):
            assert clean
        if clean:
            sound = snapshot
