"""Ready-made jobs: their data, how they are asked, and how intents and plans are scored."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from conftest import REPOSITORY

from workflow_scripts.comparisons.differences import Difference, Differences
from workflow_scripts.config.load import read_config
from workflow_scripts.config.trials import trials
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.job_prompts import read_job
from workflow_scripts.core.records import Item, Message, Prediction
from workflow_scripts.datasets.items import read_items
from workflow_scripts.datasets.source import Source
from workflow_scripts.plans.profile import Profile
from workflow_scripts.plans.templates import Intent
from workflow_scripts.plans.tools import TOOLS, faults
from workflow_scripts.report.arms import differing, question
from workflow_scripts.tasks.jobs import PlanItem
from workflow_scripts.tasks.registry import TASKS
from workflow_scripts.tasks.task import Sample, Score

FOLDER = REPOSITORY / "resources" / "jobs"
FILES = {"question_intent": "intent.jsonl", "plan_adaptation": "adaptation.jsonl"}


def items_of(task: str, path: Path | None = None) -> list[Item]:
    return read_items(Source("d", path or FOLDER / FILES[task]), "jsonl", TASKS[task])


def rows_of(task: str) -> list[dict[str, Any]]:
    lines = (FOLDER / FILES[task]).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def scored(task: str, item: Item, *responses: object, finish_reason: str = "stop") -> list[Score]:
    """Scores of responses; of what is no text, its JSON."""
    samples = [
        Sample(
            item,
            Prediction(
                custom_id=f"d|{item.id}|control|0.0|0|{task}",
                dataset="d", item_id=item.id, condition="control", temp="0.0", sample_index=0,
                type=task, request_id="", finish_reason=finish_reason,
                response_text=each if isinstance(each, str) else json.dumps(each),
            ),
        )
        for each in responses
    ]  # fmt: skip
    scores = TASKS[task].scorer(None, TASKS[task].options())(samples)
    names = [metric.name for metric in TASKS[task].metrics]
    assert all(list(score.metrics) == names for score in scores)
    assert all(set(score.details) == set(TASKS[task].details) for score in scores)
    return scores


# The data that ships


@pytest.mark.parametrize("task", FILES)
def test_the_shipped_items_are_valid_throughout(task: str) -> None:
    items, rows = items_of(task), rows_of(task)
    schema = read_job(TASKS[task].job, REPOSITORY / "prompts/jobs").schema  # type: ignore[attr-defined]
    for item, row in zip(items, rows, strict=True):
        assert item.schema == schema  # type: ignore[comparison-overlap]
        jsonschema.Draft202012Validator(schema).validate(item.expected)  # type: ignore[attr-defined]
        assert item.cluster_id == row["cluster_id"] != item.id
        (right,) = scored(task, item, item.expected)  # type: ignore[attr-defined]
        assert right.outcome == "correct"
    assert len({row["question"] for row in rows} | {row["id"] for row in rows}) == 2 * len(rows)
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"| `{FILES[task]}` | {len(rows)} |" in card
    assert len({row["cluster_id"] for row in rows}) == 16
    assert "the same 16 invented tables" in card


def test_the_intents_are_those_of_schema_plans_and_card() -> None:
    counts = Counter(row["primary"] for row in rows_of("question_intent"))
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name, number in counts.items():
        assert f"{number} {name.replace('_', ' ')}" in card
    labels = read_job("intent", REPOSITORY / "prompts/jobs").schema["properties"]["primary"]["enum"]
    assert set(labels) == set(counts) == set(get_args(Intent))


def test_expected_plans_run_and_their_names_are_in_the_listed_schema() -> None:
    task = TASKS["plan_adaptation"]
    listed = task.options.model_validate({"json": "both", "names": "listed"})
    changes = Counter[int]()
    for item, row in zip(items_of(task.name), rows_of(task.name), strict=True):
        assert isinstance(item, PlanItem)
        jsonschema.validate(item.expected, task.schema(item, listed))
        plan, rejected = item.adapted(task.row.model_validate(row).changes)  # type: ignore[attr-defined]
        assert not rejected
        for step in plan.steps:
            assert not faults(step.tool, step.params, item.profile)
        changes[len(row["changes"])] += 1
    assert changes[0] == 13
    assert max(changes) == 5


@pytest.mark.parametrize(
    ("task", "edit", "complaint"),
    [
        ("question_intent", {"primary": "trend"}, r"/primary.*'trend' is not one of"),
        ("question_intent", {"primary": " "}, "primary"),
        ("question_intent", {"profile": {"rows": -1, "columns": []}}, "profile.rows"),
        ("plan_adaptation", {"changes": [{"action": "remove", "step_id": "x"}]}, "no step 'x'"),
        ("plan_adaptation", {"changes": [{"action": "swap", "step_id": "x"}]}, "action"),
        (
            "plan_adaptation",
            {"changes": [{"action": "modify", "step_id": "trend", "params": {"y": "sales"}}]},
            "change 1 cannot be applied: the table has no column 'sales'",
        ),
    ],
)
def test_an_item_that_cannot_be_right_stops_with_its_line(
    task: str, edit: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    first, second, *_ = rows_of(task)
    path = tmp_path / "own.jsonl"
    lines = [json.dumps(first), json.dumps({**second, **edit})]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"own.jsonl, line 2.*{complaint}"):
        items_of(task, path)


# How they are asked


@pytest.mark.parametrize("task", FILES)
def test_options_decide_where_the_schema_is(task: str) -> None:
    the_task, item = TASKS[task], items_of(task)[-1]
    template = the_task.read_template(REPOSITORY / the_task.template_path)
    for way, described, enforced in (
        ("described", True, False), ("enforced", False, True), ("both", True, True),
        ("off", False, False),
    ):  # fmt: skip
        options = the_task.options.model_validate({"json": way})
        _, message = the_task.messages(
            the_task.questions_of(item), template, [Message(role="system", content="s")], options
        )
        assert ('{"type": "object"' in message.content) == described
        assert message.content.endswith("}") == (described or task == "plan_adaptation")
        assert (the_task.schema(item, options) is not None) == enforced


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("intent", "“enforced” (json both instead of described)"),
        ("adaptation", "“listed” (names listed instead of open)"),
    ],
)
def test_the_ready_configs_compare_what_they_say(config: str, words: str) -> None:
    (trial,) = trials(read_config(REPOSITORY / f"config/{config}.yaml"))
    assert words in question(trial)
    declared = trial.arms["treatment"].differing(trial.arms["control"])
    assert declared == ["instruction"]
    (row,) = differing(
        trial,
        Differences(
            treatments={
                name: Difference(requests=9, differing={"json schema": 9}, declared=declared)
                for name in trial.arms
                if name != "control"
            }
        ),
    )
    assert f"{row.value} instead of {row.control.split()[-1]}" in words
    assert row.requests == 9


def test_a_listed_schema_has_the_names_of_the_item_and_nothing_else_changes() -> None:
    task = TASKS["plan_adaptation"]
    item = items_of(task.name)[-1]
    assert isinstance(item, PlanItem)
    by = {
        names: task.options.model_validate({"json": "both", "names": names})
        for names in ("open", "listed")
    }
    schemas = {names: task.schema(item, options) for names, options in by.items()}
    assert schemas["open"] == item.schema  # type: ignore[comparison-overlap]
    change = schemas["listed"]["properties"]["changes"]["items"]["properties"]  # type: ignore[index]
    columns = [each.name for each in item.profile.columns]
    assert 'Q1: "How satisfied are you?" {1-5}' in columns
    assert change["tool"]["enum"] == list(TOOLS)
    assert change["params"]["properties"]["x"]["enum"] == columns
    template = task.read_template(REPOSITORY / task.template_path)
    texts = {
        names: task.messages(item, template, [Message(role="system", content="s")], options)[
            1
        ].content
        for names, options in by.items()
    }
    end = "The object must obey this JSON Schema:\n"
    parts = {names: text.partition(end) for names, text in texts.items()}
    assert parts["open"][0] == parts["listed"][0]
    assert {names: json.loads(each[2]) for names, each in parts.items()} == schemas


def test_hostile_column_names_reach_the_prompt_as_they_are() -> None:
    row = rows_of("question_intent")[-1]
    names = ['"}', "{question}", "{{schema}}", "<script>alert(1)</script>", "a|b\\", "\u202e😀"]
    columns = [
        {"name": name, "type": "text", "cardinality": 3, "roles": ["category"]} for name in names
    ]
    profile = Profile.model_validate({"rows": 9, "columns": columns})
    task = TASKS["question_intent"]
    fields = task.item_fields(task.row.model_validate({**row, "profile": profile}))
    item = task.item.model_validate({**fields, "dataset": "d"})
    template = task.read_template(REPOSITORY / task.template_path)
    text = task.messages(task.questions_of(item), template, [Message(role="system", content="s")])[
        1
    ].content
    shown = [json.loads(line)["name"] for line in re.findall(r'^\{"name".*$', text, re.MULTILINE)]
    assert shown == names
    assert text.count(row["question"]) == 1


# How they are scored


def test_brier_scores_by_hand() -> None:
    item = items_of("question_intent")[0]
    right, wrong = item.expected["primary"], "anomalies"  # type: ignore[attr-defined]
    assert right != wrong
    cases: list[tuple[object, float, float, float | None]] = [
        ({"primary": right, "confidence": 0.8, "reasoning": "r"}, 1, 0.04, 0.8),
        ({"primary": wrong, "confidence": 0.8, "reasoning": "r"}, 0, 0.64, 0.8),
        ({"primary": wrong, "confidence": 0, "reasoning": "r"}, 0, 0, 0.0),
        ({"primary": right, "confidence": 1, "reasoning": ""}, 1, 0, 1.0),
        ({"primary": "trend", "confidence": 0.5, "reasoning": "r"}, 0, 0.25, 0.5),
        ({"primary": right}, 1, 1, None),
        ({"primary": right, "confidence": 1.5}, 1, 1, None),
        ({"primary": right, "confidence": True}, 1, 1, None),
        ({"primary": right, "confidence": "0.9"}, 1, 1, None),
        ({"primary": [right], "confidence": 0.9}, 0, 1, None),
        ({"confidence": 0.9}, 0, 1, None),
        (right, 0, 1, None),
        ("", 0, 1, None),
        ('{"primary": "' + right, 0, 1, None),
        ('{"primary": "' + right + '", "confidence": NaN}', 0, 1, None),
        ("[" * 10_000, 0, 1, None),
        ('{"primary": "\\u0000<b>", "confidence": 0.5}', 0, 0.25, 0.5),
        ('{"primary": "\\ud800", "confidence": 0.5}', 0, 1, None),
    ]
    for (reply, accuracy, brier, stated), score in zip(
        cases, scored("question_intent", item, *(reply for reply, *_ in cases)), strict=True
    ):
        assert score.metrics["accuracy"] == accuracy, reply
        assert score.metrics["brier"] == pytest.approx(brier, abs=1e-12), reply
        assert score.details["stated_confidence"] == stated, reply
        is_right = accuracy == 1 and score.metrics["schema_valid"] == 1
        assert (score.outcome == "correct") == is_right, reply
    (cut,) = scored("question_intent", item, '{"primary": "d', finish_reason="length")
    assert cut.outcome == "truncated"


def plan_item() -> PlanItem:
    """A plan of three steps, of which one has to change and one to go, and one is missing."""
    task = TASKS["plan_adaptation"]
    columns = [
        {"name": "day", "type": "date", "cardinality": 90, "roles": ["time"]},
        {"name": "shop", "type": "text", "cardinality": 4, "roles": ["category"]},
        {"name": "sales", "type": "number", "cardinality": 80, "roles": ["measure"]},
        {"name": "cost", "type": "number", "cardinality": 80, "roles": ["measure"]},
    ]
    steps = [
        {"id": "a", "tool": "line", "description": "", "params": {"x": "day", "y": "sales"}},
        {"id": "b", "tool": "bar", "description": "", "params": {"x": "shop", "y": "sales"}},
        {"id": "c", "tool": "correlations", "params": {"columns": ["sales", "cost"]}},
    ]
    row = {
        "id": "1",
        "question": "?",
        "profile": {"rows": 90, "columns": columns},
        "plan": {"name": "p", "title": "t", "steps": steps},
        "changes": [
            {"action": "modify", "step_id": "a", "params": {"y": "cost"}},
            {"action": "remove", "step_id": "b"},
            {"action": "add", "step_id": "d", "tool": "box", "params": {"y": "cost", "by": "shop"}},
        ],
    }
    fields = task.item_fields(task.row.model_validate(row))
    return PlanItem.model_validate({**fields, "dataset": "d"})


MODIFY = {"action": "modify", "step_id": "a", "params": {"y": "cost"}}
REMOVE = {"action": "remove", "step_id": "b"}
ADD = {"action": "add", "step_id": "d", "tool": "box", "params": {"y": "cost", "by": "shop"}}


def test_plans_are_compared_by_what_comes_out() -> None:
    """F1 by hand: expected are 2 steps taken out (a, b) and 2 put in (a', d), so 4."""
    item = plan_item()
    cases: list[tuple[list[object], bool, float, float, list[str]]] = [
        ([MODIFY, REMOVE, ADD], True, 1.0, 0, []),
        ([ADD, REMOVE, MODIFY], True, 1.0, 0, []),
        # Other words, ids, order of columns, and defaults that are spelled out.
        (
            [
                {"action": "remove", "step_id": "a"},
                {"action": "remove", "step_id": "b", "description": "not needed"},
                {**ADD, "step_id": "x", "params": {"by": "shop", "y": "cost", "top": 12}},
                {
                    **{"action": "add", "step_id": "y", "tool": "line", "description": "Ümlaut"},
                    "params": {"x": "day", "y": "cost", "function": "sum"},
                },
                {
                    "action": "modify",
                    "step_id": "c",
                    "params": {"columns": ["cost", "sales"], "method": "pearson"},
                },
            ],
            True, 1.0, 0, [],
        ),
        ([], False, 0.0, 0, []),
        ([MODIFY, REMOVE], False, 2 * 3 / (4 + 3), 0, []),
        ([MODIFY], False, 2 * 2 / (4 + 2), 0, []),
        # One step too many: 5 changes, 4 of them right.
        (
            [MODIFY, REMOVE, ADD, {"action": "add", "step_id": "e", "tool": "summary"}],
            False, 2 * 4 / (4 + 5), 1, [],
        ),
        # The wrong column: a is rightly out, what is in is wrong.
        (
            [{**MODIFY, "params": {"y": "cost", "by": "shop"}}, REMOVE, ADD],
            False, 2 * 3 / (4 + 4), 1, [],
        ),
        # A needed step goes.
        (
            [MODIFY, REMOVE, ADD, {"action": "remove", "step_id": "c"}],
            False, 2 * 4 / (4 + 5), 0, [],
        ),
        # What does not exist is rejected, counted, and changes nothing.
        (
            [MODIFY, REMOVE, {**ADD, "tool": "pie"}, {**ADD, "params": {"y": "profit"}}],
            False, 2 * 3 / (4 + 3), 0, ["pie", "profit"],
        ),
        ([MODIFY, REMOVE, ADD, {"action": "remove", "step_id": "zz"}], True, 1.0, 0, ["zz"]),
        ([MODIFY, REMOVE, {**ADD, "params": {"y": "cost", "hue": 1}}], False, 6 / 7, 0, ["hue"]),
        # Known names, but a text is no number column.
        ([MODIFY, REMOVE, {**ADD, "params": {"y": "shop"}}], False, 6 / 7, 0, []),
    ]  # fmt: skip
    replies = [{"changes": changes, "rationale": "r"} for changes, *_ in cases]
    for (changes, matches, f1, extra, unknown), score in zip(
        cases, scored("plan_adaptation", item, *replies), strict=True
    ):
        assert score.metrics["plan_match"] == float(matches), changes
        assert score.metrics["change_f1"] == pytest.approx(f1), changes
        assert score.details["unjustified"] == extra, changes
        assert score.metrics["extra_steps"] == min(extra, 1), changes
        assert score.metrics["unknown_names"] == float(bool(unknown)), changes
        assert json.loads(str(score.details["names_outside"] or "[]")) == unknown, changes
        assert (score.outcome == "correct") == matches, changes


@pytest.mark.parametrize(
    "reply",
    [
        "no object",
        {},
        {"changes": {"action": "add"}},
        {"changes": [{"action": "swap", "step_id": "a"}]},
        {"changes": [MODIFY, "remove b"]},
        {"changes": [{**MODIFY, "why": "?"}], "rationale": "r"},
        '{"changes": [], "changes": []}',
        '{"changes": ' + "[" * 2_000 + "]" * 2_000 + "}",
    ],
)
def test_changes_that_cannot_be_read_make_no_plan(reply: object) -> None:
    (score,) = scored("plan_adaptation", plan_item(), reply)
    assert score.metrics["plan_match"] == score.metrics["change_f1"] == 0
    assert score.metrics["extra_steps"] == 0
    assert score.metrics["schema_valid"] == 0
    assert score.outcome == "wrong"


def test_hostile_changes_are_rejected_and_kept_short() -> None:
    names = ["x" * 100_000, "\ud800", "\x00<b>", "💥", *(f"n{n}" for n in range(5_000))]
    changes = [{"action": "remove", "step_id": name} for name in names]
    deep = {"y": [[[[{"a": ["b"]}]]]], "by": {"shop": 1}}
    changes.append({"action": "add", "step_id": "d", "tool": "box", "params": deep})  # type: ignore[dict-item]
    text = json.dumps({"changes": changes, "rationale": "r"})
    (score,) = scored("plan_adaptation", plan_item(), text)
    assert score.metrics["plan_match"] == 0
    assert all(len(str(each)) < 30_000 for each in score.details.values())


def test_the_viewer_marks_steps_taken_out_and_put_in() -> None:
    task, item = TASKS["plan_adaptation"], plan_item()
    reply = {"changes": [MODIFY, {"action": "add", "step_id": "e", "tool": "summary"}]}
    text = f"<think>{{}}</think>```json\n{json.dumps(reply)}\n```"
    found = [(each.place, each.mark) for each in task.compared(item, text, "stop", enforced=False)]
    assert Counter(found) == Counter(
        {
            ("steps taken out", "right"): 1,
            ("steps taken out", "missing"): 1,
            ("steps put in", "right"): 1,
            ("steps put in", "missing"): 1,
            ("steps put in", "extra"): 1,
        }
    )
    unread = {each.mark for each in task.compared(item, "nothing", "stop", enforced=False)}
    assert unread == {"missing"}
