from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api_site import Site
from git_clone import Clone
from git_server import GitServer, Host

from web.git.limits import GitLimits


@pytest.fixture
def site(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Site]:
    git = tmp_path / "git"
    git.mkdir()
    with Site(database_url, redis_url, git) as site:
        yield site


@pytest.fixture(scope="session")
def git_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(tmp_path_factory.mktemp("git-host"))
    yield host
    host.stop()


@pytest.fixture
def make_git_server(git_host: Host, tmp_path: Path) -> Iterator[Callable[[GitLimits], GitServer]]:
    """A Git server with an empty repository `default` and limits of the test's choice."""
    made = []

    def make(limits: GitLimits) -> GitServer:
        made.append(GitServer(tmp_path / "server", git_host, limits=limits))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def git_server(make_git_server: Callable[[GitLimits], GitServer]) -> GitServer:
    """A Git server with an empty repository `default`."""
    return make_git_server(GitLimits())


@pytest.fixture
def impatient_git_server(tmp_path: Path) -> Iterator[GitServer]:
    """A Git server whose connections are cut soon when nothing comes."""
    host = Host(tmp_path / "host", patience=0.5)
    server = GitServer(tmp_path / "server", host)
    yield server
    host.stop()
    server.close()


@pytest.fixture
def clone(git_server: GitServer, tmp_path: Path) -> Clone:
    """A work tree without a commit, its origin the server."""
    return Clone.new(tmp_path / "clone", git_server.url())
