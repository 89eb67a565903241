"""The types of errors that a node or a run may end with: a tree, so that a pattern can name a family or a member.

`retry.on: [network]` means every type below `network`. A type that a `fail` node makes up stands below what comes
before its dots: `order.invalid` is an `order`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class ErrorType:
    """`family` is the type above it, None for a family itself. `hint` says what to do where the error has none."""

    name: str
    family: str | None = None
    means: str
    hint: str


_ALL: Final = (
    ErrorType(
        name="timeout",
        means="it took longer than the time limit of the node, of a container around it, or of the run",
        hint="Give it a longer `timeout`, or see what took the time.",
    ),
    ErrorType(
        name="network",
        means="the other side could not be reached, or the connection broke",
        hint="Check the address and whether the other side is up.",
    ),
    ErrorType(
        name="connection",
        family="network",
        means="no connection, or one that broke",
        hint="Check the address and whether the other side is up.",
    ),
    ErrorType(
        name="tls",
        family="network",
        means="no trusted TLS connection",
        hint="Check the certificate of the other side; SSL_CERT_FILE names other authorities to trust.",
    ),
    ErrorType(
        name="blocked_address",
        family="network",
        means="the address is private, and the project does not allow it",
        hint="Allow it in weft.yaml: network: {allow: […]}.",
    ),
    ErrorType(
        name="http",
        means="the answer to a request is not what was expected",
        hint="Read the answer in the message.",
    ),
    ErrorType(
        name="http_status",
        family="http",
        means="the status is not one of `expect`",
        hint="`expect` names the statuses that are no errors.",
    ),
    ErrorType(
        name="too_large",
        family="http",
        means="the answer is larger than `maxResponse`",
        hint="Raise `maxResponse` (at most 16MiB), or ask for less.",
    ),
    ErrorType(
        name="too_many_redirects",
        family="http",
        means="more redirects than a request follows",
        hint="Use the address that the redirects lead to.",
    ),
    ErrorType(
        name="bad_request",
        family="http",
        means="what the node would send is not a valid request",
        hint="Look at the values that the expressions gave.",
    ),
    ErrorType(
        name="bad_page",
        family="http",
        means="an answer is not the page of a list that `paging` describes",
        hint="Look at the answer, and correct `paging`.",
    ),
    ErrorType(
        name="no_token",
        family="http",
        means="the token address of `auth.oauth2` gave no access token",
        hint="Check `tokenUrl`, `clientId`, `clientSecret` and `scope`.",
    ),
    ErrorType(
        name="sql",
        means="a database did not do what was asked",
        hint="Read the message of the database.",
    ),
    ErrorType(
        name="sql_error",
        family="sql",
        means="the database refused the statement, or could not do it",
        hint="Read the message of the database.",
    ),
    ErrorType(
        name="bad_query",
        family="sql",
        means="query and `params` do not fit together",
        hint="Each `:name` of the query needs a value in `params`; write `\\:` where a colon is meant.",
    ),
    ErrorType(
        name="too_many_rows",
        family="sql",
        means="there are more rows than `maxRows`",
        hint="Add a LIMIT to the query, or raise `maxRows` (at most 100000).",
    ),
    ErrorType(
        name="email",
        means="an email was not taken",
        hint="Read the answer of the mail server.",
    ),
    ErrorType(
        name="email_rejected",
        family="email",
        means="the mail server refused it for good (5xx)",
        hint="Read its answer; check the addresses, the user and the password.",
    ),
    ErrorType(
        name="email_deferred",
        family="email",
        means="the mail server does not take it now (4xx)",
        hint="`retry` tries it again later.",
    ),
    ErrorType(
        name="bad_email",
        family="email",
        means="what the node would send is no valid email",
        hint="Look at the values that the expressions gave.",
    ),
    ErrorType(
        name="redis",
        means="a Redis or Valkey server did not do what was asked",
        hint="Read the answer of the server.",
    ),
    ErrorType(
        name="redis_error",
        family="redis",
        means="the server answered with an error",
        hint="Read the answer of the server.",
    ),
    ErrorType(
        name="bad_redis_command",
        family="redis",
        means="what the node would send is no command, or one that it does not send",
        hint="Give a list such as [SET, key, value].",
    ),
    ErrorType(
        name="s3",
        means="a bucket did not do what was asked",
        hint="Read the answer in the message.",
    ),
    ErrorType(
        name="s3_error",
        family="s3",
        means="the service refused the request, or could not do it",
        hint="Read the answer in the message.",
    ),
    ErrorType(
        name="s3_denied",
        family="s3",
        means="the service does not let these keys do that",
        hint="Check `accessKey`, `secretKey` and `region` of the connection, and what the key may do.",
    ),
    ErrorType(
        name="s3_not_found",
        family="s3",
        means="there is no such object, or no such bucket",
        hint="Check the key; `head` tells whether an object is there.",
    ),
    ErrorType(
        name="bad_s3_request",
        family="s3",
        means="what the node would send is no valid request",
        hint="Look at the values that the expressions gave.",
    ),
    ErrorType(
        name="setup",
        means="something is not there that the project or the installation has to provide",
        hint="Read what is missing.",
    ),
    ErrorType(
        name="unknown_connection",
        family="setup",
        means="the default branch has no connection of that name",
        hint="Add it below connections/ and push it.",
    ),
    ErrorType(
        name="wrong_connection_type",
        family="setup",
        means="the connection is of a type that the node cannot use, or is not set up right",
        hint="Name another connection, or mend this one.",
    ),
    ErrorType(
        name="unknown_secret",
        family="setup",
        means="there is no secret of that name in the environment of the run",
        hint="Set it: weft secret set NAME.",
    ),
    ErrorType(
        name="secrets_unavailable",
        family="setup",
        means="where secrets are kept did not answer",
        hint="`retry` tries it again later.",
    ),
    ErrorType(
        name="script",
        means="a script did not come to its end",
        hint="Read the traceback in the node's log.",
    ),
    ErrorType(
        name="script_error",
        family="script",
        means="the script raised an exception",
        hint="Read the traceback in the node's log.",
    ),
    ErrorType(
        name="script_crashed",
        family="script",
        means="the process of the script ended",
        hint="Look for memory limits, native code or os._exit in the script.",
    ),
    ErrorType(
        name="missing_asset",
        family="script",
        means="a file is not frozen with this version",
        hint="Name the file by its path from the root of the repository, and push it.",
    ),
    ErrorType(
        name="shell",
        means="a command did not do its work",
        hint="Read what it wrote in the node's log.",
    ),
    ErrorType(
        name="shell_exit",
        family="shell",
        means="the command ended with an exit code other than 0",
        hint="Read what it wrote in the node's log.",
    ),
    ErrorType(
        name="shell_not_found",
        family="shell",
        means="there is no such command, or it cannot be executed",
        hint="Install it where the workers run, or bring it along: `files: [scripts/…]`.",
    ),
    ErrorType(
        name="shell_output",
        family="shell",
        means="the command wrote more to its standard output than `maxOutput`",
        hint="Raise `maxOutput` (at most 4MiB), or let the command write less.",
    ),
    ErrorType(
        name="bad_command",
        family="shell",
        means="what the node would run is no command",
        hint="Give a list of texts, and variables that are texts.",
    ),
    ErrorType(
        name="shell_crashed",
        family="shell",
        means="the process that watches over the command ended",
        hint="Look for a command that kills its parent, or for memory limits.",
    ),
    ErrorType(
        name="data",
        means="a value is not what is needed there",
        hint="Look at the node's input and the values that it was made of.",
    ),
    ErrorType(
        name="expression",
        family="data",
        means="an expression could not be evaluated",
        hint="Look at the values that it reads.",
    ),
    ErrorType(
        name="not_a_boolean",
        family="data",
        means="a condition gave neither true nor false",
        hint="Compare it with something: `${{ … == … }}`.",
    ),
    ErrorType(
        name="output_not_json",
        family="data",
        means="the output cannot be written as JSON",
        hint="Convert it to text, numbers, lists and mappings.",
    ),
    ErrorType(
        name="output_too_large",
        family="data",
        means="the output has more bytes than are allowed",
        hint="Give less, or keep it elsewhere and give its address.",
    ),
    ErrorType(
        name="parse_error",
        family="data",
        means="a text is not what its format asks for",
        hint="Look at the text at that line; its format may be another one.",
    ),
    ErrorType(
        name="format_error",
        family="data",
        means="a value cannot be written in that format",
        hint="Give the value the shape that the format has room for.",
    ),
    ErrorType(
        name="invalid_data",
        family="data",
        means="a value does not fit the schema of a `validate` node, or is not what a node takes",
        hint="The message says what does not fit, and where.",
    ),
    ErrorType(
        name="invalid_schema",
        family="data",
        means="what an expression gave as a schema is no JSON Schema",
        hint="See https://json-schema.org/understanding-json-schema for what a schema may say.",
    ),
    ErrorType(
        name="bad_delay",
        family="data",
        means="no time or duration to wait for",
        hint="Write `for: 10s` or `until:` an RFC 3339 time.",
    ),
    ErrorType(
        name="flow",
        means="a control node could not do its work",
        hint="Look at what the node was given.",
    ),
    ErrorType(
        name="not_a_list",
        family="flow",
        means="`items` gave no list",
        hint="Give a list: `${{ … }}` of one, or written out.",
    ),
    ErrorType(
        name="repeat_limit",
        family="flow",
        means="a `repeat` did not come to its end within its `limit` of rounds",
        hint="Raise `limit`, or check the condition.",
    ),
    ErrorType(
        name="call",
        means="a called run did not end well",
        hint="Read the called run.",
    ),
    ErrorType(
        name="call_failed",
        family="call",
        means="the called run failed, was cancelled or ran out of time",
        hint="Read the called run.",
    ),
    ErrorType(
        name="call_depth",
        family="call",
        means="calls are nested deeper than 32",
        hint="Look for patterns that call each other in a circle.",
    ),
    ErrorType(
        name="callee_closed",
        family="call",
        means="the deployment of the called pattern is paused or archived",
        hint="Resume it first.",
    ),
    ErrorType(
        name="concurrency_full",
        family="call",
        means="the deployment's `concurrency` is full, and it says `reject`",
        hint="Raise its `limit`, or let it queue: `whenFull: queue`.",
    ),
    ErrorType(
        name="invalid_input",
        family="call",
        means="the input does not fit the schema of the pattern",
        hint="Give the `call` node another input.",
    ),
    ErrorType(
        name="invalid_output",
        family="call",
        means="the output does not fit the `outputSchema` of the pattern",
        hint="Correct the pattern's output, or its schema.",
    ),
    ErrorType(
        name="bad_answer",
        means="what a `respond` node would answer is not a valid answer",
        hint="Look at the values that its expressions gave.",
    ),
    ErrorType(
        name="failed",
        means="a `fail` node ended the run, and named no type of its own",
        hint="Read its message.",
    ),
    ErrorType(
        name="weft",
        means="Weft itself, or a machine that it runs on, failed",
        hint="The worker's log has the details.",
    ),
    ErrorType(
        name="worker_crashed",
        family="weft",
        means="three workers died while they had the run in hand",
        hint="Look at the worker's log for memory limits or crashing native code, then retry the run.",
    ),
    ErrorType(
        name="no_process",
        family="weft",
        means="the machine gave no process for a script or a command",
        hint="Look for limits of processes or memory on the worker's machine.",
    ),
    ErrorType(
        name="internal_error",
        family="weft",
        means="a defect of Weft",
        hint="The worker's log has the details.",
    ),
    ErrorType(
        name="blob_missing",
        family="weft",
        means="a large value is not where it was kept",
        hint="Bring the folder `blobs` of the data folder, or the bucket, back from a backup; then retry the run.",
    ),
    ErrorType(
        name="no_stub",
        means="in a test, a node that reaches outside has no stub",
        hint="Say in the case's `stubs` what the node gives, or how it fails.",
    ),
    ErrorType(
        name="cancelled",
        means="somebody, or a node that failed beside it, ended it early",
        hint="",
    ),
)

ERROR_TYPES: Final[Mapping[str, ErrorType]] = {one.name: one for one in _ALL}


def hint_of(error_type: str) -> str:
    """What to do about an error that brings no hint of its own; empty where nothing is known of its type."""
    known = ERROR_TYPES.get(error_type)
    return "" if known is None else known.hint


def is_a(error_type: str, families: Collection[str]) -> bool:
    """Whether the type is one of `families`, or stands below one of them."""
    return any(name in families for name in _upwards(error_type))


def _upwards(name: str) -> Iterator[str]:
    known = ERROR_TYPES.get(name)
    if known is not None:
        yield name
        if known.family is not None:
            yield known.family
        return
    while name:
        yield name
        name = name.rpartition(".")[0]
