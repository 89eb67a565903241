import os
import time
from pathlib import Path

import pytest
from git_work import Work, pattern

from reconciler.git.errors import GitError, RefConflictError
from reconciler.git.quarantine import migrate, sweep
from reconciler.git.refs import ABSENT, RefUpdate
from reconciler.git.repository import Repository
from reconciler.reconciler import Reconciler


def test_loose_objects_and_packs_move_and_what_is_there_stays(work: Work, tmp_path: Path) -> None:
    head = work.commit({"patterns/a.yaml": pattern("a")})
    quarantine = work.bare / "objects" / "incoming-x"
    quarantine.mkdir()
    work.transfer([head], quarantine)
    (quarantine / "info").mkdir()
    (quarantine / "info" / "alternates").write_text("elsewhere")
    with pytest.raises(GitError):
        Repository(work.bare).commit(head)
    assert Repository(work.bare, quarantine=quarantine).commit(head).id == head
    migrate(quarantine, work.bare / "objects")
    migrate(quarantine, work.bare / "objects")
    assert Repository(work.bare).commit(head).id == head
    assert not (work.bare / "objects/info/alternates").exists()
    Repository(work.bare).check_connected([head])


def test_a_refused_push_leaves_no_object(work: Work) -> None:
    head = work.commit({"patterns/a.yaml": "kind: ["})
    assert work.push().refused
    assert not Repository(work.bare).has(head)


def test_only_old_leftovers_are_swept(tmp_path: Path) -> None:
    for name, age in (("incoming-old", 4000), ("incoming-new", 10), ("pack", 9000)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert sweep(tmp_path) == 1
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["incoming-new", "pack"]


def test_refs_move_together_or_not_at_all(work: Work) -> None:
    head = work.commit({"patterns/a.yaml": pattern("a")})
    work.push()
    repository = Repository(work.bare)
    good = RefUpdate(ref="refs/heads/x", old=ABSENT, new=head)
    bad = RefUpdate(ref="refs/heads/main", old="1" * 40, new=head)
    with pytest.raises(RefConflictError, match="refs/heads/main"):
        repository.update_refs([good, bad])
    assert repository.refs() == {"refs/heads/main": head}
    below = RefUpdate(ref="refs/heads/main/x", old=ABSENT, new=head)
    with pytest.raises(RefConflictError, match=r"^refs/heads/main is there, .* choose another name$"):
        repository.update_refs([below])


def test_missing_objects_are_noticed(work: Work) -> None:
    work.commit({"patterns/a.yaml": pattern("a")})
    work.push()
    head = work.commit({"patterns/a.yaml": pattern("a", "two")})
    commit = work.git("cat-file", "commit", head).encode() + b"\n"
    place = work.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=commit)
    target = work.bare / "objects" / place[:2]
    target.mkdir(exist_ok=True)
    (target / place[2:]).write_bytes((work.folder / ".git/objects" / place[:2] / place[2:]).read_bytes())
    with pytest.raises(GitError):
        Repository(work.bare).check_connected([place])


def test_the_environment_of_the_caller_does_not_lead_git_astray(
    work: Work, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nowhere")
    path = reconciler.ensure("other")
    assert Repository(path).default_ref() == "refs/heads/main"
