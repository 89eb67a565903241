"""The cases of a test run on the real engine, with stubs for what reaches outside and a clock that jumps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from textwrap import indent
from typing import Any

import pytest

from runner.nodes.base import NodeHandler
from runner.nodes.inside import INSIDE
from runner.nodes.kinds import Kinds
from runner.program import WITHOUT_EFFECT
from runner.rehearsal.coverage import coverage
from runner.rehearsal.kinds import RehearsedKinds
from runner.rehearsal.library import library_of
from runner.rehearsal.rehearse import CaseResult, listed_tests, rehearse
from runner.rehearsal.verdict import same
from schemas.documents import parse_file
from schemas.rules import AssetState, check
from schemas.yaml_text import read_yaml


@pytest.fixture(scope="module")
def handlers() -> Iterator[Mapping[str, NodeHandler]]:
    kinds = RehearsedKinds()
    yield kinds.handlers
    kinds.close()


class Rehearse:
    """Tries a pattern `p` (and others) with cases; everything is YAML. `assets`: path → text."""

    def __init__(self, handlers: Mapping[str, NodeHandler]) -> None:
        self._handlers = handlers

    def __call__(self, nodes: str, *cases: str, spec: str = "", **more: Any) -> list[CaseResult]:
        assets: dict[str, str] = more.pop("assets", {})
        patterns = {"p": (nodes, spec), **more}
        listed = "\n".join(
            indent(f"- name: case {at}\n{indent(c, '  ')}", "    ") for at, c in enumerate(cases)
        )
        head = "apiVersion: weft/v1\nkind: {}\nmetadata: {{name: {}}}\nspec:\n"
        texts = {
            f"patterns/{name}.yaml": head.format("Pattern", name)
            + "  on: {webhook: {}, call: {}}\n"
            + indent(extra, "  ")
            + "\n  nodes:\n"
            + indent(written, "    ")
            for name, (written, extra) in patterns.items()
        }
        texts["tests/t.yaml"] = head.format("PatternTest", "t") + f"  pattern: p\n  cases:\n{listed}\n"
        files = {path: parse_file(path, text.encode()) for path, text in texts.items()}
        problems = [problem for file in files.values() for problem in file.problems]
        problems += check(files, lambda _: AssetState.PRESENT)
        assert [str(problem) for problem in problems] == []
        self.library = library_of(files, lambda path: assets[path].encode())
        self.texts = texts
        return list(rehearse(listed_tests(files), self.library, self._handlers))


@pytest.fixture
def attempt(handlers: Mapping[str, NodeHandler]) -> Rehearse:
    return Rehearse(handlers)


def passes(results: list[CaseResult]) -> None:
    assert [(one.case, one.faults, one.mismatches, one.error) for one in results if not one.passed] == []


def differences(result: CaseResult) -> dict[str, tuple[Any, Any]]:
    return {one.what: (one.expected, one.actual) for one in result.mismatches}


ASK = "- {id: ask, uses: http, with: {url: 'https://x.example/${{ trigger.body.a }}'}}"
GIVEN = "trigger: {body: {a: 1}}\n"


def test_a_stub_is_what_the_node_gives_whatever_it_looks_like(attempt: Rehearse) -> None:
    passes(
        attempt(
            ASK,
            GIVEN + "stubs: {ask: {error: {type: timeout}}}\nexpect: {output: {error: {type: timeout}}}",
            GIVEN + "stubs: {ask: [1, 2]}\nexpect: {output: [1, 2]}",
            GIVEN + "stubs: {ask: {$output: {$error: 1}}}\nexpect: {output: {$error: 1}}",
            GIVEN + "stubs: {ask: null}\nexpect: {output: null, ran: [ask]}",
        )
    )


def test_what_a_stubbed_node_takes_is_evaluated_all_the_same(attempt: Rehearse) -> None:
    (result,) = attempt(ASK, "trigger: {body: {}}\nstubs: {ask: 1}\nexpect: {status: completed}")
    assert result.error is not None
    assert result.error.startswith("expression at ask: ")


def test_a_case_has_secrets_of_its_own_and_placeholders_for_all_others(attempt: Rehearse) -> None:
    gives = "{'key': given['key'], 'own': len(given['own']), 'other': given['other'][:7]}"
    script = f"def main(given):\\n    return {gives}\\n"
    given = "{key: '${{ secrets.KEY }}', own: '${{ secrets.KEY }}', other: '${{ secrets.OTHER }}'}"
    node = f'- {{id: call, uses: script, with: {{code: "{script}", input: {given}}}}}'
    passes(
        attempt(
            node,
            "secrets: {KEY: its-own-key}\nexpect: {output: {key: '***', own: 11, other: secret-}}",
            "expect: {output: {key: '***', own: 10, other: secret-}}",
        )
    )


def test_a_node_that_reaches_outside_without_a_stub_fails_the_case_whatever_the_pattern_makes_of_it(
    attempt: Rehearse,
) -> None:
    nodes = "- {id: ask, uses: http, onError: continue, with: {url: 'https://x.example/'}}"
    (result,) = attempt(nodes, "expect: {status: completed}")
    assert result.status == "completed"
    assert not result.passed
    assert result.faults == (
        "The http node ask reaches outside, which a test does not. "
        "Say what it gives, or how it fails: stubs: {ask: …}.",
    )


def test_retries_take_the_whole_delay_and_no_time(attempt: Rehearse) -> None:
    nodes = """
- id: ask
  uses: http
  with: {url: 'https://x.example/'}
  retry: {attempts: 3, delay: 10m, factor: 3, maxDelay: 1h, on: [timeout, connection]}
- {id: at, uses: set, with: {time: "${{ string(now()) }}"}}
"""
    started = time.monotonic()
    results = attempt(
        nodes,
        """
now: 2026-03-29T00:30:00Z
stubs: {ask: {$attempts: [{$error: {type: timeout}}, {$error: {type: connection}}, ok]}}
expect: {output: {time: "2026-03-29T01:10:00Z"}, nodes: {ask: ok}}
""",
        "stubs: {ask: {$error: {type: timeout, message: so slow}}}\n"
        "expect: {status: failed, error: {type: timeout, message: slow}, notRan: [at]}",
        "stubs: {ask: {$error: {type: connection, message: no, retry: false}}}\nexpect: {error: {type: network}}",
        "stubs: {ask: {$attempts: [{$error: {type: tls}}, ok]}}\nexpect: {error: {type: tls}}",
    )
    passes(results)
    assert time.monotonic() - started < 5


def test_the_run_is_tried_again_too_and_its_stubs_go_on_counting(attempt: Rehearse) -> None:
    nodes = "- {id: ask, uses: http, with: {url: 'https://x.example/', method: POST}}"
    passes(
        attempt(
            nodes,
            "stubs: {ask: {$attempts: [{$error: {type: timeout}}, ok]}}\nexpect: {output: ok}",
            "stubs: {ask: {$error: {type: timeout}}}\nexpect: {status: dead_letter}",
            spec="retry: {attempts: 2, delay: 20m}",
        )
    )


def test_a_delay_of_a_month_is_over_at_once_and_time_outs_come_when_they_are_due(attempt: Rehearse) -> None:
    nodes = """
- {id: pause, uses: delay, with: {for: "${{ vars.pause }}"}}
- {id: at, uses: set, with: {time: "${{ string(now()) }}"}}
"""
    passes(
        attempt(
            nodes,
            'expect: {output: {time: "2026-01-31T00:00:00Z"}}',
            spec="timeout: 60d\nvariables: {pause: 30d}",
        )
    )
    late = "variables: {pause: 61d}\nexpect: {status: timeout, notRan: [at]}"
    passes(attempt(nodes, late, spec="timeout: 60d\nvariables: {pause: 30d}"))


LOOP = """
- id: each
  uses: for-each
  items: ${{ ['a', 'b', 'c'] }}
  maxParallel: 2
  onItemError: continue
  do:
    - {id: ask, uses: http, with: {url: "https://x.example/${{ item }}", method: POST}}
- {id: last, uses: set, with: {n: "${{ size(nodes.each) }}"}}
"""


def test_rounds_are_stubbed_by_index_and_told_as_a_list(attempt: Rehearse) -> None:
    passes(
        attempt(
            LOOP,
            "stubs: {ask: {$rounds: [1, 2, 3]}}\n"
            "expect: {ran: [each, ask, last], nodes: {each: [1, 2, 3], ask: [1, 2, 3]}}",
            "stubs: {ask: {$rounds: [1, 2]}}\nexpect: {nodes: {ask: [1, 2, 2]}}",
            "stubs: {ask: {$rounds: [1, {$error: {type: timeout}}, 3]}}\nexpect: {nodes: {ask: [1, 3]}}",
        )
    )


def test_loops_in_loops_count_from_the_outside_in(attempt: Rehearse) -> None:
    nodes = """
- id: outer
  uses: for-each
  items: ${{ [1, 2] }}
  do:
    - id: inner
      uses: repeat
      until: ${{ index == 1 }}
      do: [{id: ask, uses: http, with: {url: 'https://x.example/', method: POST}}]
"""
    passes(
        attempt(
            nodes, "stubs: {ask: {$rounds: [{$rounds: [a, b]}, {$rounds: [c, d]}]}}\nexpect: {output: [b, d]}"
        )
    )


CALLER = """
- {id: tell, uses: call, with: {pattern: other, input: {text: "${{ trigger.body.text }}"}}}
- {id: after, uses: set, with: {said: "${{ nodes.tell }}"}}
"""
OTHER = (
    "- {id: chat, uses: http, with: {url: 'https://x.example/', json: '${{ input.text }}'}}",
    "timeout: 1m",
)


def test_a_call_runs_the_other_pattern_unless_it_has_a_stub(attempt: Rehearse) -> None:
    call = "{pattern: other, input: {text: hi}}"
    passes(
        attempt(
            CALLER,
            f"trigger: {{body: {{text: hi}}}}\nstubs: {{tell/chat: ok}}\n"
            f"expect: {{output: {{said: ok}}, ran: [tell, after], nodes: {{tell/chat: ok}}, calls: [{call}]}}",
            f"trigger: {{body: {{text: hi}}}}\nstubs: {{tell: stubbed}}\n"
            f"expect: {{output: {{said: stubbed}}, notRan: [tell/chat], calls: [{call}]}}",
            "trigger: {body: {text: hi}}\nstubs: {tell/chat: {$error: {type: tls, message: bad}}}\n"
            "expect: {error: {type: call_failed, message: bad}, calls: [{pattern: other}]}",
            other=OTHER,
        )
    )


def test_a_call_that_takes_too_long_is_given_up_by_the_frozen_clock(attempt: Rehearse) -> None:
    nodes = "- {id: tell, uses: call, timeout: 10s, with: {pattern: other}}"
    other = (
        "- {id: sleep, uses: delay, with: {for: 1h}}\n- {id: then, uses: log, with: {message: x}}",
        "timeout: 3h",
    )
    passes(
        attempt(nodes, "expect: {status: failed, error: {type: timeout}, notRan: [tell/then]}", other=other)
    )


def test_a_call_that_is_not_stubbed_is_missing_its_stubs_by_the_whole_path(attempt: Rehearse) -> None:
    (result,) = attempt(CALLER, "trigger: {body: {text: hi}}\nexpect: {status: completed}", other=OTHER)
    assert "stubs: {tell/chat: …}" in result.faults[0]


def test_an_answer_that_the_service_would_refuse_fails_the_case(attempt: Rehearse) -> None:
    form = "{required: [note], properties: {note: {type: string}}}"
    nodes = f"- {{id: agree, uses: approve, with: {{message: ok?, form: {form}}}}}"
    answer = "events: [{{approve: agree, by: bob, form: {}}}]\nexpect: {{status: completed}}"
    good, bad = attempt(nodes, answer.format("{note: fine}"), answer.format("{note: 3}"))
    assert good.passed, good.faults
    assert not bad.passed
    assert "agree does not fit its form: note: 3 is not" in bad.faults[0]
    [refused] = attempt(nodes, "events: [{reject: agree, by: bob}]\nexpect: {status: completed}")
    assert refused.passed, "who refuses fills in nothing"


PEOPLE = """
- {id: paid, uses: wait, with: {event: paid, match: "${{ event.body.amount > 1 }}", timeout: 2h}}
- {id: agree, uses: approve, with: {message: ok?, count: 1, timeout: 1d, onTimeout: reject}}
"""


def test_events_and_answers_come_as_the_case_says_or_the_time_is_over(attempt: Rehearse) -> None:
    late = "{status: failed, error: {type: timeout}, notRan: [agree]}"
    passes(
        attempt(
            PEOPLE,
            "events: [{event: paid, body: {amount: 1}}, {event: paid, body: {amount: 2}},"
            " {approve: agree, by: bob}]\n"
            "expect: {nodes: {paid: {amount: 2}}, output: {approved: true, by: [bob], form: null}}",
            "events: [{reject: agree, by: eve, form: {why: no}}, {event: paid, body: {amount: 2}, after: 1h}]\n"
            "expect: {output: {approved: false, by: [eve], form: {why: no}}}",
            f"events: [{{event: paid, body: {{amount: 2}}, after: 3h}}]\nexpect: {late}",
            f"expect: {late}",
            "events: [{event: paid, body: {amount: 2}}]\nexpect: {output: {approved: false, by: [], form: null}}",
            spec="timeout: 30d",
        )
    )


def test_scripts_run_as_they_are_and_a_stub_takes_their_place(attempt: Rehearse) -> None:
    nodes = "- {id: work, uses: script, with: {file: scripts/a.py, input: 20}}"
    script = "def main(n):\n    print('counting')\n    return n * 2\n"
    first, second = attempt(
        nodes,
        "expect: {output: 40}",
        "stubs: {work: 1}\nexpect: {output: 1}",
        assets={"scripts/a.py": script},
    )
    passes([first, second])
    assert first.log == ("work: counting",)


def test_a_webhook_s_headers_are_found_in_lower_case_and_what_is_not_said_has_its_default(
    attempt: Rehearse,
) -> None:
    nodes = """
- id: seen
  uses: set
  with:
    event: ${{ trigger.headers['x-event'] }}
    rest: "${{ [trigger.kind, trigger.method, trigger.path, trigger.time, deployment.environment] }}"
"""
    rest = '[webhook, POST, /, "2026-01-01T00:00:00.000Z", test]'
    passes(
        attempt(
            nodes,
            f"trigger: {{headers: {{X-Event: push}}}}\nexpect: {{output: {{event: push, rest: {rest}}}}}",
        )
    )


def test_an_input_that_does_not_fit_the_schema_is_refused_as_where_somebody_starts_a_run(
    attempt: Rehearse,
) -> None:
    nodes = "- {id: one, uses: log, with: {message: hello}}"
    passes(
        attempt(
            nodes,
            "input: {n: x}\nexpect: {error: {type: invalid_input, message: n}, ran: []}",
            "input: {n: 1}\nexpect: {status: completed}",
            spec="input: {type: object, properties: {n: {type: integer}}}",
        )
    )


def test_what_differs_is_told_with_what_was_expected_and_what_came(attempt: Rehearse) -> None:
    nodes = (
        "- {id: one, uses: set, with: {a: 1}}\n- {id: two, uses: fail, with: {type: bad, message: no way}}"
    )
    (result,) = attempt(
        nodes,
        "expect: {status: completed, ran: [one], notRan: [two], output: 3, nodes: {one: {a: true}}, "
        "error: {type: other, message: way}, calls: [{pattern: other}]}",
    )
    assert differences(result) == {
        "status": ("completed", "failed"),
        "ran": (["one"], ["one", "two"]),
        "notRan": (["two"], {"ran": ["two"]}),
        "output": (3, None),
        "nodes.one": ({"a": True}, {"a": 1}),
        "error": ({"type": "other", "message": "way"}, {"type": "bad", "message": "no way", "node": "two"}),
        "calls": ([{"pattern": "other"}], []),
    }
    assert (result.place, result.error) == ("tests/t.yaml:7", "bad at two: no way")


def test_a_case_that_says_no_status_expects_a_good_end(attempt: Rehearse) -> None:
    (result,) = attempt("- {id: two, uses: fail, with: {message: no}}", "expect: {ran: [two]}")
    assert differences(result) == {"status": ("completed", "failed")}


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ([1], [True], False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1, 2], [2, 1], False),
        (None, False, False),
        ("1", 1, False),
    ],
)
def test_values_are_equal_when_their_json_is(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal


def test_a_run_that_is_called_and_whose_caller_has_ended_is_cancelled_and_its_finally_runs(
    attempt: Rehearse,
) -> None:
    nodes = """
- id: both
  uses: parallel
  branches:
    a: [{id: tell, uses: call, with: {pattern: other}}]
    b: [{id: soon, uses: delay, with: {for: 1m}}, {id: bad, uses: fail, with: {message: no}}]
"""
    other = (
        "- id: guard\n  uses: try\n  do: [{id: sleep, uses: delay, with: {for: 1h}}]\n"
        "  finally: [{id: clean, uses: log, with: {message: bye}}]",
        "timeout: 3h",
    )
    (result,) = attempt(nodes, "expect: {error: {message: 'no'}}", other=other)
    passes([result])
    assert result.traces["tell/"].ran == ["guard", "sleep", "clean"]


def test_hundreds_of_cases_take_a_second_or_two(attempt: Rehearse) -> None:
    cases = ["trigger: {body: {a: 1}}\nstubs: {ask: ok}\nexpect: {output: ok, ran: [ask]}"] * 500
    started = time.process_time()
    results = attempt(ASK, *cases)
    assert time.process_time() - started < 3
    passes(results)
    assert len(results) == 500


COVERED = """
- id: side
  uses: branch
  if: ${{ trigger.body.yes }}
  then: [{id: said_yes, uses: log, with: {message: yes}}]
- id: guard
  uses: try
  do: [{id: ask, uses: http, with: {url: 'https://x.example/', method: POST}}]
  catch: [{id: sorry, uses: log, with: {message: sorry}}]
- id: kind
  uses: switch
  value: ${{ trigger.body.kind }}
  cases:
    a: [{id: was_a, uses: log, with: {message: a}}]
    b: [{id: was_b, uses: log, with: {message: b}}]
"""


def missed(attempt: Rehearse, *cases: str) -> list[str]:
    results = attempt(COVERED, *cases)
    passes(results)
    (written,) = read_yaml("patterns/p.yaml", attempt.texts["patterns/p.yaml"].encode()).documents
    document = attempt.library.documents["p"]
    (found,) = coverage({"p": (document, written.positions)}, results)
    return [f"{spot.line} {spot.node}{f'.{spot.side}' if spot.side else ''}" for spot in found.missed]


def test_coverage_names_nodes_and_sides_that_no_case_came_by_with_their_lines(attempt: Rehearse) -> None:
    yes = "trigger: {body: {yes: true, kind: a}}\nstubs: {ask: ok}\nexpect: {status: completed}"
    no = (
        "trigger: {body: {yes: false, kind: x}}\n"
        "stubs: {ask: {$error: {type: timeout}}}\nexpect: {status: completed}"
    )
    assert missed(attempt, yes) == [
        "9 side.else",
        "16 guard.catch",
        "16 sorry",
        "17 kind.default",
        "22 kind.cases.b",
        "22 was_b",
    ]
    assert missed(attempt, yes, no) == ["22 kind.cases.b", "22 was_b"]


def test_a_test_runs_every_kind_that_stays_within_the_run_and_no_other_but_scripts() -> None:
    kinds, rehearsed = Kinds(), RehearsedKinds()
    try:
        assert set(INSIDE) == set(kinds.handlers) & WITHOUT_EFFECT
        assert set(rehearsed.handlers) == {*INSIDE, "script"}
    finally:
        rehearsed.close()
        kinds.close()
