"""One comment, however often it is told: edited in place, and found again by its marker and author."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.forges.errors import RefusedError
from reconciler.forges.forge import Comment, Forge

MARKER = "<!-- weft-plan -->"
GONE = (404, 410)


def tell(forge: Forge, number: int, known: str | None, text: str, keep: Callable[[str], None]) -> Comment:
    """Write `text` into our comment. `known` is its id, if we know it; `keep` takes the id as soon as there is one.

    A comment that a crash has kept us from noting is found by its marker. Of two, the oldest is ours.
    """
    body = f"{MARKER}\n{text}"
    if known is not None:
        try:
            return forge.edit_comment(number, known, body)
        except RefusedError as error:
            if error.status not in GONE:  # somebody deleted it
                raise
    own = find(forge, number)
    if own is None:
        written = forge.add_comment(number, body)
        keep(written.id)
        return written
    keep(own.id)
    return forge.edit_comment(number, own.id, body)


def find(forge: Forge, number: int) -> Comment | None:
    """Ours: anybody can write the marker, so the author has to be who we are."""
    marked = [comment for comment in forge.comments(number) if comment.text.startswith(MARKER)]
    if not marked:
        return None
    myself = forge.myself()
    return next((comment for comment in marked if comment.author == myself), None)
