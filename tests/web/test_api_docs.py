"""docs/api.md says what the code does."""

import re
from pathlib import Path

from api_site import Site

from store.run_reads import LOOKED_AT, LOOKED_AT_SCATTERED
from web.api import runs
from web.problems import Kind

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def test_the_problems_in_the_docs_are_those_in_the_code() -> None:
    documented = re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", TEXT, re.MULTILINE)
    assert documented == [(kind.slug, str(kind.status)) for kind in Kind]


def test_the_paths_in_the_docs_are_those_in_the_code(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    documented = re.findall(r"^\| `([A-Z]+) (/api/[^`]*)` \|", TEXT, re.MULTILINE)
    site = Site(database_url, redis_url, tmp_path)
    served = [
        (method.upper(), route.path_format)
        for route in site.api.routes
        for method in getattr(route.app, "_endpoints", {})
    ]
    site.database.close()
    assert documented == served


def test_filters_and_limits_in_the_docs_are_those_in_the_code() -> None:
    [row] = re.findall(r"^\| `GET /api/v1/runs` \|.*$", TEXT, re.MULTILINE)
    for name in runs.LIST_QUERY.keys() - {"cursor", "limit"}:
        assert f"`{name}" in row
    assert f"{LOOKED_AT:,} of them ({LOOKED_AT_SCATTERED:,} of one" in TEXT
