"""Schemas and replies: verdicts like a second validator's, and nothing that hangs or raises."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workflow_scripts.schemas.formats import FORMATS
from workflow_scripts.schemas.patterns import PatternError, found
from workflow_scripts.schemas.reply import read_reply
from workflow_scripts.schemas.validation import MAX_CHARACTERS, SchemaError, identity, read_schema

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([1.0, 0.3, 1e300]),
    st.sampled_from(["", "a", "b", "a\n", "ä", "٣", "2024-02-29", "x y"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "x"]), inner)
    ),
    max_leaves=6,
)
PATTERNS = st.sampled_from(["^a$", r"^\w+$", r"\d", "^[^x]*$", "a|b$", r"\s", r"^\S*$", "(?=a)."])


def schemas() -> st.SearchStrategy[Any]:
    def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        names = st.sampled_from(["a", "b"])
        some = st.lists(inner, min_size=1, max_size=2)
        return st.fixed_dictionaries(
            {},
            optional={
                "properties": st.dictionaries(names, inner, max_size=2),
                "patternProperties": st.dictionaries(PATTERNS, inner, max_size=1),
                "additionalProperties": inner,
                "required": st.lists(names, unique=True),
                "items": inner,
                "prefixItems": some,
                "contains": inner,
                "anyOf": some,
                "oneOf": some,
                "not": inner,
                "dependentRequired": st.just({"a": ["b"]}),
            },
        )

    leaves = st.one_of(
        st.booleans(),
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(["integer", "number", "string", "object", "array", "null"]),
                "enum": st.lists(VALUES, min_size=1, max_size=3),
                "const": VALUES,
                "minimum": st.integers(-1, 1),
                "multipleOf": st.sampled_from([2, 0.1, 0.3]),
                "maxLength": st.integers(0, 2),
                "pattern": PATTERNS,
                "format": st.sampled_from(sorted(FORMATS)),
                "uniqueItems": st.booleans(),
                "minProperties": st.integers(0, 2),
            },
        ),
    )
    return st.recursive(leaves, grown, max_leaves=5).filter(lambda schema: isinstance(schema, dict))


@given(schema=schemas(), value=VALUES)
@settings(max_examples=100)
@example(schema={"pattern": "^a$"}, value="a\n")
@example(schema={"multipleOf": 0.1}, value=0.3)
@example(schema={"enum": [[1]]}, value=[True])
@example(schema={"uniqueItems": True}, value=[1, True, 1.0])
def test_verdicts_are_those_of_a_second_validator(schema: dict[str, Any], value: Any) -> None:
    other = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    assert (read_schema(schema).flaw(value) is None) == other.is_valid(value)


FORMATTED = {
    "date": ["2024-02-29", "2023-02-29", "2024-2-9", "٢٠٢٤-01-01"],
    "time": ["10:00:00Z", "23:59:60Z", "22:59:60Z", "22:59:60-01:00", "24:00:00Z", "10:00:00"],
    "date-time": ["2024-02-29T10:00:00+02:00", "2024-02-29 10:00:00Z", "2023-02-29T10:00:00Z"],
    "duration": ["P1Y2M", "P1W", "PT1S", "P", "PT", "P1YT", "P1W2D", "P1D2H", "P1Y1D", "PT1H1S"],
    "email": ["a@b.c", "a@", "@b", "a b@c", "a..b@c", '"a b"@c.d', "a@[127.0.0.1]", "a@-b.c"],
    "hostname": ["a.b", "-a", "a-", "a..b", "a" * 64, "a_b", "1.2"],
    "ipv4": ["1.2.3.4", "01.2.3.4", "1.2.3", "1.2.3.256"],
    "ipv6": ["::1", "1::2::3", "::ffff:1.2.3.4", "fe80::1%eth0", "1:2:3:4:5:6:7"],
    "json-pointer": ["", "/a~1b", "a", "/~2"],
    "regex": ["a+", "(", "[a"],
    "relative-json-pointer": ["0", "1/a", "0#", "01", "/a"],
    "uri": ["http://a/b?c#d", "a/b", "http://[::1]/", "urn:a:b", "http://a b", "http://a/%zz", ":"],
    "uri-reference": ["a/b", "//a", "#x", "a b", "\\a", "http://a"],
    "uuid": ["12345678-1234-1234-1234-123456789abc", "123456781234123412341234567890ab"],
}


@pytest.mark.parametrize("name", sorted(FORMATTED))
def test_formats_are_those_of_a_second_validator(name: str) -> None:
    schema = {"format": name}
    other = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    for text in FORMATTED[name]:
        assert (read_schema(schema).flaw(text) is None) == other.is_valid(text), text
    assert FORMATTED.keys() == FORMATS.keys()


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("^a$", ["a"], ["a\n", "b\na"]),
        (r"^\d\w$", ["1a"], ["٣a", "1ä"]),
        (r"^[\d\s]\D$", ["1a", "\ufeffa"], ["11", "\x1ca"]),
        (r"^\p{Lu}\u00e4\u{1F600}\ud83d\ude00$", ["Ää😀😀"], ["ää😀😀"]),
        (r"^[a&&b[~|-]$", ["&", "[", "~", "|", "-"], ["c"]),
        (r"\bx\b", ["x", "äx"], ["ax"]),
        (r"^(?<n>a)\k<n>\cA\0$", ["aa\x01\x00"], ["ab\x01\x00"]),
    ],
)
def test_patterns_are_those_of_ecma_262(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    assert all(found(pattern, text) for text in matching)
    assert not any(found(pattern, text) for text in others)


@pytest.mark.parametrize("pattern", ["(", r"\Z", r"\h", "(?i)a", "a++", "[]", "\\", r"\u{ffffff}"])
def test_other_dialects_are_no_patterns(pattern: str) -> None:
    with pytest.raises(PatternError):
        found(pattern, "a")


def deep(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth // 2):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "place", "problem"),
    [
        ({"type": "text"}, "/type", "no JSON Schema of 2020-12"),
        ({"properties": {"a": {"minimum": "1"}}}, "/properties/a/minimum", "no JSON Schema"),
        ({"properties": {"a/b": {"pattern": "("}}}, "/properties/a~1b/pattern", "ECMA-262"),
        ({"patternProperties": {"[": {}}}, "/patternProperties", "ECMA-262"),
        ({"$ref": "https://example.org/x.json"}, "/$ref", "nothing is fetched"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "/$ref", "nothing is fetched"),
        ({"$id": "https://a.b/c", "items": {"$ref": "d"}}, "/items/$ref", "nothing is fetched"),
        ({"$ref": "#/a", "a": {}}, "/$ref", "a place that has no schema"),
        ({"anyOf": [{"dependencies": {"a": ["b"]}}]}, "/anyOf/0/dependencies", "dependentRequired"),
        ({"$schema": "https://example.org/own"}, "/$schema", "no draft"),
        ({"items": [{}]}, "/items", "no JSON Schema of 2020-12"),
        (
            {"unevaluatedProperties": False, "patternProperties": {"a": {}}},
            "/unevaluatedProperties",
            "not supported",
        ),
        (deep(200), "", "nested more than"),
        ({"description": "x" * 1_000_000}, "", f"at most {MAX_CHARACTERS}"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(
    schema: dict[str, Any], place: str, problem: str
) -> None:
    with pytest.raises(SchemaError) as caught:
        read_schema(schema)
    assert caught.value.pointer == place
    assert problem in caught.value.problem


def test_a_schema_in_a_schema_is_validated_by_the_same_rules() -> None:
    """`jsonschema` goes on with its own class where it meets ``$schema``."""
    inner = {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^a$"}
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": {"a": inner}}
    flaw = read_schema({**schema, "properties": {"x": {"$ref": "#/$defs/a"}}}).flaw({"x": "a\n"})
    assert flaw is not None
    assert flaw.pointer == "/x"


def test_hostile_schemas_and_answers_end() -> None:
    slow = read_schema({"properties": {"a": {"pattern": "^(a|aa)+$"}}})
    with pytest.raises(SchemaError, match="takes too long"):
        slow.flaw({"a": "a" * 60 + "!"})
    again = read_schema({"$ref": "#"}).flaw({})
    assert again is not None
    doubling = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(30)}
    many = read_schema({"$defs": {**doubling, "d30": {}}, "$ref": "#/$defs/d0"}).flaw({})
    assert many is not None
    assert "steps" in many.problem
    unique = read_schema({"properties": {"a": {"uniqueItems": True}}})
    assert unique.flaw({"a": [{"a": number} for number in range(30_000)]}) is None
    huge = read_schema({"properties": {"a": {"multipleOf": 0.5}}})
    assert huge.flaw({"a": 10**4000}) is None
    large = read_schema({"additionalProperties": {"type": "integer"}}).flaw({"a": "x" * 1_000_000})
    assert large is not None
    assert len(large.problem) < 300


@given(VALUES, VALUES)
def test_values_are_identical_as_json_schema_compares_them(one: Any, two: Any) -> None:
    equal = jsonschema_rs.Draft202012Validator({"const": one}).is_valid(two)
    assert (identity(one) == identity(two)) == equal


OBJECTS = st.dictionaries(st.text(max_size=5), VALUES | st.text(), max_size=4)
WORDS = st.text(st.characters(exclude_characters="{}[]", exclude_categories=["Cs"]), min_size=1)


@given(value=OBJECTS, before=WORDS, behind=WORDS, indent=st.sampled_from([None, 2]))
@example(value={"a": "{"}, before='He said "{name}": ', behind="```", indent=None)
@example(value={"a": '"'}, before="```json\n", behind="\n```", indent=2)
@example(value={"a": "\x00\\"}, before="x", behind='"', indent=None)
def test_an_object_is_read_whatever_is_around_it(
    value: dict[str, Any], before: str, behind: str, indent: int | None
) -> None:
    text = json.dumps(value, indent=indent)
    alone, wrapped = read_reply(f"\n{text}\n"), read_reply(f"{before}x{text}x{behind}")
    assert (alone.form, alone.value) == ("valid", value)
    assert (wrapped.form, wrapped.value) == ("wrapped", value)
    assert read_reply(f"{text} and {text}").form == "invalid"
    assert read_reply(f"{before}[{text}]").form == "invalid"
    cut = read_reply(before + text[:-1], cut_off=True)
    assert (cut.form, cut.value) == ("truncated", None)
    assert read_reply(before + text[:-1]).form == "invalid"


@given(st.text(st.sampled_from('{}[]":,\\ a1\n\ud800\x00') | st.characters(), max_size=40))
def test_whatever_is_read_as_an_object_is_json(text: str) -> None:
    reply = read_reply(text)
    assert (reply.value is None) == (reply.form in ("invalid", "truncated")) == bool(reply.problem)
    if reply.form == "valid":
        assert json.loads(text.strip("\ufeff \t\r\n")) == reply.value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no object"),
        ("Sorry, {name}.", "no object"),
        ('"{}"', ""),
        ("{'a': 1}", "no object"),
        ('{"a": 1, "a": 1}', "'a' is in one object twice"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "'b' is in one object twice"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": -Infinity}', "-Infinity is no JSON"),
        ('{"a": 1e999}', "too large"),
        ('{"a": ' + "9" * 5000 + "}", "too large"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"a": "\ud800"}', "surrogate"),
        ('{"a": 1,}', "no JSON"),
        ('{"a": {"b": 1}, "c": oops}', "no JSON"),
        ('{"a": "\n"}', "no JSON"),
        ('{"a": ' * 100_000, "nested more than"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested more than"),
        ('{"a": "' + '\\"' * 500_000, "has no end"),
        ("{}" * 500_000, "several objects"),
        ("{" * 1_000_000, "no object"),
        ('{ "' * 300_000, "nested more than"),
        ("{" + ",".join(f'"{i}": 1' for i in range(100_000)) + ', "7": 1}', "'7' is in one"),
    ],
)
def test_what_is_no_single_object_is_invalid(text: str, problem: str) -> None:
    reply = read_reply(text)
    if problem:
        assert reply.form == "invalid"
        assert problem in reply.problem
    assert read_reply(f'{{"a": "{"x" * 1_000_000}"}}').form == "valid"
