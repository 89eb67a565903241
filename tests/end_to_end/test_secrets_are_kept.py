"""Secrets in a whole installation: a push asks for one, it is set, rotated and backed up, and readable nowhere."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from urllib.parse import quote

from installation import Installation, installation, live
from weft_command import WEFT, environment

VALUE = 'correct horse/"battery" staple\nwith a second line+'
NODES = "- {id: rows, uses: sql, with: {connection: shop, query: SELECT 1}}"
CONNECTION = """apiVersion: weft/v1
kind: Connection
metadata: {name: shop}
spec:
  type: postgresql
  url: postgresql://db.internal/shop
  password: ${{ secrets.DB_PASSWORD }}
"""
OTHER_KEY = "ab" * 32


def weft(service: Installation, *arguments: str, given: str = "", **environ: str) -> str:
    done = subprocess.run(
        [*WEFT, *arguments, "--data", str(service.data)],
        env=environment(**environ),
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pushed(service: Installation, files: dict[str, str]) -> str:
    """What the pusher reads."""
    for path, text in files.items():
        target = service.work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    service.git("add", "-A")
    service.git("commit", "-qm", "change")
    url = f"http://ada:{service.token}@{service.address}/git/default.git"
    done = subprocess.run(
        ["git", "push", url, "main"], cwd=service.work, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stderr


def spellings() -> dict[str, bytes]:
    return {
        "raw": VALUE.encode(),
        "JSON": json.dumps(VALUE)[1:-1].encode(),
        "URL": quote(VALUE, safe="").encode(),
        "base64": base64.b64encode(VALUE.encode()),
        "hex": VALUE.encode().hex().encode(),
    }


def leaks(folder: Path) -> list[tuple[str, str]]:
    """(file, spelling) wherever below the folder the value stands: tables, their log, blobs, logs."""
    files = (path for path in folder.rglob("*") if path.is_file())
    contents = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    assert any("base/" in name for name in contents), "PostgreSQL's files are elsewhere"
    return [
        (name, spelling)
        for name, content in contents.items()
        for spelling, text in spellings().items()
        if text in content
    ]


def test_a_secret_from_the_push_that_needs_it_to_another_key() -> None:
    with installation("--workers", "1") as service:
        service.push(live("hello", "- {id: a, uses: set, with: {x: 1}}"))
        files = live("orders", NODES) | {"connections/shop.yaml": CONNECTION}
        assert "warning: there is no secret DB_PASSWORD for the environment production" in pushed(
            service, files
        )
        weft(service, "secret", "set", "DB_PASSWORD", given=VALUE)
        assert "warning" not in pushed(service, files | live("orders", NODES, timeout="5m"))
        hook = service.get("/api/v1/deployments/orders")["webhookUrl"]
        assert weft(service, "secret", "rotate") == "1 secret encrypted anew.\n"
        assert "1 stored, all can be decrypted" in weft(service, "doctor")
        assert leaks(service.folder) == []

        service.stop()
        service.environ = {"WEFT_SECRETS_KEY": OTHER_KEY}
        service.start()
        assert "take WEFT_SECRETS_KEY_OLD away" in weft(service, "secret", "rotate")
        assert "1 stored, all can be decrypted" in weft(service, "doctor", WEFT_SECRETS_KEY=OTHER_KEY)
        assert service.get("/api/v1/deployments/orders")["webhookUrl"].endswith(hook.rpartition("/")[2])
        service.stop()
        assert leaks(service.folder) == []
