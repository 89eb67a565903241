"""Test mode: runs of drafts, which deploy nothing."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping

from reconciler.actions.files import path_fault
from reconciler.drafting import (
    Drafted,
    DraftProblemsError,
    DraftRequest,
    EnvironmentProtectedError,
    NoDraftError,
)
from reconciler.git.errors import UnknownRevisionError
from reconciler.reconciler import Reconciler
from reconciler.snapshot import TooManyDocumentsError
from schemas.documents import Document
from schemas.mistakes import Mistake, did_you_mean
from schemas.pattern import JSON, Pattern
from schemas.pattern_test_rules import trigger_mistakes
from schemas.stubs import stub_mistakes
from schemas.tested import node_fault
from schemas.times import timestamp
from store import schedules
from store.database import Database
from store.drafts import MOST_OPEN, NewTest, TooManyTestsError, start_test
from store.ids import new_id
from web.api.inputs import check_input, input_text
from web.api.query import is_label, revision, wrong
from web.api.refusals import problems_json, reading
from web.api.resource import Call
from web.api.runs import Runs
from web.api.starting import Ring
from web.contents import Contents
from web.problems import Kind, Refusal, not_found

BODY = ("document", "ref", "files", "trigger", "input", "variables", "stubs", "environment")

MOST_SENT = 8 * 1024 * 1024
"""Bytes of a body, files and all."""

MOST_FILES = 1_000
ENVIRONMENT = "test"
"""Where a draft runs unless it is said: by default nothing is live there."""

_NODE_PATH = re.compile(r"[a-z][a-z0-9_]{0,62}(?:/[a-z][a-z0-9_]{0,62}){0,32}")
_REQUEST: Mapping[str, JSON] = {"method": "POST", "path": "/", "query": {}, "headers": {}, "body": None}

_Problems = list[dict[str, str]]


class Testing:
    def __init__(
        self, database: Database, reconciler: Reconciler, contents: Contents, runs: Runs, ring: Ring
    ) -> None:
        self._database = database
        self._reconciler = reconciler
        self._contents = contents
        self._runs = runs
        self._ring = ring

    def test(self, call: Call) -> JSON:
        """A run of the draft, accepted. Raises Refusal."""
        request = _request(call)
        _check_values(call.body)
        drafted = self._drafted(call.identity.organisation, request)
        _check_names(call.body, drafted.patterns, request.pattern)
        return self._started(call, request, drafted)

    def _drafted(self, organisation: str, request: DraftRequest) -> Drafted:
        with reading(organisation):
            try:
                return self._reconciler.draft(organisation, request)
            except UnknownRevisionError as error:
                raise not_found(f"{error} Push it first.") from None
            except NoDraftError as error:
                raise not_found(str(error)) from None
            except DraftProblemsError as error:
                raise Refusal(Kind.DRAFT, str(error), problems=problems_json(error.problems)) from None
            except EnvironmentProtectedError as error:
                raise Refusal(Kind.FORBIDDEN, str(error)) from None
            except TooManyDocumentsError as error:
                raise Refusal(Kind.INVALID, error.reason.message) from None

    def _started(self, call: Call, request: DraftRequest, drafted: Drafted) -> JSON:
        body, run = call.body, new_id()
        organisation = call.identity.organisation
        with self._database.transaction() as connection:
            if "trigger" not in body or "input" in body:
                check_input(self._contents.get(connection, drafted.version.id), body.get("input"))
            now = schedules.clock(connection).timestamp()
            new = NewTest(
                id=run,
                organisation=organisation,
                version_id=drafted.version.id,
                pattern=request.pattern,
                environment=request.environment,
                variables=body.get("variables", {}),
                stubs=body.get("stubs", {}),
                commit=drafted.commit,
                trigger=input_text(trigger_data(body.get("trigger"), now), "trigger"),
                input=input_text(body["input"]) if "input" in body else None,
                actor=call.identity.user,
            )
            try:
                start_test(connection, new)
            except TooManyTestsError:
                raise too_many_tests() from None
            answer = self._runs.brief(connection, organisation, run)
        self._ring([run])
        return answer


def too_many_tests() -> Refusal:
    return Refusal(
        Kind.TOO_MANY_TESTS,
        f"{MOST_OPEN} test runs have not ended. `weft runs --mode test` lists them; `weft cancel` ends one.",
        headers={"Retry-After": "10"},
    )


def trigger_data(written: JSON, now: float) -> JSON:
    """What the run sees of its trigger: as it is written, with the defaults of a request or a start by hand."""
    if written is None:
        return {"kind": "manual", "time": timestamp(now)}
    kind = written.get("kind", "webhook")
    data = {**(_REQUEST if kind == "webhook" else {}), "time": timestamp(now), **written, "kind": kind}
    if isinstance(data.get("headers"), dict):
        data["headers"] = {name.lower(): value for name, value in data["headers"].items()}
    return data


def _request(call: Call) -> DraftRequest:
    """Raises Refusal."""
    body, name, problems = call.body, call.path["name"], list[dict[str, str]]()
    if not is_label(name):
        raise not_found(f"{name!r:.80} is not the name of a pattern.")
    document = body.get("document")
    if document is not None and not isinstance(document, str):
        problems.append({"path": "document", "message": "it takes the YAML text of the pattern's file"})
    files = dict(_files(body.get("files"), problems))
    ref, environment = body.get("ref"), body.get("environment", ENVIRONMENT)
    try:
        ref = None if ref is None else revision(ref if isinstance(ref, str) else "")
    except ValueError as error:
        problems.append({"path": "ref", "message": str(error)})
    if not isinstance(environment, str) or not is_label(environment):
        problems.append({"path": "environment", "message": "it takes a name such as staging"})
    if problems:
        raise wrong("values", problems)
    return DraftRequest(
        pattern=name,
        environment=environment,
        actor=call.identity.actor,
        ref=ref,
        document=None if document is None else _encoded(document),
        files=files,
    )


def _files(given: JSON, problems: _Problems) -> Iterator[tuple[str, bytes | None]]:
    """Those that are right; what is wrong with the others goes to `problems`."""
    if given is not None and (not isinstance(given, dict) or len(given) > MOST_FILES):
        problems.append({"path": "files", "message": f"it takes at most {MOST_FILES:,} texts by their paths"})
        return
    for path, content in (given or {}).items():
        fault = path_fault(path)
        found = _content(content)
        if fault or (found is None and content is not None):
            said = fault or 'it takes a text, {"base64": …}, or null for no file'
            problems.append({"path": f"files.{path}", "message": said})
        else:
            yield path, found


def _content(given: JSON) -> bytes | None:
    if isinstance(given, str):
        return _encoded(given)
    if not isinstance(given, dict) or given.keys() != {"base64"} or not isinstance(given["base64"], str):
        return None
    try:
        return base64.b64decode(given["base64"], validate=True)
    except (binascii.Error, ValueError):
        return None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _check_values(body: Mapping[str, JSON]) -> None:
    """What can be seen without the pattern. Raises Refusal."""
    problems: _Problems = []
    for key in ("trigger", "variables", "stubs"):
        if key in body and not isinstance(body[key], dict):
            problems.append({"path": key, "message": "it takes an object"})
    if isinstance(body.get("trigger"), dict):
        problems += _told(trigger_mistakes(body["trigger"], ("trigger",)))
    if isinstance(body.get("stubs"), dict):
        for node, stub in body["stubs"].items():
            problems += _told(stub_mistakes(stub, ("stubs", node)))
    if problems:
        raise wrong("values", problems)


def _check_names(body: Mapping[str, JSON], patterns: Mapping[str, Document], name: str) -> None:
    """That every node and variable that is named is there. Raises Refusal."""
    pattern, problems = patterns[name].typed, list[dict[str, str]]()
    assert isinstance(pattern, Pattern)
    for node in body.get("stubs", {}):
        if _NODE_PATH.fullmatch(node) is None:
            said = "it takes the id of a node; behind that of a call and a slash, one of the called pattern"
            problems.append({"path": f"stubs.{node}", "message": said})
        elif fault := node_fault(pattern, node, patterns):
            problems.append({"path": f"stubs.{node}", "message": f"{fault[1]}. {fault[2]}"})
    for variable in body.get("variables", {}):
        if variable not in pattern.variables:
            said = f"{name} has no such variable. {did_you_mean(variable, pattern.variables)}"
            problems.append({"path": f"variables.{variable}", "message": said})
    if problems:
        raise wrong("values", problems)


def _told(mistakes: Iterable[Mistake]) -> Iterator[dict[str, str]]:
    for one in mistakes:
        yield {"path": ".".join(map(str, one.path)), "message": f"{one.message}. {one.hint}"}
