"""What a mirror and its upstream agreed on last: a file in the repository, so that it goes where that goes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

NAME = "weft-upstream.json"


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """`refs`: where each ref was when both sides had it there. `sent`: what was on its way there; None: deleted.

    `url` is the upstream's, without credentials: another one is another repository.
    """

    url: str
    refs: Mapping[str, str] = field(default_factory=dict)
    sent: Mapping[str, str | None] = field(default_factory=dict)

    def settled(self, theirs: Mapping[str, str]) -> Agreed:
        """After a crash: what was on its way, and did arrive."""
        arrived = {ref: at for ref, at in self.sent.items() if theirs.get(ref) == at}
        return Agreed(url=self.url, refs=with_moves(self.refs, arrived))


def with_moves(refs: Mapping[str, str], moves: Mapping[str, str | None]) -> dict[str, str]:
    """None deletes."""
    return {ref: at for ref, at in {**refs, **moves}.items() if at is not None}


def recall(repository: Path, url: str) -> Agreed:
    """Nothing, where the two never met; or met under another address."""
    try:
        read = json.loads((repository / NAME).read_bytes())
        known = Agreed(url=read["url"], refs=read["refs"], sent=read["sent"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Agreed(url=url)
    return known if known.url == url else Agreed(url=url)


def remember(repository: Path, agreed: Agreed) -> None:
    """Durable when this returns; whoever reads meanwhile sees all of it, or what was before."""
    unfinished = repository / f"{NAME}.{os.getpid()}"
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump({"url": agreed.url, "refs": agreed.refs, "sent": agreed.sent}, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(repository / NAME)
    descriptor = os.open(repository, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
