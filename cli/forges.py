"""The controller's part for pull requests, built from the settings."""

from __future__ import annotations

from functools import partial

from reconciler.forges.address import NoForgeError
from reconciler.forges.loop import Mirrored, PullRequestLoop
from reconciler.forges.opening import open_forge
from reconciler.forges.teller import Teller
from reconciler.reconciler import Reconciler
from reconciler.upstream.address import address
from reconciler.upstream.program import MEBIBYTE, Limits
from reconciler.upstream.remote import Remote
from store.database import Database
from store.settings import FIRST_ORGANISATION, ServiceSettings

# Less time than a pull request is claimed for; and anybody may propose anything, however large.
FETCH = Limits(seconds=120.0, file=256 * MEBIBYTE)


def pull_request_loop(
    settings: ServiceSettings, database: Database, reconciler: Reconciler
) -> PullRequestLoop | None:
    """None where nothing can come: no upstream, no secret of a webhook, or an upstream that is at no forge."""
    if settings.upstream is None or not settings.forge_secrets:
        return None
    found = address(settings.upstream.url, settings.upstream.token)
    remote = Remote(settings.upstream.url, token=settings.upstream.token, limits=FETCH)
    place = Mirrored(organisation=FIRST_ORGANISATION, upstream=found.url, api=settings.forge_api)
    teller = Teller(database, reconciler, remote, FIRST_ORGANISATION)
    # Git over ssh needs no token, the API does.
    token = settings.upstream.token or found.secret
    try:
        return PullRequestLoop(database, teller, partial(open_forge, token=token), place)
    except NoForgeError:
        return None
