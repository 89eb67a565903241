"""What a deployment may say of limits and circuits, and what it is told where it may not."""

import pytest

from schemas.deployment import CircuitBreaker, Concurrency, WhenFull, breaker_from, concurrency_from
from schemas.documents import parse_file


def problems(beside: str) -> list[tuple[str, str]]:
    text = f"apiVersion: weft/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec:\n  pattern: p\n  {beside}\n"
    return [(one.code, one.message) for one in parse_file("deployments/d.yaml", text.encode()).problems]


@pytest.mark.parametrize(
    "beside",
    [
        "concurrency: {limit: 1}",
        'concurrency: {limit: 10, key: "${{ trigger.body.customer }}", whenFull: cancel-oldest}',
        'concurrency: {limit: 10, key: "${{ vars.region }}/${{ string(input.id) }}", whenFull: reject}',
        "circuitBreaker: {failures: 5, within: 10m}",
        "circuitBreaker: {failures: 1, within: 1h, cooldown: 30s}",
    ],
)
def test_what_is_right_is_taken(beside: str) -> None:
    assert problems(beside) == []


@pytest.mark.parametrize(
    ("beside", "code", "said"),
    [
        ('concurrency: {limit: 1, key: "${{ nodes.a }}"}', "unknown-name", "not known yet"),
        ('concurrency: {limit: 1, key: "${{ run.id }}"}', "unknown-name", '"run"'),
        ('concurrency: {limit: 1, key: "${{ trigger. }}"}', "expression-syntax", ""),
        ('concurrency: {limit: 1, key: "${{ trigger.body"}', "expression-syntax", "does not end"),
        ("concurrency: {limit: 1, key: customer}", "invalid-value", ""),
        ("concurrency: {limit: 0}", "invalid-value", ""),
        ("concurrency: {key: x}", "missing-key", "limit"),
        ("concurrency: {limit: 1, whenFull: wait}", "invalid-value", ""),
        ("circuitBreaker: {failures: 5}", "missing-key", "within"),
        ("circuitBreaker: {failures: 5, within: 0s}", "invalid-value", ""),
    ],
)
def test_what_is_wrong_is_told(beside: str, code: str, said: str) -> None:
    found = problems(beside)
    assert any(one == code and said in message for one, message in found), found


def test_defaults_are_filled_in() -> None:
    assert concurrency_from({"limit": 2}) == Concurrency(limit=2, key=None, when_full=WhenFull.QUEUE)
    assert breaker_from({"failures": 5, "within": "10m"}) == CircuitBreaker(
        failures=5, within=600, cooldown=300
    )
