from git_work import Work, deployment, pattern

from store.database import Database
from store.deployments import DeploymentFilter, list_deployments


def test_a_push_to_an_empty_repository_makes_its_deployments_live(work: Work, database: Database) -> None:
    work.commit({"patterns/hello.yaml": pattern("hello"), "deployments/hello.yaml": deployment("hello")})
    outcome = work.push()
    assert outcome.refused == {}
    assert outcome.lines[0].startswith("hello  v1  live in ")
    with database.connection() as connection:
        (found,), _ = list_deployments(connection, "default", DeploymentFilter(), None, 10)
    assert (found.name, found.state, found.version.number) == ("hello", "active", 1)
    assert outcome.lines[0].endswith(f"http://127.0.0.1:8080/hooks/{found.hook_token}")
