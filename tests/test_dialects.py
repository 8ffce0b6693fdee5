"""A schema in a backend's dialect: exact, loosened by name, or refused; and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schema_answers import answers

from workflow_scripts.schemas import dialects
from workflow_scripts.schemas.dialect import CannotEnforceError, Dialect, Loosened
from workflow_scripts.schemas.reading import read_back
from workflow_scripts.schemas.validation import read_schema

Json = dict[str, Any]

DIALECTS = {
    name: value
    for name, value in vars(dialects).items()
    if isinstance(value, Dialect) and value is not dialects.LLGUIDANCE
}


def objects(properties: Json, *required: str, **more: Any) -> Json:
    return {"type": "object", "properties": properties, "required": list(required), **more}


def closed(properties: Json, *required: str) -> Json:
    return objects(properties, *required, additionalProperties=False)


TEXT, WHOLE, NULL = {"type": "string"}, {"type": "integer"}, {"type": "null"}
TREE = {
    **closed({"value": WHOLE, "child": {"$ref": "#/$defs/node"}}, "value"),
    "$defs": {"node": closed({"value": WHOLE, "child": {"$ref": "#/$defs/node"}}, "value")},
}
FACE, CARD = (
    closed({"kind": {"const": "face"}, "name": TEXT}, "kind", "name"),
    closed({"kind": {"const": "pip"}, "count": WHOLE}, "kind", "count"),
)

SENT: Mapping[str, tuple[str, Json, Json]] = {
    "optional properties are null at OpenAI, if they were not already": (
        "OPENAI",
        objects({"a": TEXT, "b": {"enum": ["x"]}, "c": {"type": ["integer", "null"]}}),
        closed(
            {
                "a": {"type": ["string", "null"]},
                "b": {"anyOf": [{"type": "string", "enum": ["x"]}, NULL]},
                "c": {"type": ["integer", "null"]},
            },
            *"abc",
        ),
    ),
    "what holds together is one": (
        "VLLM",
        {
            "allOf": [objects({"a": TEXT}, "a"), {"properties": {"a": {"maxLength": 3}, "b": {}}}],
            "properties": {"b": {"$ref": "#/$defs/few", "maximum": 5}},
            "$defs": {"few": {"type": "integer", "minimum": 1, "exclusiveMaximum": 9.5}},
        },
        closed({"b": {"type": "integer", "minimum": 1, "maximum": 5},
                "a": {"type": "string", "maxLength": 3}}, "a"),
    ),
    "keywords beside alternatives hold in each": (
        "FIREWORKS",
        objects({"a": TEXT, "b": WHOLE}, anyOf=[{"required": ["a"]}, {"required": ["b"]}]),
        {"anyOf": [closed({"a": TEXT, "b": WHOLE}, "a"), closed({"a": TEXT, "b": WHOLE}, "b")]},
    ),
    "values that break what is beside them are left out": (
        "LLAMA_CPP",
        objects({"a": {"enum": [1, "x", None, 7], "type": ["integer", "null"], "minimum": 3}}, "a"),
        closed({"a": {"enum": [None, 7]}}, "a"),
    ),
    "values of several types are alternatives": (
        "GEMINI",
        objects({"a": {"enum": ["x", 1, None]}, "b": {"enum": [True, False]}}, "a", "b"),
        closed(
            {
                "a": {
                    "anyOf": [
                        {"type": "string", "enum": ["x"]}, {"type": "integer", "enum": [1]}, NULL
                    ]
                },
                "b": {"type": "boolean"},
            },
            "a", "b",
        ),
    ),
    "alternatives of which one holds by a constant need no oneOf": (
        "OPENAI",
        objects({"card": {"oneOf": [FACE, CARD]}}, "card"),
        closed(
            {
                "card": {
                    "anyOf": [
                        closed({"kind": {"type": "string", "enum": ["face"]}, "name": TEXT},
                               "kind", "name"),
                        closed({"kind": {"type": "string", "enum": ["pip"]}, "count": WHOLE},
                               "kind", "count"),
                    ]
                }
            },
            "card",
        ),
    ),
    "keywords imply their type": (
        "ANTHROPIC",
        {"properties": {"a": {"items": {"pattern": "^x"}}}},
        closed({"a": {"type": "array", "items": {"type": "string", "pattern": "^x"}}}),
    ),
    "further properties of a pattern are further properties": (
        "LLAMA_CPP",
        {"type": "object", "patternProperties": {"^x-": WHOLE}},
        objects({}, additionalProperties=WHOLE),
    ),
    "a pattern is said as llama.cpp reads it": (
        "LLAMA_CPP",
        objects({"a": {"type": "string", "pattern": r"^\d{2}-[\w.]+$"}}, "a"),
        closed({"a": {"type": "string", "pattern": "^[0-9]{2}-[A-Za-z0-9_.]+$"}}, "a"),
    ),
    "any value has a list of types at llama.cpp": (
        "LLAMA_CPP",
        objects({"a": True}, "a"),
        closed(
            {"a": {"type": ["object", "array", "string", "number", "boolean", "null"]}}, "a"
        ),
    ),
    "the empty list is said": (
        "OPENAI",
        objects({"a": {"type": "array", "items": False}}, "a"),
        closed({"a": {"type": "array", "items": NULL, "maxItems": 0}}, "a"),
    ),
    "recursion stays": (
        "OPENAI",
        TREE,
        {
            **closed({"value": WHOLE, "child": {"anyOf": [{"$ref": "#/$defs/node"}, NULL]}},
                     "value", "child"),
            "$defs": {
                "node": closed(
                    {"value": WHOLE, "child": {"anyOf": [{"$ref": "#/$defs/node"}, NULL]}},
                    "value", "child",
                )
            },
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SENT)
def test_what_can_be_said_is_said_exactly(case: str) -> None:
    name, schema, expected = SENT[case]
    sent = DIALECTS[name].sent(schema)
    assert sent.loosened == ()
    assert sent.enforced == "exactly"
    assert json.dumps(sent.schema) == json.dumps(expected)  # the order decides answers


LOOSENED = {
    "lengths": (
        ("OPENAI", "FIREWORKS", "ANTHROPIC", "GEMINI"),
        {"type": "string", "minLength": 2}, ["minLength"],
    ),
    "bounds of numbers": (
        ("FIREWORKS", "ANTHROPIC", "LLAMA_CPP"), {"type": "number", "maximum": 2}, ["maximum"]
    ),
    "more than one entry": (
        ("FIREWORKS", "ANTHROPIC"), {"type": "array", "items": TEXT, "minItems": 2}, ["minItems"]
    ),
    "what no backend enforces": (
        tuple(DIALECTS),
        {"type": "array", "items": TEXT, "uniqueItems": True, "contains": {"const": "x"}},
        ["uniqueItems", "contains"],
    ),
    "conditions": (
        tuple(DIALECTS), {"type": "string", "not": {"const": "x"}, "if": True}, ["not", "if"]
    ),
    "a date's digits": (("VLLM", "LLAMA_CPP"), {"type": "string", "format": "date"}, ["format"]),
    "alternatives of which one must hold": (
        ("OPENAI", "VLLM"),
        {"oneOf": [{"type": "number", "minimum": 3}, {"type": "number", "maximum": 5}]},
        ["oneOf"],
    ),
    "look-around": (("OPENAI", "VLLM"), {"type": "string", "pattern": "^(?!x)"}, ["pattern"]),
    "a pattern and a length": (
        ("VLLM", "LLAMA_CPP"),
        {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3}, ["maxLength"],
    ),
    "characters that would end llama.cpp's text": (
        ("LLAMA_CPP",), {"type": "string", "pattern": "^[!-~]+$"}, ["pattern"]
    ),
    "more than llama.cpp repeats": (
        ("LLAMA_CPP",), {"type": "string", "maxLength": 3000}, ["maxLength"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOOSENED)
def test_what_cannot_be_said_is_left_out_and_named(case: str) -> None:
    names, sub, keywords = LOOSENED[case]
    for name in names:
        sent = DIALECTS[name].sent(closed({"ok/": sub}, "ok/"))
        assert list(sent.loosened) == [
            Loosened(each, f"/properties/ok~1/{each}") for each in keywords
        ]
        assert sent.enforced == "loosened"
        text = json.dumps(sent.schema)
        assert not any(f'"{each}"' in text for each in keywords if each != "format")


MAP = {"type": "object", "additionalProperties": TEXT}
REFUSED = {
    "another document": (tuple(DIALECTS), {"$ref": "https://example.org/x"}, "$ref"),
    "nothing": (tuple(DIALECTS), {"allOf": [TEXT, WHOLE]}, "type"),
    "no place": (tuple(DIALECTS), {"$ref": "#/$defs/none"}, "$ref"),
    "names that are not known": (("OPENAI", "ANTHROPIC"), MAP, "additionalProperties"),
    "any value": (("OPENAI", "ANTHROPIC"), {}, "type"),
    "recursion": (("ANTHROPIC", "LLAMA_CPP_SERVER"), {"$ref": "#"}, "$ref"),
    "a circle": (
        tuple(DIALECTS),
        {"anyOf": [TEXT, {"$ref": "#/properties/a"}]}, "$ref",
    ),
    "objects as values": (("OPENAI", "GEMINI"), {"const": {"a": 1}}, "enum"),
    "too many values": (("OPENAI",), {"enum": list(range(1001))}, "enum"),
    "too many options": (
        ("ANTHROPIC",), objects({str(number): TEXT for number in range(25)}), "required"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_said_or_left_out_is_refused_by_name(case: str) -> None:
    names, sub, keyword = REFUSED[case]
    for name in names:
        with pytest.raises(CannotEnforceError) as caught:
            DIALECTS[name].sent(closed({"a": sub}, "a"))
        assert caught.value.keyword == keyword, name


@pytest.mark.parametrize(
    "schema", [TEXT, {"type": ["object", "null"]}, {"anyOf": [closed({"a": TEXT}), closed({})]}]
)
def test_openai_wants_one_object_at_the_root(schema: Json) -> None:
    with pytest.raises(CannotEnforceError, match="the root must be one kind of object"):
        dialects.OPENAI.sent(schema)


def nested(depth: int) -> Json:
    schema: Json = TEXT
    for _ in range(depth):
        schema = closed({"a": schema}, "a")
    return schema


HOSTILE: Mapping[str, Json] = {
    "deep": nested(400),
    "alternatives that multiply": {
        "allOf": [{"anyOf": [objects({f"{n}{m}": TEXT}) for m in range(9)]} for n in range(9)]
    },
    "a definition of itself": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
    "in circles": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}, TEXT]}, "b": {"$ref": "#/$defs/a"}},
    },
    "ever longer": {
        **objects({"a": {"$ref": "#", "minProperties": 1, "description": "?"}}),
    },
    "large": objects({f"{'x' * 90}{number}": TEXT for number in range(9000)}),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("name", DIALECTS)
def test_hostile_schemas_end(case: str, name: str) -> None:
    try:
        DIALECTS[name].sent(HOSTILE[case])
    except CannotEnforceError as error:
        assert error.keyword


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (objects({"a": TEXT, "b": WHOLE}, "b"), {"a": None, "b": None}, {"b": None}),
        (objects({"a": {"type": ["string", "null"]}}), {"a": None}, {"a": None}),
        (
            TREE,
            {"value": 1, "child": {"value": 2, "child": None}},
            {"value": 1, "child": {"value": 2}},
        ),
        (
            {"type": "array", "items": {"anyOf": [WHOLE, objects({"a": TEXT})]}},
            [1, {"a": None}],
            [1, {}],
        ),
        ({"allOf": [objects({"a": TEXT}), objects({"b": TEXT})]}, {"a": None, "b": None}, {}),
        (objects({"a": TEXT}), [None], [None]),
        (objects({"a": TEXT}), {"other": None}, {"other": None}),
    ],
)
def test_nulls_that_stand_for_nothing_are_removed(schema: Json, value: Any, expected: Any) -> None:
    before = json.dumps(value)
    assert read_back(schema, value) == expected
    assert json.dumps(value) == before


# Any schema

NAMES = st.sampled_from(["a", "b", "c/d"])
NUMBERS = st.integers(-3, 9)
SCALARS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 3),
            "maxLength": st.integers(2, 5),
            "pattern": st.sampled_from(["^[a-c]+$", "x", r"^\d+$"]),
            "format": st.sampled_from(["uuid", "email"]),
        },
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={
            "minimum": NUMBERS,
            "exclusiveMinimum": NUMBERS,
            "maximum": NUMBERS,
            "multipleOf": st.just(2),
        },
    ),
    st.fixed_dictionaries({"type": st.sampled_from(["boolean", "null", ["string", "null"]])}),
    st.fixed_dictionaries(
        {"enum": st.lists(st.sampled_from([1, "a", None, True, 2.5]), min_size=1, max_size=3)}
    ),
    st.just({"$ref": "#/$defs/named"}),
    st.just({"minimum": 2}),
)  # fmt: skip


def larger(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    object_ = st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, min_size=1)},
        optional={
            "required": st.lists(NAMES, unique=True, max_size=2),
            "additionalProperties": st.one_of(st.booleans(), inner),
            "description": st.just("what it is"),
        },
    )
    array = st.fixed_dictionaries(
        {"type": st.just("array"), "items": inner},
        optional={
            "minItems": st.integers(0, 2),
            "maxItems": st.integers(1, 3),
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
        },
    )
    several = st.fixed_dictionaries(
        {
            "type": st.just("object"),
            "properties": st.dictionaries(NAMES, inner, min_size=1),
            "anyOf": st.lists(
                st.fixed_dictionaries({"required": st.lists(NAMES, min_size=1, unique=True)}),
                min_size=1,
                max_size=2,
            ),
        }
    )
    combined = st.sampled_from(["anyOf", "oneOf", "allOf"]).flatmap(
        lambda keyword: st.fixed_dictionaries({keyword: st.lists(inner, min_size=1, max_size=3)})
    )
    return st.one_of(object_, array, several, combined)


SCHEMAS = st.builds(
    lambda properties, required, named: {
        **objects(properties, *(name for name in required if name in properties)),
        "$defs": {"named": named},
    },
    st.dictionaries(NAMES, st.recursive(SCALARS, larger, max_leaves=6), min_size=1),
    st.lists(NAMES, unique=True),
    st.one_of(SCALARS, larger(SCALARS)),
)


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(SCHEMAS, st.sampled_from(sorted(DIALECTS)), st.data())
def test_answers_to_an_exact_schema_obey_the_original(
    schema: Json, name: str, data: st.DataObject
) -> None:
    try:
        sent = DIALECTS[name].sent(schema)
    except CannotEnforceError:
        return
    if sent.loosened:
        return
    by_two = jsonschema_rs.validator_for(sent.schema), jsonschema_rs.validator_for(schema)
    answer = json.loads(json.dumps(data.draw(answers(sent.schema))))
    if not by_two[0].is_valid(answer):
        return  # the strategy is only nearly right
    read = read_back(schema, answer)
    assert read_schema(schema).flaw(read) is None
    assert by_two[1].is_valid(read)
