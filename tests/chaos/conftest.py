from collections.abc import Iterator

import pytest
from callers import World
from installation import Installation, installation


@pytest.fixture
def weft() -> Iterator[Installation]:
    """An installation of the test's own, with two workers."""
    with installation("--workers", "2") as weft:
        yield weft


@pytest.fixture
def world(weft: Installation) -> World:
    return World(weft.folder / "world")
