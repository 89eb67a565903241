"""`parse`, `format`, `validate` and `log`: what they give and refuse, and that what is written reads back."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.nodes import light
from runner.nodes.base import NodeContext, NodeError
from runner.nodes.data import format_, parse, validate
from runner.nodes.formats.limits import MAX_DEPTH, MAX_TEXT
from schemas.errors import ERROR_TYPES


def context(lines: list[Any] | None = None) -> NodeContext:
    def log(level: str, message: str, /, **fields: Any) -> None:
        assert lines is not None
        lines.append((level, message, fields))

    return NodeContext(
        run_id="r1",
        path="node",
        attempt=1,
        idempotency_key="k",
        remaining=lambda: 10,
        cancelled=threading.Event(),
        log=log,
        assets=None,  # type: ignore[arg-type]
        version_id="v1",
    )


def read(format: str, text: Any, **options: Any) -> Any:
    return parse(context(), {"format": format, "text": text, **options})


def write(format: str, value: Any, **options: Any) -> Any:
    return format_(context(), {"format": format, "value": value, **options})


# What `parse` gives

VALUES: list[tuple[str, dict[str, Any], str, Any]] = [
    ("json", {}, ' {"a": [1, 2.5, null, true, "ä"]}\n', {"a": [1, 2.5, None, True, "ä"]}),
    ("json", {}, "\ufeff1", 1),
    ("csv", {}, "a,b\r\n1,2\r\n\r\n3,\r\n", [{"a": "1", "b": "2"}, {"a": "3", "b": ""}]),
    ("csv", {}, '\ufeffa\n"x""y\nz"\n', [{"a": 'x"y\nz'}]),
    ("csv", {"header": False}, "1,2\n3\n", [["1", "2"], ["3"]]),
    ("csv", {"delimiter": ";"}, "a;b\n1,5;2\n", [{"a": "1,5", "b": "2"}]),
    ("csv", {"delimiter": "\t"}, "a\tb\n1\t2\n", [{"a": "1", "b": "2"}]),
    ("csv", {}, "", []),
    ("csv", {}, "a,b\n", []),
    ("csv", {"header": False}, "x" * 200_000, [["x" * 200_000]]),
    (
        "yaml",
        {},
        "on: yes\nn: [1, 0x1f, 1.5, ~, true]\nd: 2026-01-01\n",
        {"on": "yes", "n": [1, 31, 1.5, None, True], "d": "2026-01-01"},
    ),
    ("yaml", {}, "", None),
    ("yaml", {}, "--- text\n", "text"),
    ("xml", {}, "<a>text</a>", {"a": "text"}),
    ("xml", {}, "<a/>", {"a": ""}),
    ("xml", {}, "<a> <b>1</b>\n <c x='2'/> <b>3</b> </a>", {"a": {"b": ["1", "3"], "c": {"@x": "2"}}}),
    ("xml", {}, "<a x='1'> t </a>", {"a": {"@x": "1", "#text": " t "}}),
    ("xml", {}, "<a>one <b>two</b> three</a>", {"a": {"b": "two", "#text": "one  three"}}),
    ("xml", {"lists": ["b"]}, "<a><b>1</b></a>", {"a": {"b": ["1"]}}),
    ("xml", {"lists": ["a"]}, "<a/>", {"a": ""}),
    ("xml", {}, "<s:E xmlns:s='urn:x'><s:B/></s:E>", {"s:E": {"@xmlns:s": "urn:x", "s:B": ""}}),
    (
        "xml",
        {},
        "<?xml version='1.0' encoding='ISO-8859-1'?><a>ä€&lt;<![CDATA[<&]]><!-- no --></a>",
        {"a": "ä€<<&"},
    ),
]


@pytest.mark.parametrize(("format", "options", "text", "value"), VALUES)
def test_a_text_is_read_as_the_value_that_it_holds(
    format: str, options: dict[str, Any], text: str, value: Any
) -> None:
    assert read(format, text, **options) == value


REFUSED: list[tuple[str, dict[str, Any], Any, str]] = [
    ("json", {}, '{"a": 1,\n "b": }', "line 2, column 7: "),
    ("json", {}, "", "line 1, column 1: "),
    ("json", {}, "NaN", "line 1, column 1: "),
    ("json", {}, "[" * 500 + "]" * 500, f"values are nested more than {MAX_DEPTH} deep"),
    ("json", {}, "[" * 100_000, "line 1, "),
    ("json", {}, {"a": 1}, '"text" must be text, not a mapping'),
    ("json", {}, None, '"text" must be text, not null'),
    ("json", {}, "1" * (MAX_TEXT + 1), "the text has 8,388,609 characters; 8,388,608 are allowed"),
    ("csv", {}, "a,b\n1,2\n3\n", "line 3: the row has 1 cells, and the header has 2"),
    ("csv", {}, "a,b\n1,2,3\n", "line 2: the row has 3 cells, and the header has 2"),
    ("csv", {}, "a,b,a\n", "line 1: two columns are called 'a'"),
    ("csv", {}, "a,,b\n", "line 1: column 2 has no name in the header"),
    ("csv", {}, 'a\n"1"x\n', "line 2: ',' expected after '\"'"),
    ("csv", {}, 'a\n"1\n', "line 2: unexpected end of data"),
    ("csv", {"header": False}, ",\n" * 600_000, "there are more than 1,000,000 cells"),
    ("yaml", {}, "a: [1\nb: 2\n", "line 2, column 2: while parsing a flow sequence"),
    ("yaml", {}, "a: &x 1\nb: *x\n", "line 1, column 4: &x is a YAML anchor"),
    (
        "yaml",
        {},
        "a: !!python/object:os.system x\n",
        "line 1, column 4: !!python/object:os.system is a YAML tag",
    ),
    ("yaml", {}, "a: 1\na: 2\n", "line 2, column 1: the key 'a' stands here twice"),
    ("yaml", {}, "a\n---\nb\n", "line 3: a second document begins"),
    ("yaml", {}, "[" * 40_000, "values are nested more than 100 deep"),
    ("yaml", {}, "x" * 300_000, "the text is larger than 256 KiB"),
    ("xml", {}, "<a><b></a>", "line 1, column 9: mismatched tag"),
    ("xml", {}, "", "line 1, column 1: no element found"),
    ("xml", {}, "<a>&nbsp;</a>", "line 1, column 4: undefined entity"),
    ("xml", {}, "<a>" * 200 + "</a>" * 200, "line 1, column 298: elements are nested more than 99 deep"),
    ("xml", {}, "<a>" + "<b/>" * 250_000 + "</a>", "there are more than 250,000 elements"),
]


@pytest.mark.parametrize(("format", "options", "text", "message"), REFUSED, ids=range(len(REFUSED)))
def test_a_text_that_is_not_of_its_format_is_refused_where_it_stands(
    format: str, options: dict[str, Any], text: Any, message: str
) -> None:
    with pytest.raises(NodeError) as caught:
        read(format, text, **options)
    assert caught.value.type == "parse_error"
    assert message in caught.value.message
    assert not caught.value.retryable


BOMB = "<!DOCTYPE a [<!ENTITY x 'xxxxxxxxxx'>" + "".join(
    f"<!ENTITY x{n} '{f'&x{n - 1 or str()};' * 10}'>" for n in range(1, 9)
)


@pytest.mark.parametrize(
    "declaration",
    [
        "<!DOCTYPE a>",
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
        "<!DOCTYPE a [<!ENTITY % x SYSTEM 'http://127.0.0.1/x'> %x;]>",
        f"{BOMB}]>",
    ],
)
def test_xml_brings_no_declarations_of_its_own(declaration: str) -> None:
    with pytest.raises(NodeError, match=r"line 1, column \d+: document type declarations are refused"):
        read("xml", f"{declaration}<a>&x;</a>")


# What `format` gives

TEXTS: list[tuple[str, dict[str, Any], Any, str]] = [
    ("json", {}, {"b": 1, "a": ["ä"]}, '{"b":1,"a":["ä"]}'),
    ("json", {"indent": True}, {"b": 1}, '{\n  "b": 1\n}'),
    ("csv", {}, [{"b": 1, "a": True}, {"c": None, "a": 2.5}], "b,a,c\r\n1,true,\r\n,2.5,\r\n"),
    ("csv", {"columns": ["a", "x"]}, [{"b": 1, "a": 'say "x", y'}], 'a,x\r\n"say ""x"", y",\r\n'),
    ("csv", {"header": False}, [{"a": "1\r2"}], '"1\r2"\r\n'),
    ("csv", {"delimiter": ";"}, [["a;b", "c"]], '"a;b";c\r\n'),
    ("csv", {"columns": ["n"]}, [[""], ["=1+1"]], 'n\r\n""\r\n=1+1\r\n'),
    ("csv", {}, [], ""),
    ("yaml", {}, {"b": ["no", "1e3", "012", "", "a: b"], "a": None},
     "b:\n- 'no'\n- '1e3'\n- '012'\n- ''\n- 'a: b'\na: null\n"),
    ("xml", {}, {"a": {"@x": 'q"\n', "b": [1, True, None, {}], "#text": "<&"}},
     '<?xml version="1.0" encoding="UTF-8"?>\n<a x="q&quot;&#10;">&lt;&amp;<b>1</b><b>true</b><b/><b/></a>'),
]  # fmt: skip


@pytest.mark.parametrize(("format", "options", "value", "text"), TEXTS)
def test_a_value_is_written_in_its_format(
    format: str, options: dict[str, Any], value: Any, text: str
) -> None:
    assert write(format, value, **options) == text


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = {"a": value}
    return value


UNWRITABLE: list[tuple[str, dict[str, Any], Any, str]] = [
    ("json", {}, 2**70, "the value is not JSON: Integer exceeds 64-bit range"),
    ("csv", {}, {"a": 1}, "CSV is made of a list of rows, not of a mapping"),
    ("csv", {}, [{"a": 1}, [1]], "row 2 must be a mapping, as the first one is, not a list"),
    ("csv", {}, [[1], 2], "row 2 must be a list, not a number"),
    ("csv", {}, [[1], []], "row 2 is empty"),
    ("csv", {}, [{}], "row 1 is empty"),
    ("csv", {}, [{"a": 1, "b": [1]}], "row 1, column 2: a list cannot stand in a cell"),
    ("yaml", {}, "\0", "a text holds a NUL character"),
    ("yaml", {}, "\ud800", "the value holds half of a surrogate pair"),
    ("yaml", {}, nested(102), "values are nested more than 100 deep"),
    ("yaml", {}, "x" * 300_000, "262,144 are allowed"),
    ("xml", {}, "x", "XML is made of a mapping with one key"),
    ("xml", {}, {"a": 1, "b": 2}, "XML is made of a mapping with one key"),
    ("xml", {}, {"a": [1]}, '"a" is the root, of which there is one: it cannot be a list'),
    ("xml", {}, {"a b": 1}, "'a b' cannot be a name in XML"),
    ("xml", {}, {"a": {"@x y": 1}}, "'x y' cannot be a name in XML"),
    ("xml", {}, {"a": {"@x": [1]}}, '"@x" must be text, not a list'),
    ("xml", {}, {"a": {"b": [[1]]}}, '"b": XML has no list within a list'),
    ("xml", {}, {"a": "\x01"}, '"#text" holds U+0001, which XML forbids'),
    ("xml", {}, nested(102), "values are nested more than 100 deep"),
]  # fmt: skip


@pytest.mark.parametrize(("format", "options", "value", "message"), UNWRITABLE, ids=range(len(UNWRITABLE)))
def test_a_value_that_a_format_has_no_room_for_is_refused(
    format: str, options: dict[str, Any], value: Any, message: str
) -> None:
    with pytest.raises(NodeError) as caught:
        write(format, value, **options)
    assert caught.value.type == "format_error"
    assert message in caught.value.message
    assert not caught.value.retryable


# What is written reads back

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
plain = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
plain = plain | st.floats(allow_nan=False, allow_infinity=False) | texts
json_values = st.recursive(
    plain, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=25
)


@given(json_values, st.booleans())
def test_json_reads_back_as_it_was(value: Any, indent: bool) -> None:
    assert read("json", write("json", value, indent=indent)) == value


@given(json_values)
def test_yaml_reads_back_as_it_was(value: Any) -> None:
    back = read("yaml", write("yaml", value))
    assert (back, repr(back)) == (value, repr(value)), "1, 1.0 and True are equal, and are not the same"


LOOKALIKES = [
    "~",
    "yes",
    "Yes",
    "no",
    "on",
    "off",
    "null",
    "Null",
    "true",
    "TRUE",
    "0o17",
    "0x1F",
    "1e3",
    "1_000",
    "1:30",
    ".5",
    "5.",
    "+1",
    "-0",
    ".inf",
    "-",
    "?",
    ":",
    "<<",
    "=",
    "2026-01-01",
]


BREAKS = ["\x85", "\u2028", "\u2029", "\ufeff", "\r", "\t", "\x7f", "\x01", "a\n\x85\nb", "\n a\n", "a\n\n"]


@pytest.mark.parametrize("text", ["", *LOOKALIKES, *BREAKS])
def test_yaml_quotes_what_looks_like_something_else(text: str) -> None:
    assert read("yaml", write("yaml", {text: text})) == {text: text}


cells = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.lists(cells, min_size=1)), st.sampled_from(",;\t| x"))
def test_rows_of_csv_read_back_as_they_were(rows: list[list[str]], delimiter: str) -> None:
    options = {"delimiter": delimiter, "header": False}
    assert read("csv", write("csv", rows, **options), **options) == rows


@given(st.lists(cells.filter(bool), min_size=1, unique=True), st.data())
def test_mappings_of_csv_read_back_as_they_were(names: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, cells)), min_size=1))
    back = read("csv", write("csv", rows, columns=names))
    assert back == [
        {name.removeprefix("\ufeff") if at == 0 else name: row[name] for at, name in enumerate(names)}
        for row in rows
    ]


names = st.from_regex(r"[A-Za-z_é][A-Za-z0-9_.\-é]{0,5}", fullmatch=True)
xml_texts = st.text(
    st.characters(
        exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff", include_characters="\t\n\r"
    )
)


def _with_text(content: tuple[dict[str, Any], dict[str, str], str]) -> Any:
    elements, attributes, text = content
    whole = {**elements, **{f"@{name}": value for name, value in attributes.items()}}
    text = text.strip() if elements else text
    if not whole:
        return text
    return whole | ({"#text": text} if text else {})


def _elements(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    children = st.dictionaries(names, inner | st.lists(inner, min_size=2, max_size=3), max_size=3)
    return st.tuples(children, st.dictionaries(names, xml_texts, max_size=2), xml_texts).map(_with_text)


@given(names, st.recursive(xml_texts, _elements, max_leaves=10))
def test_xml_reads_back_as_it_was(name: str, value: Any) -> None:
    assert read("xml", write("xml", {name: value})) == {name: value}


@given(st.sampled_from(["json", "csv", "yaml", "xml"]), st.text())
def test_any_text_is_read_or_refused_and_nothing_else(format: str, text: str) -> None:
    try:
        value = read(format, text)
    except NodeError:
        return
    if value is not None and value != []:
        assert read(format, write(format, value)) == value


# validate and log

ORDER = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "n": {"minimum": 1}}}


def test_a_value_that_fits_its_schema_goes_on() -> None:
    value = {"id": "a", "n": 2}
    assert validate(context(), {"value": value, "schema": ORDER}) == value
    assert validate(context(), {"value": None, "schema": True}) is None


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        (ORDER, {"n": 0}, '"id" is a required property; n: 0 is less than the minimum of 1'),
        (ORDER, "x", '"x" is not of type "object"'),
        (False, 1, "False schema does not allow 1"),
        ({"pattern": "^\\p{L}+$"}, "1", '"1" does not match "^\\p{L}+$"'),
    ],
)
def test_a_value_that_does_not_fit_ends_with_all_the_reasons(schema: Any, value: Any, message: str) -> None:
    with pytest.raises(NodeError) as caught:
        validate(context(), {"value": value, "schema": schema})
    assert (caught.value.type, caught.value.retryable) == ("invalid_data", False)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 40 + "!", "does not match"),
        ({"pattern": "^(?!b)(a+)+$"}, "a" * 40 + "!", "does not match"),
        (
            {"items": ORDER, "uniqueItems": True},
            [{"n": str(n)} for n in range(50_000)],
            '[0]: "id" is a required',
        ),
    ],
)
def test_no_value_decides_how_long_it_takes_to_explain_it(schema: Any, value: Any, message: str) -> None:
    began = time.process_time()
    with pytest.raises(NodeError) as caught:
        validate(context(), {"value": value, "schema": schema})
    assert message in caught.value.message
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "objekt"}, "'objekt' is not valid"),
        ({"$ref": "http://127.0.0.1/schema"}, "`$ref` leads out of the document"),
        (["object"], "a list is no JSON Schema"),
    ],
)
def test_a_schema_that_is_none_is_told_apart_from_a_value_that_does_not_fit(
    schema: Any, message: str
) -> None:
    with pytest.raises(NodeError) as caught:
        validate(context(), {"value": 1, "schema": schema})
    assert caught.value.type == "invalid_schema"
    assert message in caught.value.message


def test_a_log_line_has_its_level_its_text_and_its_fields() -> None:
    lines: list[Any] = []
    fields = {"level": "high", "message": "same names", "n": [1]}
    assert light.log(context(lines), {"message": "a"}) is None
    light.log(context(lines), {"message": {"a": 1}, "level": "error", "fields": fields})
    assert lines == [("info", "a", {}), ("error", '{"a":1}', fields)]


@pytest.mark.parametrize("wrong", [{"level": "loud"}, {"level": 3}, {"fields": [1]}])
def test_a_log_line_that_cannot_be_written_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(NodeError) as caught:
        light.log(context([]), {"message": "a", **wrong})
    assert (caught.value.type, caught.value.retryable) == ("invalid_data", False)


@pytest.mark.parametrize("name", ["parse_error", "format_error", "invalid_data", "invalid_schema"])
def test_the_errors_of_data_are_one_family(name: str) -> None:
    assert ERROR_TYPES[name].family == "data"
