"""Structured outputs: items, requests in each mode, and scores against a computation of its own."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Decoding, Message, Prediction, custom_id
from workflow_scripts.datasets.items import read_items
from workflow_scripts.datasets.source import Source
from workflow_scripts.requests.parts import BuildSettings, requests
from workflow_scripts.schemas.names import unknown_names
from workflow_scripts.scoring.items import TrialScorer
from workflow_scripts.tasks.registry import TASKS
from workflow_scripts.tasks.settings import ScoreSettings
from workflow_scripts.tasks.structured import StructuredItem, StructuredOptions
from workflow_scripts.tasks.structured_fields import Rules, compare
from workflow_scripts.tasks.task import Score

NAME = "structured"
TASK = TASKS[NAME]
SYSTEM = [Message(role="system", content="Be brief.")]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "price": {"type": "number"},
        "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}},
        "home": {"type": "object", "properties": {"city": {"type": "string"}}},
        "when": {"type": "string", "format": "date"},
    },
    "required": ["name"],
    "additionalProperties": False,
}
EXPECTED: dict[str, Any] = {
    "name": "Ann", "age": 30, "price": 1.5, "tags": ["a", "b"], "home": {"city": "Oslo"}
}  # fmt: skip


def item(
    expected: dict[str, Any], rules: dict[str, Any] | None = None, **fields: Any
) -> StructuredItem:
    return StructuredItem.model_validate(
        {
            "id": "1", "dataset": "d", "cluster_id": "1", "question": "Who?", "schema": SCHEMA,
            "expected": expected, "rules": rules or {}, **fields,
        }
    )  # fmt: skip


def score(of: StructuredItem, response: str, finish_reason: str = "stop") -> Score:
    prediction = Prediction(
        custom_id=custom_id("d", "1", "control", "0.0", 0, NAME),
        dataset="d",
        item_id="1",
        condition="control",
        temp="0.0",
        sample_index=0,
        type=NAME,
        request_id="r",
        finish_reason=finish_reason,
        response_text=response,
    )
    settings = ScoreSettings.model_validate({"unsupported": {}, "abstention_phrases": []})
    (row,) = TrialScorer([NAME], {of.key: of}, settings).outcomes([prediction], [])
    return Score(
        outcome=row.outcome,
        metrics={each.name: row.number(each.name) for each in TASK.metrics},
        details={name: row.column(name) for name in TASK.details},
    )


# ---- The fields, against a computation of its own.


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], str]]:
    """Each field with the text of its value; numbers that are equal have the same text."""
    if isinstance(value, dict) and value:
        return [leaf for name, each in value.items() for leaf in leaves(each, (*path, name))]
    if isinstance(value, list) and value:
        return [leaf for at, each in enumerate(value) for leaf in leaves(each, (*path, at))]
    number = isinstance(value, float) and value.is_integer()
    return [(path, json.dumps(int(value) if number else value))]


@pytest.mark.parametrize(
    ("given", "accuracy", "f1", "exact"),
    [
        (EXPECTED, 1, 1, True),
        (dict(reversed(EXPECTED.items())), 1, 1, True),  # the order of names
        ({**EXPECTED, "age": 30.0}, 1, 1, True),  # numbers
        ({**EXPECTED, "age": "30"}, 5 / 6, 10 / 12, False),
        ({**EXPECTED, "age": True}, 5 / 6, 10 / 12, False),
        ({**EXPECTED, "age": None}, 5 / 6, 10 / 12, False),
        ({"name": "Ann", "age": 30}, 2 / 6, 4 / 8, False),  # missing
        ({**EXPECTED, "note": "x", "size": [1, 2]}, 1, 12 / 15, False),  # extra
        ({**EXPECTED, "home": {"city": "oslo"}}, 5 / 6, 10 / 12, False),  # nested
        ({**EXPECTED, "home": {"city": "Oslo", "zip": 1}}, 1, 12 / 13, False),
        ({**EXPECTED, "home": {"zip": {"a": 1}}}, 5 / 6, 10 / 12, False),
        ({**EXPECTED, "home": "Oslo"}, 5 / 6, 10 / 12, False),
        ({**EXPECTED, "name": {"first": "Ann"}}, 5 / 6, 10 / 12, False),
        ({**EXPECTED, "tags": ["b", "a"]}, 4 / 6, 8 / 12, False),  # lists by position
        ({**EXPECTED, "tags": ["a"]}, 5 / 6, 10 / 11, False),
        ({**EXPECTED, "tags": ["a", "b", "c"]}, 1, 12 / 13, False),
        ({**EXPECTED, "tags": []}, 4 / 6, 8 / 10, False),
        ({**EXPECTED, "name": "Ann\u0301"}, 5 / 6, 10 / 12, False),  # unicode
        ({}, 0, 0, False),
    ],
)
def test_scores_of_hand_made_pairs(
    given: dict[str, Any], accuracy: float, f1: float, exact: bool
) -> None:
    found = score(item(EXPECTED), json.dumps(given))
    assert found.metrics["field_accuracy"] == pytest.approx(accuracy)
    assert found.metrics["field_f1"] == pytest.approx(f1)
    assert found.metrics["exact"] == float(exact)


SCALARS = st.sampled_from([None, True, 0, 1, 1.0, 2.5, "", "a", "é"])
OBJECTS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(st.sampled_from(["a", "b"]), inner, min_size=1)
        ),
        max_leaves=5,
    ),
)


@given(OBJECTS, OBJECTS)
def test_fields_are_those_of_two_flat_lists(expected: Any, answer: Any) -> None:
    """Right are the fields that both have; the others of either are missing, wrong or extra."""
    marks = Counter(each.mark for each in compare(expected, answer, Rules({})))
    wanted, given = Counter(leaves(expected)), Counter(leaves(answer))
    assert marks["right"] == sum((wanted & given).values())
    assert marks["wrong"] + marks["missing"] == sum((wanted - given).values())


@pytest.mark.parametrize(
    ("rules", "change", "right"),
    [
        ({"/age": {"tolerance": 2}}, {"age": 32}, True),
        ({"/age": {"tolerance": 2}}, {"age": 33}, False),
        ({"/price": {"tolerance": 0.1}}, {"price": 1.6}, True),
        ({"/price": {"tolerance": 0.1}}, {"price": 10**400}, False),
        ({"/price": {"tolerance": 0.1}}, {"price": "1.5"}, False),
        ({"/name": "normalised"}, {"name": " the ＡＮＮ. "}, True),
        ({"/name": "normalised"}, {"name": "Anna"}, False),
        ({"/home": "ignore"}, {"home": {"city": 5, "b": 1}}, True),
        ({"/when": "ignore"}, {"when": "2024-01-01"}, True),
        ({"/tags": "set"}, {"tags": ["b", "a"]}, True),
        ({"/tags": "set"}, {"tags": ["b", "a", "a"]}, False),
        ({"/tags": "set", "/tags/*": "normalised"}, {"tags": ["B", "a"]}, True),
        ({"/tags/*": "normalised"}, {"tags": ["A", "B"]}, True),
        ({"/tags/1": "ignore"}, {"tags": ["a"]}, True),
        ({"/tags": "set"}, {"tags": "a"}, False),
    ],
)
def test_rules_change_what_counts(
    rules: dict[str, Any], change: dict[str, Any], right: bool
) -> None:
    of = item(EXPECTED, rules)
    assert (score(of, json.dumps({**EXPECTED, **change})).metrics["exact"] == 1.0) == right
    assert score(of, json.dumps(EXPECTED)).metrics["exact"] == 1.0


def test_sets_of_objects_are_compared_entry_by_entry() -> None:
    rules = Rules({"/l": "set", "/l/*/note": "ignore"})
    expected = {"l": [{"a": 1, "note": "x"}, {"a": 2}, {"a": 2}]}
    given = {"l": [{"a": 2}, {"a": 1.0, "note": "y"}, {"a": 3}, {"a": 2}]}
    assert [each.mark for each in compare(expected, given, rules)] == ["right"] * 3 + ["extra"]


@pytest.mark.parametrize(
    ("response", "finish_reason", "outcome", "form", "valid"),
    [
        (json.dumps(EXPECTED), "stop", "correct", "valid", True),
        (f"```json\n{json.dumps(EXPECTED)}\n```", "stop", "correct", "wrapped", True),
        (f"<think>{{}}</think>{json.dumps(EXPECTED)}", "stop", "correct", "valid", True),
        (f"Answer: 1\n{json.dumps(EXPECTED, indent=1)}", "stop", "correct", "wrapped", True),
        (json.dumps(EXPECTED), "length", "correct", "valid", True),
        (json.dumps({"name": "Bob"}), "stop", "wrong", "valid", True),
        (json.dumps({**EXPECTED, "when": "2023-02-29"}), "stop", "wrong", "valid", False),
        (json.dumps({**EXPECTED, "x": 1}), "stop", "wrong", "valid", False),
        (json.dumps(EXPECTED)[:-3], "length", "truncated", "truncated", False),
        (json.dumps(EXPECTED)[:-3], "stop", "wrong", "invalid", False),
        ("I'm sorry, but I can't help with that.", "stop", "refused", "invalid", False),
        ("", "refused:safety", "refused", "invalid", False),
        ("", "stop", "empty", "invalid", False),
        ("", "length", "truncated", "truncated", False),
        ("Ann.", "stop", "wrong", "invalid", False),
        ('{"name": "\\ud800"}', "stop", "wrong", "invalid", False),
        ('{"name": "a\\u0000"}', "stop", "wrong", "valid", True),
        ('{"name": "' + "x" * 1_000_000 + '"}', "stop", "wrong", "valid", True),
        ('{"home": ' * 100_000, "stop", "wrong", "invalid", False),
    ],
)
def test_each_response_has_an_outcome(
    response: str, finish_reason: str, outcome: str, form: str, valid: bool
) -> None:
    found = score(item(EXPECTED), response, finish_reason)
    assert (found.outcome, found.details["reply_form"]) == (outcome, form)
    assert found.metrics["schema_valid"] == float(valid)
    assert bool(found.details["reply_flaw"]) == (not valid)


def test_a_pattern_that_explodes_names_its_item() -> None:
    schema = {"properties": {"name": {"pattern": "^(a|aa)+$"}}}
    with pytest.raises(UserError, match=r"item 'd\|1': schema, .* takes too long"):
        score(item({"name": "a"}, schema=schema), json.dumps({"name": "a" * 60 + "!"}))


@pytest.mark.parametrize(
    ("schema", "value", "unknown"),
    [
        ({"properties": {"x": {"enum": ["a"]}}}, {"x": "b", "y": "c"}, ["b"]),
        ({"properties": {"x": {"items": {"enum": ["a"]}}}}, {"x": ["a", "b", "b", 1]}, ["b"]),
        ({"properties": {"x": {"anyOf": [{"enum": ["a"]}, {"type": "null"}]}}}, {"x": "b"}, ["b"]),
        ({"properties": {"x": {"anyOf": [{"enum": ["a"]}, {"type": "string"}]}}}, {"x": "b"}, []),
        ({"properties": {"x": {"oneOf": [{"const": "a"}, {"enum": ["b"]}]}}}, {"x": "b"}, []),
        ({"properties": {"x": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"enum": ["a"]}}},
         {"x": "b"}, ["b"]),
        ({"anyOf": [{"properties": {"t": {"const": "a"}}}, {"properties": {"t": {"const": "b"}}}]},
         {"t": "b"}, []),
        ({"additionalProperties": {"enum": ["a"]}}, {"x": "b"}, ["b"]),
        ({"$ref": "#"}, {"x": "b"}, []),
    ],
)  # fmt: skip
def test_unknown_names_are_outside_of_each_list(
    schema: dict[str, Any], value: dict[str, Any], unknown: list[str]
) -> None:
    assert unknown_names(schema, value) == unknown


def test_unknown_names_are_counted_and_named() -> None:
    found = score(item(EXPECTED), json.dumps({**EXPECTED, "tags": ["a", "z"]}))
    assert found.metrics["unknown_names"] == 1
    assert json.loads(str(found.details["names_outside"])) == ["z"]
    assert "'z'" in str(found.details["reply_flaw"])
    assert str(found.details["reply_flaw"]).startswith("/tags/1: ")


# ---- Requests.


@pytest.mark.parametrize(
    ("json_option", "described", "enforced"),
    [
        ("described", True, False),
        ("enforced", False, True),
        ("both", True, True),
        ("off", False, False),
        (False, False, False),  # how YAML reads off
    ],
)
def test_the_schema_is_where_the_option_says(
    json_option: str | bool, described: bool, enforced: bool
) -> None:
    settings = BuildSettings.model_validate(
        {
            "task": NAME, "temp": "0.0", "samples_per_item": 1, "seed": 1, "parts": ["000"],
            "decoding": {"max_new_tokens": {NAME: 8}, "top_p": None, "top_k": None, "stop": []},
            "templates": {}, "options": {"json": json_option},
        }
    )  # fmt: skip
    question = TASK.questions_of(item(EXPECTED, context="Ann is 30."))
    (made,) = requests([question], "control", SYSTEM, {"d": TASK.template}, settings)
    described_text = f"The object must obey this JSON Schema:\n{json.dumps(SCHEMA)}\n\n"
    assert made.messages[1].content == (
        "Answer with one JSON object and nothing else.\n\n"
        f"{described_text if described else ''}Text: Ann is 30.\n\nQuestion: Who?"
    )
    assert made.decoding.json_schema == (SCHEMA if enforced else None)
    assert list((made.decoding.json_schema or SCHEMA)["properties"]) == list(SCHEMA["properties"])
    line = made.model_dump_json(exclude_none=True)
    assert Decoding.model_validate(json.loads(line)["decoding"]) == made.decoding


def test_a_paragraph_whose_field_stands_for_nothing_is_left_out() -> None:
    question = TASK.questions_of(item(EXPECTED))
    template = "{question}\nas JSON\n\n# Text\n{context}\n\n# Schema\n{schema}"
    (_, user) = TASK.messages(question, template, SYSTEM, StructuredOptions(json="off"))
    assert user.content == "Who?\nas JSON"
    assert TASK.read_template(Path("prompts/tasks/structured.txt")) == TASK.template


# ---- Items.


def read(folder: Path, *lines: str, name: str = "d.jsonl") -> list[StructuredItem]:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    items = read_items(Source("d", folder / name), name.partition(".")[2], TASK)
    return [each for each in items if isinstance(each, StructuredItem)]


def line(**fields: Any) -> str:
    return json.dumps({"id": "1", "question": "Who?", "schema": SCHEMA, **fields})


def test_a_csv_file_has_a_column_for_each_field(tmp_path: Path) -> None:
    (tmp_path / "a.schema.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    one, two = read(
        tmp_path,
        "id,question,schema,rules,expected.name,expected.age,expected.tags,expected.home.city",
        '1,Who?,a.schema.json,"{""/age"": {""tolerance"": 1}}",Ann,30,"[""a""]",Oslo',
        '2,Who?,a.schema.json,,"""12""",,,',
        name="d.csv",
    )
    assert one.expected == {"name": "Ann", "age": 30, "tags": ["a"], "home": {"city": "Oslo"}}
    assert (one.schema, one.rules["/age"].tolerance) == (SCHEMA, 1)  # type: ignore[union-attr]
    assert two.expected == {"name": "12"}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"expected": {"age": 1}}, "expected breaks the schema at the object: 'name' is a requ"),
        ({"expected": {"name": 1}}, "expected breaks the schema at /name: 1 is not of type"),
        ({"expected": {"name": "a", "when": "2023-02-29"}}, "at /when: '2023-02-29' is not a"),
        ({"expected": {}, "schema": {"type": "x"}}, "schema, /type: no JSON Schema of 2020-12"),
        ({"expected": {}, "schema": {"$ref": "http://a.b/c"}}, "schema, /$ref: 'http://a.b/c'"),
        ({"expected": {}, "schema": {"pattern": "("}}, "schema, /pattern: '('"),
        ({"expected": {}, "schema": "b.schema.json"}, "b.schema.json: no such file"),
        ({"expected": {}, "schema": "../a.schema.json"}, "the name of a file beside"),
        ({"expected": {"a": 1e999}, "schema": {}}, "NaN and Infinity are no JSON"),
        ({"expected": {"name": "a"}, "rules": {"/nmae": "set"}}, "'/nmae' is no place"),
        ({"expected": {"name": "a"}, "rules": {"/name": "set"}}, "set at '/name' does not fit"),
        ({"expected": {"name": "a"}, "rules": {"name": "ignore"}}, "'name' is no JSON pointer"),
        ({"expected": {"name": "a"}, "rules": {"/name": "fuzzy"}}, "rules./name"),
        (
            {"expected": EXPECTED, "rules": {"/tags": "set", "/tags/*": {"tolerance": 1}}},
            "does not fit",
        ),
    ],
)
def test_a_mistake_in_an_item_names_line_and_place(
    tmp_path: Path, fields: dict[str, Any], problem: str
) -> None:
    good = line(id="0", expected={"name": "a"})
    with pytest.raises(UserError) as caught:
        read(tmp_path, good, line(**fields))
    assert str(caught.value).startswith(f"{tmp_path / 'd.jsonl'}, line 2: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize("columns", [{}, {"id": "id", "expected": "expected"}])
def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, columns: dict[str, str]) -> None:
    good = line(id="0", expected={"name": "a"})
    inner = line(expected={"name": "a"}).replace('{"name": "a"}', '{"name": "a", "name": "b"}')
    outer = line(expected={"name": "a"})[:-1] + ', "questi\\u006fn": "What?"}'
    for twice, key in ((inner, "name"), (outer, "question")):
        path = tmp_path / "d.jsonl"
        path.write_text(f"{good}\n{twice}\n", encoding="utf-8")
        with pytest.raises(UserError) as caught:
            list(read_items(Source("d", path, columns=columns), "jsonl", TASK))
        assert str(caught.value) == (
            f"{path}, line 2: the key '{key}' appears twice in one object; delete one of the two"
        )


def test_a_schema_file_with_a_key_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    text = '{"title": "type",\n "type": "object",\n "x": [{"type": 1}],\n "type": "array"}'
    (tmp_path / "a.schema.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.schema\.json, line 4: the key 'type' appears twice"):
        read(tmp_path, line(expected={}, schema="a.schema.json"))


@pytest.mark.parametrize(
    ("header", "row", "problem"),
    [
        ("id,question,expected.name", "1,Who?,a", "the column 'schema' is missing"),
        ("id,question,schema", "1,Who?,{}", "the column 'expected' is missing"),
        ("id,question,schema,wanted.name", "1,Who?,{},a", "unknown column 'wanted.name'"),
        ("id,question,schema,expected.a,expected.a.b", "1,Who?,{},1,2", "another column has"),
        ("id,question,schema,expected.a", "1,Who?,{x,1", "schema: not valid JSON"),
        (
            "id,question,schema,expected.a",
            '1,Who?,"{""a"": 1, ""a"": 2}",x',
            "schema: the key 'a' appears",
        ),
    ],
)
def test_a_mistake_in_a_table_is_named(tmp_path: Path, header: str, row: str, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, header, row, name="d.csv")
    assert problem in str(caught.value)
