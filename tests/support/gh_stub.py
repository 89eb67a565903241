"""`gh api`, as far as the workflow uses it: real requests to the API that GITHUB_API_URL names."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

OURS = '.[] | select(.user.login == "github-actions[bot]" and (.body | startswith("<!-- weft-workflow -->"))) | .id'


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["api"])
    parser.add_argument("path")
    for flag in ("--paginate", "--silent"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--jq")
    parser.add_argument("--field")
    given = parser.parse_args()
    body = None
    if given.field:
        name, _, value = given.field.partition("=@")
        body = json.dumps({name: Path(value).read_text()}).encode()
    page = 1
    while True:
        value, more = ask(given.method, f"{given.path}{'' if body else f'?page={page}'}", body)
        if not given.silent:
            sys.stdout.write(filtered(given.jq, value))
        if not (more and given.paginate):
            return
        page += 1


def ask(method: str, path: str, body: bytes | None) -> tuple[Any, bool]:
    headers = {
        "Authorization": f"Bearer {os.environ['GH_TOKEN']}",
        "User-Agent": "gh",
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(
        f"{os.environ['GITHUB_API_URL']}/{path}", data=body, headers=headers, method=method
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        return json.load(answer), 'rel="next"' in answer.headers.get("link", "")


def filtered(jq: str | None, value: Any) -> str:
    """`gh` has a jq of its own."""
    if jq is None:
        return json.dumps(value)
    if shutil.which("jq"):
        return subprocess.run(
            ["jq", "--raw-output", jq], input=json.dumps(value), capture_output=True, text=True, check=True
        ).stdout
    assert jq == OURS, "without a jq on this machine, this filter alone is known"
    own = [
        one["id"]
        for one in value
        if one["user"]["login"] == "github-actions[bot]" and one["body"].startswith("<!-- weft-workflow -->")
    ]
    return "".join(f"{one}\n" for one in own)


main()
