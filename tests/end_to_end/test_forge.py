"""From a forge's event to the comment there: a whole `weft up` with a mirror, and a stand-in for GitHub."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import httpx
from eventually import eventually
from forge_site import TOKEN, ForgeSite, Pull
from git_clone import Clone
from installation import Installation, installation, live

SECRET = "the-secret-of-the-webhook"


class Forge:
    """acme/flows there: its Git in a folder, its API in the stand-in."""

    def __init__(self, folder: Path, site: ForgeSite) -> None:
        self.bare, self.site = folder / "acme" / "flows.git", site
        self.there = Clone.new(folder / "there", str(self.bare))
        self.there.git("init", "-q", "--bare", "-b", "main", str(self.bare))

    def push(self, files: dict[str, str], ref: str) -> str:
        head = self.there.commit(dict(files))
        self.there.git("push", "-q", "-f", "origin", f"HEAD:{ref}")
        return head

    def send(self, weft: Installation, event: str, **payload: Any) -> httpx.Response:
        body = json.dumps({"repository": {"full_name": "Acme/Flows"}, **payload}).encode()
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "X-GitHub-Event": event,
            "X-Hub-Signature-256": f"sha256={digest}",
            "Content-Type": "application/json",
        }
        return httpx.post(
            f"http://{weft.address}/forge/github", content=body, headers=headers, trust_env=False
        )


def test_a_forge_is_heard_at_once_and_told_the_plan(tmp_path: Path) -> None:
    with ForgeSite("github") as site:
        forge = Forge(tmp_path, site)
        forge.push(live("hello", "- {id: a, uses: set, with: {x: 1}}"), "refs/heads/main")
        settings = {
            "WEFT_UPSTREAM": str(forge.bare),
            "WEFT_UPSTREAM_TOKEN": TOKEN,
            "WEFT_UPSTREAM_EVERY": "1h",
            "WEFT_FORGE_SECRET": SECRET,
            "WEFT_FORGE_API": site.api,
        }
        with installation(**settings) as weft:
            eventually(lambda: weft.request("GET", "/api/v1/deployments/hello")[0] == 200)
            forge.push(live("later", "- {id: a, uses: set, with: {x: 1}}"), "refs/heads/main")
            assert forge.send(weft, "push", ref="refs/heads/main").status_code == 202
            eventually(lambda: weft.request("GET", "/api/v1/deployments/later")[0] == 200, seconds=10)

            changed = live("hello", "- {id: a, uses: set, with: {x: 2}}")
            head = forge.push(changed, "refs/pull/1/head")
            site.pulls[1] = Pull(head=head)
            assert forge.send(weft, "pull_request", action="opened", number=1).status_code == 202
            eventually(lambda: (head, "success") in told(site), seconds=10, otherwise=weft.log)
            (comment,) = site.of_bot()
            assert "1 changed, 1 unchanged" in comment
            eventually(lambda: rows(weft)[0]["nextAttemptAt"] is None)
            (row,) = rows(weft)
            assert (row["number"], row["state"], row["head"], row["error"]) == (1, "open", head, None)

            wrong = httpx.post(f"http://{weft.address}/forge/github", content=b"{}", trust_env=False)
            assert wrong.status_code == 401
            url = f"http://ada:{weft.token}@{weft.address}/git/default.git"
            assert "refs/weft" not in forge.there.git("ls-remote", url)
            for secret in (SECRET, TOKEN):
                assert secret not in (weft.folder / "log").read_text()


def rows(weft: Installation) -> list[dict[str, Any]]:
    return list(weft.get("/api/v1/pull-requests")["items"])


def told(site: ForgeSite) -> set[tuple[str, str]]:
    return {(one["commit"], one["state"]) for one in site.statuses}
