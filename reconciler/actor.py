"""Who asks the reconciler for something."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.git.commits import Signed


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A user of an organisation. Admins count in every group."""

    user: str
    admin: bool = False

    def signed(self, host: str, message: str) -> Signed:
        """`message` in the user's name, whose address is at `host`."""
        return Signed(name=self.user, email=address(self.user, host), message=message)


def address(user: str, host: str) -> str:
    """The e-mail address that a user of Weft has in commits."""
    return f"{user}@{host}"
