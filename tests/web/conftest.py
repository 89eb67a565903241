from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from git_clone import Clone
from git_server import GitServer

from web.git.limits import GitLimits


@pytest.fixture
def make_git_server(tmp_path: Path) -> Iterator[Callable[[GitLimits], GitServer]]:
    """A Git server with an empty repository `default` and limits of the test's choice."""
    started = []

    def start(limits: GitLimits) -> GitServer:
        server = GitServer(tmp_path / "server", limits=limits)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def git_server(make_git_server: Callable[[GitLimits], GitServer]) -> GitServer:
    """A Git server with an empty repository `default`."""
    return make_git_server(GitLimits())


@pytest.fixture
def clone(git_server: GitServer, tmp_path: Path) -> Clone:
    """A work tree without a commit, its origin the server."""
    return Clone.new(tmp_path / "clone", git_server.url())
