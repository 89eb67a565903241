"""What people read of a plan, to the letter: a kind of change each, for a terminal and for a review."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from reconciler.description import Describing, described
from reconciler.plan_text import plan_markdown, plan_text
from reconciler.resolve import Reason
from reconciler.steps import Action, Binding, Plan, Step, VersionRef

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)  # a Saturday
ORDER = """
"on": {webhook: {}, schedule: [{cron: "0 9 * * MON-FRI", timezone: Europe/Berlin, input: {region: eu}}], call: {}}
variables: {threshold: 100}
timeout: 5m
nodes:
  - {id: customer, uses: http, with: {url: a}}
  - id: decide
    uses: branch
    if: ${{ trigger.body.total > vars.threshold }}
    then: [{id: big, uses: call, with: {pattern: notify-sales}}]
    else: [{id: small, uses: log, with: {message: small}}]
  - {id: last, uses: log, with: {message: done}}
"""
FIRES = "next runs by schedule: 2026-11-23 08:00, 2026-11-24 08:00, 2026-11-25 08:00 UTC"
NEXT = "next 2026-11-23 09:00, 2026-11-24 09:00, 2026-11-25 09:00"


class Story:
    """A plan of one deployment, `shop`, from one pattern's text and deployment's spec to others."""

    def __init__(self) -> None:
        self.contents: dict[str, Any] = {}
        self.callers: dict[str, list[str]] = {}

    def binding(self, number: int, text: str, spec: str = "", **held: dict[str, str]) -> Binding:
        version = VersionRef(id=f"{number:064}", number=number)
        self.contents[version.id] = {"spec": yaml.safe_load(text), "assets": {}, "calls": {}, **held}
        written = {"pattern": "order", **(yaml.safe_load(spec) or {})}
        state, environment = written.get("state", "active"), written.get("environment", "production")
        return Binding(
            pattern=written["pattern"], environment=environment, state=state, version=version, spec=written
        )

    def plan(self, *steps: Step, **told: Any) -> Any:
        describing = Describing(
            content=lambda version: self.contents[version.id],
            callers=lambda name: self.callers.get(name, []),
            held=lambda name: f"{2:064}",
            now=NOW,
        )
        return described(Plan(base="b" * 40, head="c" * 40, looked_at=steps, **told), describing).as_json()


def change(before: Binding | None, after: Binding | None, action: Action = Action.CHANGE) -> Step:
    return Step(name="shop", action=action, before=before, after=after)


def swapped(*pairs: tuple[str, str]) -> str:
    text = ORDER
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


LAST = "  - {id: last, uses: log, with: {message: done}}\n"
BIG = "{id: big, uses: call, with: {pattern: notify-sales}}"
SMALL = "{id: small, uses: log, with: {message: small}}"
CUSTOMER = "  - {id: customer, uses: http, with: {url: a}}\n"
CRON = '{cron: "0 9 * * MON-FRI", timezone: Europe/Berlin, input: {region: eu}}'


@pytest.mark.parametrize(
    ("pairs", "lines"),
    [
        ([("url: a", "url: b")], ["node `customer`: with.url: a → b"]),
        (
            [("{url: a}}", "{url: a}, timeout: 10s}")],
            ["node `customer`: timeout added: 10s"],
        ),
        (
            [(LAST, f"{LAST}  - {{id: tell, uses: call, with: {{pattern: notify-sales, version: 3}}}}\n")],
            ["node `tell` added: call notify-sales version 3"],
        ),
        ([(LAST, "")], ["node `last` removed (was log done)"]),
        (
            [("else: [", "else: [{id: ask, uses: http, with: {url: b, method: POST}}, ")],
            ["node `ask` added in decide.else: http POST b"],
        ),
        ([(CUSTOMER, ""), (LAST, LAST + CUSTOMER)], ["node `customer` moved after `last`"]),
        ([(LAST, ""), (CUSTOMER, LAST + CUSTOMER)], ["node `last` moved to the front"]),
        (
            [(SMALL, "SWAP"), (BIG, f"{BIG}, {SMALL}"), ("[SWAP]", "[{id: none, uses: stop}]")],
            [
                "node `small` moved from decide.else to decide.then, after `big`",
                "node `none` added in decide.else: stop",
            ],
        ),
        (
            [("vars.threshold }}", "vars.threshold * 2 }}")],
            [
                "node `decide`: if: ${{ trigger.body.total > vars.threshold }} → "
                "${{ trigger.body.total > vars.threshold * 2 }}"
            ],
        ),
        ([("threshold: 100", "threshold: 200")], ["variable threshold: 100 → 200"]),
        ([("{threshold: 100}", "{threshold: 100, limit: 5}")], ["variable limit added: 5"]),
        ([("timeout: 5m", "timeout: 6m")], ["timeout: 5m → 6m"]),
        ([("timeout: 5m", "retry: {attempts: 3}")], ["timeout removed (was 5m)", "retry.attempts added: 3"]),
        ([("timeout: 5m", "timeout: 5m\noutput: x")], ["output added: x"]),
        ([(", call: {}}", "}")], ["trigger call removed"]),
        ([("webhook: {}", "webhook: {methods: [GET]}")], ['trigger webhook: methods added: ["GET"]']),
        ([("webhook: {}, ", "")], ["trigger webhook removed"]),
        (
            [("0 9 * * MON-FRI", "0 10 * * *")],
            [
                "trigger schedule changed: 0 9 * * MON-FRI in Europe/Berlin → 0 10 * * * in Europe/Berlin, "
                "next 2026-11-22 10:00, 2026-11-23 10:00, 2026-11-24 10:00"
            ],
        ),
        (
            [("region: eu", "region: us")],
            ["trigger schedule 0 9 * * MON-FRI in Europe/Berlin: input.region: eu → us"],
        ),
        (
            [(CRON, f"{{every: 6h}}, {CRON}")],
            [
                "trigger schedule added: every 6h, "
                "next 2026-11-21 12:00, 2026-11-21 18:00, 2026-11-22 00:00"
            ],
        ),
        ([(f", schedule: [{CRON}]", "")], ["trigger schedule removed: 0 9 * * MON-FRI in Europe/Berlin"]),
    ],
)  # fmt: skip
def test_what_changes_in_a_pattern(pairs: list[tuple[str, str]], lines: list[str]) -> None:
    story = Story()
    plan = story.plan(change(story.binding(1, ORDER), story.binding(2, swapped(*pairs))))
    shown = plan_text(plan).splitlines()
    assert shown[:2] == ["1 changed", "shop  v1 → v2  changed"]
    told = [line.removeprefix("    ") for line in shown[2:] if FIRES not in line]
    assert [line for line in told if not line.startswith("next runs")] == lines
    fence = "```"
    assert plan_markdown(plan).splitlines() == [
        "**Weft plan:** 1 changed", "", "| deployment | version | what |", "|---|---|---|",
        "| `shop` | v1 → v2 | changed |", "", "**`shop`**", "", f"{fence}text",
        *(line.removeprefix("    ") for line in shown[2:]), fence,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("", "state: paused", ["state: active → paused"]),
        ("state: paused", "", ["state: paused → active", FIRES]),
        ("", "environment: staging", ["environment: production → staging", FIRES]),
        ("", "source: {version: 2}", ["source: the default branch → version 2", FIRES]),
        ("source: {tag: a}", "source: {tag: b}", ["source: tag a → tag b", FIRES]),
        ("", "timeout: 9m", ["timeout set here: 9m", FIRES]),
        ("timeout: 9m", "", ["timeout no longer set here (was 9m)", FIRES]),
        ("retry: {attempts: 3}", "retry: {attempts: 5}", ["retry.attempts: 3 → 5", FIRES]),
        ("", "variables: {threshold: 5}", ["variable threshold set here: 5", FIRES]),
        ("variables: {threshold: 5}", "variables: {threshold: 6}", ["variable threshold: 5 → 6", FIRES]),
        ("variables: {threshold: 5}", "", ["variable threshold no longer set here (was 5)", FIRES]),
        (
            "",
            f"schedules: [{CRON}, {{every: 1h}}]",
            ["trigger schedule added: every 1h, next 2026-11-21 11:00, 2026-11-21 12:00, 2026-11-21 13:00"],
        ),
        ("", f"schedules: [{CRON}]", ["schedules set here, the same as the pattern's", FIRES]),
        ("", "schedules: []", ["trigger schedule removed: 0 9 * * MON-FRI in Europe/Berlin"]),
        (
            "schedules: []",
            "",
            [f"trigger schedule added: 0 9 * * MON-FRI in Europe/Berlin, {NEXT}"],
        ),
    ],
)
def test_what_changes_in_a_deployment(before: str, after: str, lines: list[str]) -> None:
    story = Story()
    plan = story.plan(change(story.binding(1, ORDER, before), story.binding(1, ORDER, after)))
    assert plan_text(plan).splitlines() == ["1 changed", "shop  v1  changed", *(f"    {x}" for x in lines)]


def test_what_a_deployment_sets_itself_is_told_as_such() -> None:
    own = "{variables: {threshold: 1}, timeout: 1m, schedules: [{every: 1h}]}"
    story = Story()
    text = swapped(("threshold: 100", "threshold: 200"), ("timeout: 5m", "timeout: 6m"), ("0 9", "0 8"))
    plan = story.plan(change(story.binding(1, ORDER, own), story.binding(2, text, own)))
    assert plan_text(plan).splitlines()[2:] == [
        "    trigger schedule changed: 0 9 * * MON-FRI in Europe/Berlin → 0 8 * * MON-FRI in Europe/Berlin "
        "(not used: this deployment has its own schedules)",
        "    variable threshold: 100 → 200 (this deployment sets its own)",
        "    timeout: 5m → 6m (this deployment has its own)",
        "    next runs by schedule: 2026-11-21 11:00, 2026-11-21 12:00, 2026-11-21 13:00 UTC",
    ]


def test_what_is_created_undeployed_stalled_refused_and_unchanged() -> None:
    story = Story()
    one = story.binding(1, ORDER)
    own = story.binding(1, ORDER, "{source: {version: 1}, environment: staging, variables: {threshold: 5}}")
    lost = Reason(code="tag-not-found", message="There is no tag x. Push it.")
    plan = story.plan(
        Step(name="built", action=Action.CREATE, after=own),
        Step(name="gone", action=Action.UNDEPLOY, before=one, after=one),
        Step(name="held", action=Action.STALLED, before=one, after=one, reason=lost),
        Step(name="old", action=Action.REFUSED, before=one, after=one, reason=lost),
        Step(name="same", action=Action.UNCHANGED, before=one, after=one),
        merges=True,
    )
    headline = "1 created, 1 unchanged, 1 undeployed, 1 stalled, 1 refused (merged into bbbbbbbbbb)"
    made = [
        "pattern: order",
        "source: version 1",
        "environment: staging",
        "variable threshold set here: 5",
        "trigger webhook added: POST",
        "trigger call added",
        f"trigger schedule added: 0 9 * * MON-FRI in Europe/Berlin, {NEXT}",
    ]
    gone = [
        "trigger webhook removed",
        "trigger call removed",
        "trigger schedule removed: 0 9 * * MON-FRI in Europe/Berlin",
    ]
    assert plan_text(plan).splitlines() == [
        headline,
        "built  v1  created",
        *(f"    {line}" for line in made),
        "gone   v1  undeployed",
        *(f"    {line}" for line in gone),
        "held   v1  stalled: There is no tag x. Push it.",
        f"    {FIRES}",
        "old    v1  refused: There is no tag x. Push it.",
    ]
    assert plan_markdown(plan).splitlines() == [
        f"**Weft plan:** {headline}", "", "| deployment | version | what |", "|---|---|---|",
        "| `built` | v1 | created |", "| `gone` | v1 | undeployed |", "| `held` | v1 | stalled |",
        "| `old` | v1 | refused |",
        "", "**`built`**", "", "```text", *made, "```",
        "", "**`gone`**", "", "```text", *gone, "```",
        "", "**`held`**", "", "```text", "There is no tag x. Push it.", FIRES, "```",
        "", "**`old`**", "", "```text", "There is no tag x. Push it.", "```",
    ]  # fmt: skip


def test_callers_assets_and_another_pattern_are_told() -> None:
    story = Story()
    story.callers = {"order": ["batch", "night"], "batch": ["year"], "year": ["order"]}
    old = story.binding(1, ORDER, assets={"a.py": "1", "b.py": "1"}, calls={"notify-sales": "1"})
    new = story.binding(2, ORDER, assets={"a.py": "2", "c.py": "1"}, calls={"notify-sales": "2"})
    batch = story.binding(3, ORDER, "{pattern: batch, state: paused}")
    later = story.binding(4, ORDER, "{pattern: batch, state: paused}")
    caller = Step(name="winter", action=Action.CHANGE, before=batch, after=later)
    plan = story.plan(change(old, new), caller)
    assert plan_text(plan).splitlines() == [
        "2 changed",
        "shop    v1 → v2  changed",
        "    file a.py changed",
        "    file b.py removed",
        "    file c.py added",
        "    called pattern notify-sales changed",
        "    callers that change with it: batch (deployment winter), night (nothing live), year (nothing live)",
        f"    {FIRES}",
        "winter  v3 → v4  changed",
        "    the version has other content",
    ]
    assert plan["deployments"][0]["callers"] == [
        {"pattern": "batch", "deployments": ["winter"]},
        {"pattern": "night", "deployments": []},
        {"pattern": "year", "deployments": []},
    ]
    other = story.plan(change(old, story.binding(9, ORDER, "{pattern: invoice, schedules: []}", assets={})))
    assert plan_text(other).splitlines()[2] == "    pattern: order → invoice"


def test_programs_read_paths_and_values() -> None:
    story = Story()
    text = swapped(("message: small", "message: tiny"), ("0 9", "0 8"), ("threshold: 100", "threshold: 1"))
    plan = story.plan(change(story.binding(1, ORDER), story.binding(2, text, "state: paused")))
    [step] = plan["deployments"]
    old, new = ({"cron": f"0 {hour} * * MON-FRI", "timezone": "Europe/Berlin", "input": {"region": "eu"}}
                for hour in (9, 8))  # fmt: skip
    assert [(c["path"], c["from"], c["to"]) for c in step["changes"]] == [
        ("deployment.state", "active", "paused"),
        ("on.schedule.0", old, new),
        ("variables.threshold", 100, 1),
        ("nodes.decide.else.small.with.message", "small", "tiny"),
    ]
    assert step["nextFireTimes"] == []


NASTY = "`x` ```` | <img src=x> @ada \\u001b[2J \\u202e"


def test_nothing_that_somebody_wrote_breaks_out_of_a_review() -> None:
    story = Story()
    lines_too = f'url: "{NASTY}", body: "a\\n# Heading\\n````"'
    after = story.binding(
        2, ORDER.replace("message: done", f'message: "{NASTY}"').replace("url: a", lines_too)
    )
    stuck = Step(
        name="stuck", action=Action.STALLED, before=after, after=after,
        reason=Reason(code="x", message="There is no tag `a|b`\n| <b>"),
    )  # fmt: skip
    plan = story.plan(change(story.binding(1, ORDER), after), stuck)
    lines = plan_markdown(plan).splitlines()
    (place,) = [n for n, line in enumerate(lines) if line.startswith("node `last`")]
    fence = next(line for line in lines if line.endswith("text")).removesuffix("text")
    assert set(fence) == {"`"}
    assert "````" in lines[place]
    assert fence not in lines[place]
    assert lines.index(fence) > place
    assert not any(line.startswith("#") for line in lines)
    assert all(len(line.split("|")) == 5 for line in lines if line.startswith("|"))
    assert "There is no tag `a|b` | <b>" in lines
    shown = plan_text(plan)
    assert all(char.isprintable() or char == "\n" for char in shown + plan_markdown(plan))
    assert len(shown.splitlines()) == 8


def test_a_comment_stays_within_what_a_forge_takes() -> None:
    story = Story()
    before, after = story.binding(1, ORDER), story.binding(2, ORDER.replace("done", "x" * 50))
    steps = [Step(name=f"shop-{n:04}", action=Action.CHANGE, before=before, after=after) for n in range(900)]
    text = plan_markdown(story.plan(*steps))
    assert len(text) < 65_536
    assert text.count("| `shop-") + text.count("more deployments") >= 1
    assert "`weft plan` shows them all." in text.splitlines()[-1]
