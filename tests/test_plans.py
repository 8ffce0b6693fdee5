"""Plans of analysis: profiles, tools by their signatures, templates, changes."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from tables import of_frame, sales, table

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.job_prompts import read_job
from workflow_scripts.plans.plan import MAX_STEPS, Change, Plan, Step, apply_changes
from workflow_scripts.plans.profile import Profile
from workflow_scripts.plans.profiling import profiled
from workflow_scripts.plans.templates import (
    Intent,
    choose,
    filled,
    read_templates,
    template_files,
)
from workflow_scripts.plans.tools import TOOLS, faults, narrowed, tools_text

PROFILE = profiled(of_frame(sales()), {})
TEMPLATES = read_templates(template_files(REPOSITORY / "resources" / "plans"))
INTENTS = get_args(Intent)


def plan(intent: Intent = "comparison") -> Plan:
    return choose(TEMPLATES, PROFILE, intent, "Revenue by region?").plan


@pytest.mark.parametrize(
    ("values", "kind", "roles", "unreadable"),
    [
        (["1.5", "2", "-3e2", "4"], "number", ["measure"], 0),
        (["1,234.50", "€ 12", "7 %", "1,000"], "number", ["measure"], 0),
        (["1.234,5", "3,5", "12", "1.000"], "number", ["measure"], 0),
        (["1", "2", "3", "4"], "number", ["identifier"], 0),
        (["5", "5", "5", "n/a"], "number", ["constant"], 0),
        ([*"1212121212121212", "x"], "number", ["measure", "category"], 1),
        (["1", "2", "3", "one", "two"], "mixed", ["text"], 2),
        (["2024-01-31", "2024-02-01", "-"], "date", ["time"], 0),
        (["2024-01-31T10:00:00.25Z", "2024-02-01 11:30", "2024-02-02"], "date", ["time"], 0),
        (["31/12/2024", "01/02/2024"], "date", ["time"], 0),
        (["2024-05", "2024-06"], "date", ["time"], 0),
        (["yes", "No", "yes", "no"], "boolean", ["category"], 0),
        (["a", "b", "a", "b"], "text", ["category"], 0),
        ([f"word {n}" for n in range(40)], "text", ["identifier"], 0),
        (["", "n/a", None], "empty", [], 0),
        (["inf", "nan", "2"], "mixed", ["category"], 1),
        (["２", "٣", "1"], "text", ["text"], 0),
    ],
)
def test_types_and_roles(
    values: list[object], kind: str, roles: list[str], unreadable: int
) -> None:
    column = profiled(table({"x": values}), {}).columns[0]
    assert (column.type, column.roles, column.unreadable) == (kind, roles, unreadable)


def test_day_and_month_are_told_apart_by_the_whole_column() -> None:
    day_first = table({"x": ["13/02/2024", "01/02/2024"]})
    month_first = table({"x": ["02/13/2024", "01/02/2024"]})
    assert [str(each)[:10] for each in day_first.dates("x")] == ["2024-02-13", "2024-02-01"]
    assert [str(each)[:10] for each in month_first.dates("x")] == ["2024-02-13", "2024-01-02"]


def test_a_profile_is_shown_as_a_line_of_json_each_and_wide_ones_are_cut() -> None:
    wide = table({f"c{n}": ["a", "b", "a", "b"] for n in range(250)} | {"m": [1.5, 2.5, 3, 4]})
    first, *lines, last = profiled(wide, {}).text().split("\n")
    assert first == "4 rows"
    assert len(lines) == 200
    assert last == "(51 further columns are not shown)"
    assert json.loads(lines[0]) == {
        "name": "c0",
        "type": "text",
        "cardinality": 2,
        "roles": ["category"],
    }


def test_schemas_are_those_of_the_signatures() -> None:
    for tool in TOOLS.values():
        parameters = list(inspect.signature(tool.run).parameters.values())[1:]
        assert list(tool.parameters) == [each.name for each in parameters]
        assert tool.required == [
            each.name for each in parameters if each.default is inspect.Parameter.empty
        ]
        assert tool.columns  # each reads some
        for schema in tool.parameters.values():
            jsonschema.Draft202012Validator.check_schema(schema)
    assert len(tools_text().splitlines()) == len(TOOLS) == 12


def test_a_name_means_the_same_for_all_tools() -> None:
    """So the schema of a reply can list the parameters of all tools together."""
    seen: dict[str, Any] = {}
    for tool in TOOLS.values():
        for name, schema in tool.parameters.items():
            assert seen.setdefault(name, schema) == schema, name


@pytest.mark.parametrize(
    ("tool", "params", "reason", "unknown"),
    [
        ("pie", {}, "there is no tool 'pie'", ("pie",)),
        ("bar", {}, "bar: x: Field required", ()),
        ("bar", {"x": "regoin"}, "the table has no column 'regoin'", ("regoin",)),
        ("bar", {"x": "region", "colour": 1}, "bar has no parameter 'colour'", ("colour",)),
        ("bar", {"x": "region", "y": "channel"}, "y is a column of numbers, and 'channel'", ()),
        ("bar", {"x": "region", "function": "total"}, "function: Input should be 'sum'", ()),
        ("bar", {"x": "region", "top": 0}, "greater than or equal to 1", ()),
        ("bar", {"x": "region", "top": True}, "top: Input should be a valid integer", ()),
        ("line", {"x": "region"}, "x is a column of numbers or dates", ()),
        ("correlations", {"columns": []}, "at least 1 item", ()),
        ("clean", {"columns": ["units", "u2"]}, "the table has no column 'u2'", ("u2",)),
        ("histogram", {"x": 3}, "x: Input should be a valid string", ()),
    ],
)
def test_a_call_that_cannot_run_is_refused_with_the_reason(
    tool: str, params: dict[str, Any], reason: str, unknown: tuple[str, ...]
) -> None:
    found = faults(tool, params, PROFILE)
    assert reason in found[0].reason
    assert found[0].unknown == unknown
    assert len(found) == 1


def test_the_best_template_by_intent_requirements_and_steps() -> None:
    for intent in INTENTS:
        chosen = choose(TEMPLATES, PROFILE, intent, "")
        assert chosen.plan.name == intent
        assert {each.name for each in chosen.candidates} == {each.name for each in TEMPLATES}
        charts = [each for each in chosen.plan.steps if each.tool not in {"clean", "summary"}]
        assert len(charts) >= 5
    # Without dates there is no development over time; an overview is the next best.
    words = profiled(table({"a": [*"xyxyxyxy"], "b": [*"uuvvuuvv"]}), {})
    chosen = choose(TEMPLATES, words, "time_series", "")
    assert chosen.plan.name == "general_exploration"
    unmet = {each.name: each.unmet for each in chosen.candidates}
    assert unmet["time_series"] == ["1 of time"]
    assert unmet["drivers"] == ["2 of measure"]
    with pytest.raises(UserError, match="no plan fits the table: drivers needs 2 of measure"):
        choose([each for each in TEMPLATES if each.name == "drivers"], words, "drivers", "")


def test_the_columns_that_a_question_names_come_first() -> None:
    named = choose(TEMPLATES, PROFILE, "comparison", "How do UNITS differ by channel?").plan
    totals = next(each for each in named.steps if each.id == "totals")
    assert totals.params == {"x": "channel", "y": "units"}
    other = choose(TEMPLATES, PROFILE, "comparison", "Whose revenue is highest?").plan
    totals = next(each for each in other.steps if each.id == "totals")
    assert totals.params == {"x": "region", "y": "revenue"}


def test_templates_leave_nothing_open_and_run_on_any_profile() -> None:
    for template in TEMPLATES:
        for each in filled(template, PROFILE, "").steps:
            assert not faults(each.tool, each.params, PROFILE)
            assert "$" not in json.dumps(each.params)
    ids = [[each.id for each in template.steps] for template in TEMPLATES]
    assert all(len(set(of)) == len(of) for of in ids)
    assert {intent for each in TEMPLATES for intent in each.intents} == set(INTENTS)


def test_broken_templates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no plan"):
        template_files(tmp_path)
    (tmp_path / "a.json").write_text('{"name": "a"}', encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.json: title: Field required"):
        read_templates(template_files(tmp_path))
    for name in "ab":
        text = TEMPLATES[0].model_dump_json()
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="both plans are called"):
        read_templates(template_files(tmp_path))


def test_changes_are_applied_in_order() -> None:
    changes = [
        Change(action="remove", step_id="means"),
        Change(action="modify", step_id="totals", params={"y": None, "top": 3}),
        Change(action="modify", step_id="sizes", tool="box", params={"y": "units"}),
        Change(action="add", step_id="new", tool="scatter", params={"x": "units", "y": "revenue"}),
        Change(action="modify", step_id="new", description="Price", params={"by": "channel"}),
    ]
    before = plan()
    after, rejected = apply_changes(before, changes, PROFILE)
    assert not rejected
    by_id = {each.id: each for each in after.steps}
    assert "means" not in by_id
    assert by_id["totals"].params == {"x": "region", "top": 3}
    assert by_id["sizes"].tool == "box"
    assert by_id["sizes"].params == {"y": "units"}
    assert after.steps[-1] == Step(
        id="new", tool="scatter", description="Price",
        params={"x": "units", "y": "revenue", "by": "channel"},
    )  # fmt: skip
    assert [each.id for each in after.steps[:-1]] == [
        each.id for each in before.steps if each.id != "means"
    ]


def test_changes_that_cannot_be_applied_are_rejected_with_the_unknown_names() -> None:
    changes = [
        Change(action="remove", step_id="nope"),
        Change(action="add", step_id="totals", tool="bar", params={"x": "region"}),
        Change(action="add", step_id="a", tool="pie", params={"x": "region"}),
        Change(action="add", step_id="b", tool="bar", params={"x": "shop", "z": 1}),
        Change(action="add", step_id="c", params={"x": "region"}),
        Change(action="add", step_id=" ", tool="bar", params={"x": "region"}),
        Change(action="modify", step_id="totals", params={"y": "channel"}),
    ]
    after, rejected = apply_changes(plan(), changes, PROFILE)
    assert after == plan()
    assert [each.number for each in rejected] == [1, 2, 3, 4, 5, 6, 7]
    assert [each.unknown for each in rejected] == [["nope"], [], ["pie"], ["z", "shop"], [], [], []]
    many = [
        Change(action="add", step_id=f"s{n}", tool="bar", params={"x": "region"})
        for n in range(MAX_STEPS)
    ]
    after, rejected = apply_changes(plan(), many, PROFILE)
    assert len(after.steps) == MAX_STEPS
    assert rejected[-1].reason == f"a plan has at most {MAX_STEPS} steps"


NAMES = [each.name for each in PROFILE.columns]
CHANGES = st.builds(
    Change,
    action=st.sampled_from(["add", "remove", "modify"]),
    step_id=st.sampled_from(["totals", "means", "new", "other", ""]),
    tool=st.sampled_from([*TOOLS, "pie", None]),
    description=st.none() | st.text(max_size=5),
    params=st.none()
    | st.dictionaries(
        st.sampled_from(["x", "y", "by", "value", "columns", "top", "function", "z"]),
        st.sampled_from([*NAMES, "nope", 3, None, "sum", NAMES[3:], [NAMES[0]]]),
        max_size=3,
    ),
)


@given(st.lists(CHANGES, max_size=8))
def test_whatever_the_changes_the_plan_can_run(changes: list[Change]) -> None:
    before = plan()
    after, rejected = apply_changes(before, changes, PROFILE)
    ids = [each.id for each in after.steps]
    assert len(set(ids)) == len(ids)
    for each in after.steps:
        assert not faults(each.tool, each.params, PROFILE)
    for each in rejected:
        assert changes[each.number - 1] == each.change
        assert each.reason
        assert not {*each.unknown} & {*TOOLS, *NAMES}
    applied = [each for n, each in enumerate(changes, 1) if n not in {r.number for r in rejected}]
    assert apply_changes(before, applied, PROFILE) == (after, [])
    assert apply_changes(after, [], PROFILE) == (after, [])


def test_a_narrowed_schema_has_the_names_that_there_are() -> None:
    schema = narrowed(read_job("adapt_plan").schema, PROFILE)
    validator = jsonschema.Draft202012Validator(schema)

    def reply(**change: Any) -> dict[str, Any]:
        return {"changes": [{"action": "add", "step_id": "a", **change}], "rationale": "r"}

    assert validator.is_valid(reply(tool="bar", params={"x": "region", "top": 5}))
    assert validator.is_valid(reply(tool="clean", params={"columns": ["units", "revenue"]}))
    assert not validator.is_valid(reply(tool="pie", params={}))
    assert not validator.is_valid(reply(tool="bar", params={"x": "nope"}))
    assert not validator.is_valid(reply(tool="clean", params={"columns": ["nope"]}))
    assert not validator.is_valid(reply(tool="bar", params={"z": 1}))
    wide = Profile(rows=1, columns=[PROFILE.columns[0].model_copy(update={"name": f"c{n}"})
                                    for n in range(101)])  # fmt: skip
    validator = jsonschema.Draft202012Validator(narrowed(read_job("adapt_plan").schema, wide))
    assert validator.is_valid(reply(tool="bar", params={"x": "nope"}))
