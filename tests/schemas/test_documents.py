"""A file becomes typed documents, or all of its problems at once; never an exception, never a wait."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.deployment import DeploymentSpec, Source, SourceKind, State
from schemas.documents import Identity, Kind, ParsedFile, Reference, is_document_path, parse_file
from schemas.pattern import Node, OnError, Pattern, RetryPolicy
from schemas.project import Project
from schemas.quantities import duration
from schemas.schedule import Schedule
from schemas.webhook import Webhook

EXAMPLE = """\
apiVersion: weft/v1
kind: Pattern
metadata:
  name: order-intake
  title: Orders
  tags: [orders]
  labels: {team: sales}
spec:
  on:
    webhook: {methods: [POST, PUT], maxBody: 2MiB}
    schedule:
      - cron: "0 9 * * MON-FRI"
        timezone: Europe/Berlin
        input: {region: eu}
      - every: 15m
    call: {}
  input: {type: object, properties: {order: {type: object}}}
  output: ${{ nodes.decide }}
  variables: {threshold: 100}
  timeout: 5m
  retry: {attempts: 3, delay: 2s, factor: 3, maxDelay: 1m, jitter: false}
  nodes:
    - id: customer
      name: Fetch the customer
      uses: http
      with: {url: "https://crm.example/api/customers/${{ trigger.body.customer }}"}
      retry: {attempts: 5, on: [timeout, http_status]}
      timeout: 1500ms
      onError: continue
      secret: true
    - id: enrich
      uses: script
      needs: [customer]
      with: {file: scripts/enrich.py, input: "${{ nodes.customer.body }}"}
    - id: decide
      uses: branch
      when: ${{ has(nodes.customer.body) }}
      if: ${{ trigger.body.total > vars.threshold }}
      then:
        - {id: big, uses: call, with: {pattern: notify-sales, version: 3, input: {order: "${{ nodes.enrich }}"}}}
      else:
        - {id: small, uses: log, with: {message: "small order ${{ trigger.body.order_id }}"}}
"""


def parse(text: str, path: str = "patterns/a.yaml") -> ParsedFile:
    return parse_file(path, text.encode())


def test_a_pattern_becomes_typed_with_its_defaults_filled_in() -> None:
    (document,) = parse(EXAMPLE).documents
    assert (document.kind, document.name, document.line) == (Kind.PATTERN, "order-intake", 1)
    assert document.metadata.title == "Orders"
    assert document.metadata.labels == {"team": "sales"}
    pattern = document.typed
    assert isinstance(pattern, Pattern)
    assert pattern.webhook == Webhook(methods=("POST", "PUT"), max_body=2 * 1024 * 1024)
    assert pattern.schedules == (
        Schedule(cron="0 9 * * MON-FRI", timezone="Europe/Berlin", input={"region": "eu"}),
        Schedule(every=900.0),
    )
    assert pattern.callable
    assert (pattern.timeout, pattern.output) == (300.0, "${{ nodes.decide }}")
    assert pattern.retry == RetryPolicy(attempts=3, delay=2.0, factor=3.0, max_delay=60.0, jitter=False)
    customer, enrich, decide = pattern.nodes
    assert (customer.timeout, customer.on_error, customer.secret) == (1.5, OnError.CONTINUE, True)
    assert customer.retry == RetryPolicy(attempts=5, on=("timeout", "http_status"))
    assert (customer.needs, enrich.needs) == (None, ("customer",))
    assert decide.with_ == {"if": "${{ trigger.body.total > vars.threshold }}"}
    assert decide.blocks["else",] == (
        Node(id="small", uses="log", with_={"message": "small order ${{ trigger.body.order_id }}"}),
    )


def test_a_document_names_what_it_needs_elsewhere_and_where_it_says_so() -> None:
    (document,) = parse(EXAMPLE).documents
    assert document.references == (
        Reference(kind="asset", name="scripts/enrich.py", line=34, column=20),
        Reference(kind="pattern", name="notify-sales", version=3, line=40, column=49),
    )


def test_the_spec_is_kept_as_it_was_parsed() -> None:
    (document,) = parse(EXAMPLE).documents
    assert document.spec["timeout"] == "5m"
    assert next(iter(document.spec)) == "on"
    assert json.loads(json.dumps(document.spec)) == document.spec


@pytest.mark.parametrize(
    ("glob", "is_good"),
    [
        ("order-intake/v*", True),
        ("v[0-9]*.[!0]?.0", True),
        ("*/v*-rc.*", True),
        ("order-intake/v1.0.0+b7", True),
        ("v[0-9", False),
        ("v]", False),
        ("v[]", False),
        ("v[^0]", False),
        ("v[a/b]*", False),
        ("/v*", False),
        ("v*/", False),
        ("a//v*", False),
        ("a v*", False),
        ("v\\*", False),
        ("-v*", False),
        ("", False),
    ],
)
def test_a_glob_of_tags_has_to_be_one(glob: str, is_good: bool) -> None:
    text = (
        "apiVersion: weft/v1\nkind: Deployment\nmetadata: {name: a}\n"
        f"spec:\n  pattern: p\n  source: {{tags: {json.dumps(glob)}}}\n"
    )
    parsed = parse(text, "deployments/a.yaml")
    assert [problem.code for problem in parsed.problems] == ([] if is_good else ["invalid-value"])
    if is_good:
        (document,) = parsed.documents
        assert document.typed == DeploymentSpec(pattern="p", source=Source(kind=SourceKind.TAGS, value=glob))


def test_a_deployment_becomes_typed() -> None:
    text = (
        "apiVersion: weft/v1\nkind: Deployment\nmetadata: {name: a}\n"
        "spec:\n  pattern: p\n  source: {version: 7}\n  state: paused\n  schedules: []\n"
        "  variables: {x: 1}\n  retry: {attempts: 2}\n  timeout: 10m\n"
    )
    (document,) = parse(text, "deployments/a.yaml").documents
    assert document.typed == DeploymentSpec(
        pattern="p",
        source=Source(kind=SourceKind.VERSION, value="7"),
        state=State.PAUSED,
        schedules=(),
        variables={"x": 1},
        retry=RetryPolicy(attempts=2),
        timeout=600.0,
    )


def test_a_project_becomes_typed() -> None:
    text = (
        "apiVersion: weft/v1\nkind: Project\nmetadata: {name: shop}\n"
        'spec: {network: {allow: [10.0.0.0/8, "127.0.0.1:9000", "[::1]:80", "fd00::/8"]}}\n'
    )
    (document,) = parse(text, "weft.yaml").documents
    allowed = ("10.0.0.0/8", "127.0.0.1:9000", "[::1]:80", "fd00::/8")
    assert document.typed == Project(name="shop", network_allow=allowed)


def test_a_host_without_a_port_is_not_allowed_and_the_hint_says_to_add_one() -> None:
    text = "apiVersion: weft/v1\nkind: Project\nmetadata: {name: shop}\nspec: {network: {allow: [db.internal]}}\n"
    [problem] = parse(text, "weft.yaml").problems
    assert (problem.line, problem.message) == (4, "'db.internal' cannot be allowed")
    assert '"db.internal:5432"' in (problem.hint or "")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("weft.yaml", True),
        ("patterns/a.yaml", True),
        ("patterns/deep/er/a.yml", True),
        ("deployments/a.yaml", True),
        ("patterns/a.json", False),
        ("patterns.yaml", False),
        ("x/patterns/a.yaml", False),
        ("x/weft.yaml", False),
        ("patterns/.yaml", False),
    ],
)
def test_documents_stand_in_their_folders(path: str, answer: bool) -> None:
    assert is_document_path(path) is answer


def test_all_problems_of_a_file_come_at_once_in_the_order_of_their_places() -> None:
    text = (
        EXAMPLE.replace("methods: [POST", "methods: [PSOT")
        .replace("timeout: 5m", "timeot: 5m")
        .replace("Europe/Berlin", "Europe/Berlim")
        .replace("vars.threshold", "vars.treshold")
        .replace("nodes.enrich }}", "nodes.small }}")
        .replace("needs: [customer]", "needs: [decide]")
    )
    found = parse(text)
    assert [(problem.code, problem.line) for problem in found.problems] == [
        ("invalid-value", 10),
        ("unknown-timezone", 13),
        ("unknown-key", 20),
        ("needs-circle", 33),
        ("node-not-before", 34),
        ("node-not-before", 37),
        ("unknown-variable", 38),
        ("node-not-before", 40),
    ]
    assert found.documents == ()
    assert found.broken == (Identity(kind=Kind.PATTERN, name="order-intake", line=1, column=1),)


def test_a_bad_document_does_not_take_its_neighbours_with_it() -> None:
    found = parse(
        f"{EXAMPLE}---\n{EXAMPLE.replace('order-intake', 'other').replace('uses: http', 'uses: htp')}"
    )
    assert [document.name for document in found.documents] == ["order-intake"]
    assert [(one.name, one.line) for one in found.broken] == [("other", 44)]


def test_a_file_that_cannot_be_read_still_says_what_it_seems_to_be() -> None:
    found = parse(f"{EXAMPLE}---\n{EXAMPLE.replace('order-intake', 'other')}\n  x: [")
    assert [document.name for document in found.documents] == ["order-intake"]
    assert [one.name for one in found.broken] == ["other"]


def test_a_file_of_nothing_but_mistakes_is_cut_short() -> None:
    nodes = "".join(
        f"    - {{id: n{i}, uses: set, with: {{a: '${{{{ nodes.m{i} }}}}'}}}}\n" for i in range(900)
    )
    text = f"apiVersion: weft/v1\nkind: Pattern\nmetadata: {{name: a}}\nspec:\n  nodes:\n{nodes}"
    started = time.perf_counter()
    found = parse(text)
    assert time.perf_counter() - started < 5
    assert len(found.problems) == 100
    assert found.problems[-1].code == "too-many-problems"


@pytest.mark.parametrize(
    ("literal", "ok"),
    [
        ("500ms", True),
        ("30d", True),
        ("9999d", True),
        ("99999d", False),
        ("0s", False),
        ("1h30m", False),
        ("5", False),
    ],
)
def test_a_duration_that_passes_the_schema_can_always_be_converted(literal: str, ok: bool) -> None:
    found = parse(EXAMPLE.replace("timeout: 5m", f'timeout: "{literal}"'))
    assert bool(found.documents) is ok


@pytest.mark.parametrize(
    ("timeout", "said"), [("", "the run has 1h in all"), ("  timeout: 90m\n", "the run has 90m in all")]
)
def test_a_wait_that_is_too_long_is_told_with_durations_as_people_write_them(timeout: str, said: str) -> None:
    nap = "- {id: nap, uses: delay, with: {for: 30d}}"
    text = f"apiVersion: weft/v1\nkind: Pattern\nmetadata: {{name: a}}\nspec:\n{timeout}  nodes:\n    {nap}\n"
    [problem] = parse(text).problems
    assert problem.message == f'"nap" waits for 30d, and {said}'


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(3600, "1h"), (90, "90s"), (0.5, "500ms"), (86400, "1d"), (0, "0ms"), (5400, "90m")],
)
def test_seconds_are_shown_in_the_largest_unit_that_fits(seconds: float, written: str) -> None:
    assert duration(seconds) == written


def test_a_typical_pattern_is_parsed_in_half_a_millisecond() -> None:
    text = re.sub(r"(?s)  input: .*?  timeout", "  timeout", EXAMPLE).encode()
    parse_file("patterns/a.yaml", text)
    best = min(timed(text) for _ in range(50))
    assert best < 0.005  # 0.3 ms on an idle machine; this bound only catches the absurd


def timed(text: bytes) -> float:
    started = time.perf_counter()
    parse_file("patterns/a.yaml", text)
    return time.perf_counter() - started


# Bad input: never a traceback, never a hang.

BAD_FILES = [path.read_bytes() for path in (Path(__file__).parent.parent / "bad-files").rglob("*.yaml")]
SEEDS = [EXAMPLE.encode(), *BAD_FILES]
KEYS = sorted({word for seed in SEEDS for word in re.findall(r"\w+", seed.decode("utf-8", "replace"))})
SNIPPETS = [
    *(
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "'",
        '"',
        "|",
        ">",
        "&a ",
        "*a ",
        "!!int ",
        "? ",
        "#",
        "%",
        "@",
    ),
    *(
        "${{ ",
        " }}",
        "\0",
        "\t",
        "\ufeff",
        "\u2028",
        "\x85",
        "---\n",
        "...\n",
        "<<: ",
        "~",
        ".nan",
        "1e999",
        "0x",
        "\r",
    ),
    *("${{ nodes", "${{ vars.", "['x']", "(((", "''", "2026-01-01", "9" * 30, "é", "\U0001f600"),
]

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(KEYS + SNIPPETS)
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=10,
)


@st.composite
def mutated(draw: Any) -> bytes:
    """A seed of which some parts are cut, doubled, or replaced."""
    text = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 12))
        put = draw(
            st.sampled_from(SNIPPETS + KEYS).map(str.encode)
            | st.binary(max_size=4)
            | st.just(bytes(text[at:]))
        )
        text[at : at + length] = put
    return bytes(text)


@st.composite
def documents(draw: Any) -> bytes:
    """The right envelope round a random tree."""
    kind = draw(st.sampled_from(["Pattern", "Deployment", "Project"]))
    spec = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "nodes": st.lists(trees, max_size=4)
                | st.lists(
                    st.fixed_dictionaries(
                        {
                            "id": st.sampled_from("abc") | trees,
                            "uses": st.sampled_from(["set", "branch", "call", "script"]),
                        },
                        optional={
                            "with": trees,
                            "needs": st.lists(st.sampled_from("abcd")) | trees,
                            "when": st.sampled_from(["${{ nodes.a }}", "${{ nodes.b.c > 1 }}", "${{"])
                            | trees,
                            "if": trees,
                            "then": st.lists(trees, max_size=2),
                        },
                    ),
                    max_size=4,
                ),
                "on": trees,
                "input": trees,
                "output": trees,
                "schedules": trees,
                "source": trees,
                "network": trees,
                "variables": trees,
                "timeout": trees,
                "retry": trees,
            },
        )
    )
    document = {
        "apiVersion": "weft/v1",
        "kind": kind,
        "metadata": {"name": "a"},
        "spec": draw(st.just(spec) | trees),
    }
    return json.dumps(document, allow_nan=True).encode()


PATHS = st.sampled_from(["patterns/a.yaml", "deployments/a.yaml", "weft.yaml"])


def check_never_raises(path: str, content: bytes) -> None:
    started = time.perf_counter()
    found = parse_file(path, content)
    assert time.perf_counter() - started < 5
    for problem in found.problems:
        assert problem.path == path
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message
        assert problem.hint
    assert not found.broken or found.problems


@settings(max_examples=200, deadline=None)
@given(path=PATHS, content=mutated())
def test_a_mutated_file_never_raises(path: str, content: bytes) -> None:
    check_never_raises(path, content)


@settings(max_examples=200, deadline=None)
@given(path=PATHS, content=documents())
def test_a_random_tree_never_raises(path: str, content: bytes) -> None:
    check_never_raises(path, content)


@settings(max_examples=100, deadline=None)
@given(
    path=PATHS,
    content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
)
def test_random_bytes_never_raise(path: str, content: bytes) -> None:
    check_never_raises(path, content)
