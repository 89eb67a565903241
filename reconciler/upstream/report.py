"""What a person has to know about a ref that is elsewhere on each side, and the commands that end it: pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from reconciler.git.merging import conflict_text
from reconciler.git.refs import BRANCHES
from reconciler.upstream.rules import Three
from store.upstream import Apart


def apart(three: Three, *, own: str, upstream: str, files: Sequence[str] = ()) -> Apart:
    """A ref that moved on both sides. `files`: those in conflict; `own`, `upstream`: the addresses of both."""
    if three.ref.startswith(BRANCHES):
        branch = three.ref.removeprefix(BRANCHES)
        conflict = f", and conflict in {conflict_text(list(files))}" if files else ""
        reason = (
            f"{branch} moved here and in the upstream{conflict}. Both stay as they are until they are merged."
        )
        commands = _merging(branch, own, upstream)
    else:
        tag = three.ref.removeprefix("refs/tags/")
        reason = f"The tag {tag} is on different commits here and in the upstream. Both stay where they"
        reason += (
            " are. To have the upstream's here, run these; to have this one there, exchange the addresses."
        )
        commands = _taking_theirs(three.ref, own, upstream)
    return Apart(ref=three.ref, here=three.ours, there=three.theirs, reason=reason, resolve=commands)


def refused_apart(three: Three, reason: str) -> Apart:
    """A ref that moved here, and that the upstream does not let us move there."""
    name = three.ref.removeprefix(BRANCHES).removeprefix("refs/")
    said = f"The upstream refuses {name}: {reason}. Let WEFT_UPSTREAM_TOKEN push it there; it is tried again."
    return Apart(ref=three.ref, here=three.ours, there=three.theirs, reason=said)


def _merging(branch: str, own: str, upstream: str) -> tuple[str, ...]:
    """In a new clone of ours, so that ours comes first. Weft pushes the merge to the upstream itself."""
    name = shlex.quote(branch)
    return (
        f"git clone --branch {name} {shlex.quote(own)} resolve && cd resolve",
        f"git pull --no-rebase {shlex.quote(upstream)} {name}",
        "git add --all && git commit --no-edit  # after resolving what it shows",
        f"git push origin {shlex.quote(f'HEAD:{branch}')}",
    )


def _taking_theirs(ref: str, own: str, upstream: str) -> tuple[str, ...]:
    name = shlex.quote(f"+{ref}:{ref}")
    return (
        f"git clone --no-tags {shlex.quote(own)} resolve && cd resolve",
        f"git fetch {shlex.quote(upstream)} {name}",
        f"git push {shlex.quote(own)} {name}",
    )
