from collections.abc import Iterator
from pathlib import Path

import pytest
from api_site import Site


@pytest.fixture
def site(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Site]:
    with Site(database_url, redis_url, tmp_path / "git") as site:
        yield site
