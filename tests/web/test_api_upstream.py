"""How the mirror of a repository elsewhere does, read over real HTTP."""

from datetime import UTC, datetime

from api_site import Site

from cli.checks import upstream_checks
from store.upstream import Apart, Look, Skipped, UpstreamState, record_look, upstream_state

URL = "https://git.example/flows.git"
APART = Apart(
    ref="refs/tags/v1", here="a" * 40, there=None, reason="It went two ways.", resolve=("git a", "git b")
)


def test_without_one_there_is_nothing(site: Site) -> None:
    answer = site.http.get("/upstream")
    assert answer.status_code == 404
    assert "weft up --upstream URL" in answer.json()["detail"]


def test_it_says_since_when_and_why_it_fails_and_what_went_two_ways(site: Site) -> None:
    skipped = Skipped(ref="refs/heads/caf\\xe9", reason="Its name is not UTF-8.")
    with site.database.connection() as connection:
        record_look(connection, "default", URL, Look())
        good = upstream_state(connection, "default")
        for _ in range(2):
            record_look(
                connection, "default", URL, Look(error="It is away.", apart=(APART,), skipped=(skipped,))
            )
    found = site.http.get("/upstream").json()
    assert good is not None
    assert good.synced_at is not None
    assert found.pop("lastSyncAt").startswith(f"{good.synced_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}")
    assert found.pop("failingSince") <= found.pop("lastLookAt")
    assert found == {
        "url": URL,
        "lastError": "It is away.",
        "diverged": [
            {
                "ref": "refs/tags/v1",
                "here": "a" * 40,
                "there": None,
                "reason": "It went two ways.",
                "resolve": ["git a", "git b"],
            }
        ],
        "skipped": [{"ref": "refs/heads/caf\\xe9", "reason": "Its name is not UTF-8."}],
    }


def test_another_address_begins_anew(site: Site) -> None:
    with site.database.connection() as connection:
        record_look(connection, "default", URL, Look())
        record_look(connection, "default", "https://else.example/x.git", Look(error="It is away."))
    found = site.http.get("/upstream").json()
    assert found["lastSyncAt"] is None
    assert found["failingSince"] == found["lastLookAt"]


def test_doctor_has_a_line_for_the_whole_and_one_for_each_ref_that_needs_somebody() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    state = UpstreamState(url=URL, looked_at=at, synced_at=at, failing_since=None, look=Look(apart=(APART,)))
    whole, ref = upstream_checks(state)
    assert (whole.ok, whole.found) == (True, f"{URL} looked at 03:04:05 UTC")
    assert (ref.found, ref.remedy) == ("It went two ways.", "git a; git b")
    failing = UpstreamState(
        url=URL, looked_at=at, synced_at=None, failing_since=at, look=Look(error="It is away.")
    )
    (check,) = upstream_checks(failing)
    assert not check.ok
    assert check.found == "does not do since 2026-01-02 03:04:05 UTC: It is away."
