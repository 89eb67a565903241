"""What a connection may say, and what becomes of it in an environment."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.connection import Connection, in_environment, secret_names, with_secrets
from schemas.documents import parse_file


def problems(spec: str) -> list[tuple[str, int]]:
    text = f"apiVersion: weft/v1\nkind: Connection\nmetadata: {{name: a}}\nspec:\n{spec}"
    return [
        (problem.code, problem.line) for problem in parse_file("connections/a.yaml", text.encode()).problems
    ]


@pytest.mark.parametrize(
    "spec",
    [
        "  {type: postgresql, url: 'postgresql://db.internal:5433/a-b?sslmode=verify-full', user: a}",
        "  {type: postgresql, url: 'postgres://a@db/warehouse', password: '${{ secrets.PW }}'}",
        "  {type: postgresql, url: '${{ secrets.DATABASE_URL }}'}",
        "  {type: mysql, url: 'mysql://[2001:db8::1]:3306/shop'}",
        "  {type: sqlite, url: 'sqlite:///shop/orders.db'}",
        "  {type: http, url: 'https://crm.example/v1', headers: {X-Api-Key: 'key ${{ secrets.KEY }}'}}",
        "  {type: http, url: 'https://crm.example', auth: {bearer: {token: '${{secrets.KEY}}'}}}",
        "  {type: smtp, url: 'smtps://mail.example', from: 'A <a@b.example>', starttls: false}",
        "  {type: mysql, url: 'mysql://a/b', environments: {staging: {url: 'mysql://c/d'}}}",
        "  {type: redis, url: 'redis://cache.internal:6379/2', user: a, password: '${{ secrets.PW }}'}",
        "  {type: redis, url: 'rediss://cache', tls: {ca: x}, environments: {staging: {url: 'redis://c'}}}",
        "  {type: redis, url: '${{ secrets.REDIS_URL }}', maxConcurrent: 1}",
        "  {type: s3, url: 's3://my-bucket/a/b', accessKey: A, secretKey: '${{ secrets.S3 }}', region: eu-west-1}",
        "  {type: s3, url: 's3://public.bucket', endpoint: 'https://minio.lan:9000'}",
        "  {type: s3, url: 's3://abc', environments: {dev: {endpoint: '${{ secrets.E }}', maxConcurrent: 2}}}",
        "  {type: http, url: 'https://a', maxConcurrent: 1000, environments: {dev: {maxConcurrent: 1}}}",
    ],
)
def test_a_good_connection_has_no_problems(spec: str) -> None:
    assert problems(spec + "\n") == []


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("  {type: postgresql, url: 'mysql://a/b'}", "invalid-value"),
        ("  {type: postgresql, url: 'postgresql://a'}", "invalid-value"),
        ("  {type: postgresql, url: 'postgresql:///b'}", "invalid-value"),
        ("  {type: postgresql, url: 'postgresql://a,c/b'}", "invalid-value"),
        ("  {type: postgresql, url: 'postgresql://%2Fvar%2Frun/b'}", "invalid-value"),
        ("  {type: postgresql, url: 'postgresql://a:99999/b'}", "invalid-value"),
        ("  {type: postgresql, url: 'postgresql://a/b?hostaddr=127.0.0.1'}", "invalid-value"),
        ("  {type: postgresql, url: 'postgresql://a/b?sslmode=allow'}", "invalid-value"),
        ("  {type: postgresql, url: 'postgresql://u:${{ secrets.PW }}@a/b'}", "literal-secret"),
        ("  {type: sqlite, url: 'sqlite://orders.db'}", "invalid-value"),
        ("  {type: sqlite, url: 'sqlite:////etc/passwd'}", "invalid-value"),
        ("  {type: sqlite, url: 'sqlite:///.hidden'}", "invalid-value"),
        ("  {type: sqlite, url: 'sqlite:///a/../../b'}", "invalid-value"),
        ("  {type: sqlite, url: 'sqlite:///a.db', user: a}", "unknown-key"),
        ("  {type: smtp, url: 'smtp://mail.example/x'}", "invalid-value"),
        ("  {type: mysql, url: 'mysql://a/b', user: '${{ vars.user }}'}", "template-not-allowed"),
        ("  {type: mysql, url: 'mysql://a/b', password: 'x'}", "literal-secret"),
        ("  {type: http, url: 'https://u:p@crm.example'}", "literal-secret"),
        ("  {type: http, url: 'https://a', auth: {basic: {username: a, password: b}}}", "literal-secret"),
        ("  {type: http, url: 'https://a', auth: {bearer: {token: abc}}}", "literal-secret"),
        ("  {type: http, url: 'https://a', tls: {certificate: c, key: k}}", "literal-secret"),
        ("  {type: http, url: 'https://a', tls: {certificate: c}}", "missing-key"),
        ("  {type: http, url: 'https://a', auth: {}}", "conflicting-keys"),
        ("  {type: http, url: 'https://a', headers: {Authorization: Bearer abc}}", "literal-secret"),
        ("  {type: mysql, url: 'mysql://a/b', environments: {staging: {type: sqlite}}}", "unknown-key"),
        ("  {type: redis, url: 'redis://cache/zero'}", "invalid-value"),
        ("  {type: redis, url: 'redis://cache/0?db=1'}", "invalid-value"),
        ("  {type: redis, url: 'unix:///run/redis'}", "invalid-value"),
        ("  {type: redis, url: 'redis://cache', password: x}", "literal-secret"),
        ("  {type: redis, url: 'redis://:x@cache'}", "literal-secret"),
        ("  {type: redis, url: 'redis://cache', from: a@b.example}", "unknown-key"),
        ("  {type: s3, url: 'https://bucket.s3.amazonaws.com'}", "invalid-value"),
        ("  {type: s3, url: 's3://Bucket'}", "invalid-value"),
        ("  {type: s3, url: 's3://bucket/../other'}", "invalid-value"),
        ("  {type: s3, url: 's3://bucket', accessKey: AKIA}", "missing-key"),
        ("  {type: s3, url: 's3://bucket', environments: {dev: {accessKey: AKIA}}}", "missing-key"),
        ("  {type: s3, url: 's3://bucket', accessKey: AKIA, secretKey: abc}", "literal-secret"),
        ("  {type: s3, url: 's3://bucket', endpoint: 'minio:9000'}", "invalid-value"),
        ("  {type: s3, url: 's3://bucket', endpoint: 'https://u:p@minio'}", "invalid-value"),
        ("  {type: http, url: 'https://a', maxConcurrent: 0}", "invalid-value"),
        ("  {type: http, url: 'https://a', maxConcurrent: 1.5}", "wrong-type"),
    ],
)
def test_a_bad_connection_says_what_is_wrong(spec: str, code: str) -> None:
    assert problems(spec + "\n") == [(code, 5)]


def test_no_message_quotes_a_password() -> None:
    for spec in ("url: 'mysql://u:hunter2@a/b'", "url: 'mysql://a/b', password: hunter2"):
        text = (
            f"apiVersion: weft/v1\nkind: Connection\nmetadata: {{name: a}}\nspec: {{type: mysql, {spec}}}\n"
        )
        for problem in parse_file("connections/a.yaml", text.encode()).problems:
            assert "hunter2" not in f"{problem.message} {problem.hint}"


def test_an_environment_has_its_own_keys_in_place_of_the_others() -> None:
    spec: dict[str, Any] = {
        "type": "mysql",
        "url": "mysql://a/b",
        "user": "u",
        "environments": {"staging": {"url": "mysql://c/d"}},
    }
    assert in_environment(spec, "production") == {"type": "mysql", "url": "mysql://a/b", "user": "u"}
    assert in_environment(spec, "staging") == {"type": "mysql", "url": "mysql://c/d", "user": "u"}


def test_secrets_are_filled_in_wherever_they_stand() -> None:
    spec = {"password": "${{ secrets.A }}", "headers": {"X": "Bearer ${{secrets.B}}!"}, "starttls": True}
    assert with_secrets(spec, str.lower) == {
        "password": "a",
        "headers": {"X": "Bearer b!"},
        "starttls": True,
    }
    assert sorted(secret_names(spec)) == ["A", "B"]


def test_a_parsed_connection_is_typed() -> None:
    text = (
        b"apiVersion: weft/v1\nkind: Connection\nmetadata: {name: a}\nspec: {type: mysql, url: mysql://a/b}\n"
    )
    [document] = parse_file("connections/a.yaml", text).documents
    assert isinstance(document.typed, Connection)
    assert document.typed.type == "mysql"
