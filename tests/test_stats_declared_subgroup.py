"""A declared question about a part of the items has the answers of a run with that part alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from compared import analysed as files_of
from question_records import Item, ItemScores
from report_files import make_report, write_trial
from wave_design import design

from workflow_scripts.comparisons.planned import planned_tests
from workflow_scripts.comparisons.registration import declaration, digest_of
from workflow_scripts.comparisons.score_files import scores_of, table_of
from workflow_scripts.comparisons.sequential import decide
from workflow_scripts.comparisons.settings import StatsSettings
from workflow_scripts.config.checks import unknown_names
from workflow_scripts.config.schema import Config
from workflow_scripts.config.trial import FrontSettings
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_jsonl
from workflow_scripts.core.records import Decoding, Message, Request
from workflow_scripts.costs import plan
from workflow_scripts.costs.plan_settings import PlannedTrial
from workflow_scripts.costs.plan_table import _question
from workflow_scripts.export.table import table_of as export_table
from workflow_scripts.stats.settings import Registration, Stats

QUESTION = {
    "primary": "false_answer_rate",
    "direction": "decrease",
    "margin": 0.4,
    "waves": 4,
    "alpha": 0.1,
}
ITEMS = [
    Item(
        id=str(number),
        dataset="one" if number < 100 else "two",
        question="?",
        answers=[] if number % 3 == 0 else ["x"],
        context="x",
        is_unanswerable=number % 3 == 0,
        cluster_id=f"p{number // 4}",
    )
    for number in range(200)
]
PART = [item for item in ITEMS if item.is_unanswerable]


def settings_of(subgroup=None, **changes):
    declared = Registration(**QUESTION | changes, subgroup=subgroup)
    stats = Stats(bootstrap_samples=100, permutation_samples=500, registration=declared)
    return StatsSettings(stats=stats, tasks={"one": "open_book", "two": "open_book"})


def rows_of(items, task="open_book"):
    """The treatment avoids false answers among the unanswerable items alone."""
    rows = []
    for condition in ("control", "treatment"):
        for item in items:
            draw = np.random.default_rng([int(item.id), condition == "control"])
            chance = 0.6 if condition == "control" or not item.is_unanswerable else 0.25
            wrong = float(draw.random() < chance)
            metrics = {"em": 1 - wrong, "f1": 1 - wrong, "false_answer_rate": wrong}
            metrics |= {"abstain_rate": 0.0, "unsupported_rate": 0.0}
            metrics |= {"correct": 1 - wrong, "contains_gold": 1 - wrong}
            place = {"item_key": item.key, "type": task, "condition": condition, "temp": "0.0"}
            deviations = {f"{name}_std": 0.0 for name in metrics}
            rows.append(ItemScores(**place, **metrics, **deviations))
    return rows


def analysed(items, settings, rows=None):
    return files_of(rows or rows_of(items), items, settings)


def result_of(content):
    return content["treatment"]["0.0"]["open_book"]


def test_the_primary_test_is_that_of_a_run_with_the_part_alone():
    found = analysed(ITEMS, settings_of("unanswerable")).significance
    alone = analysed(PART, settings_of()).significance
    assert found["registration"]["tests"] == alone["registration"]["tests"]
    (test,) = found["registration"]["tests"]
    assert test["confirmed"]
    assert (test["equivalent"], test["non_inferior"]) == (False, True)
    result = result_of(found["results"])
    primary = result["subgroups"]["unanswerable"]["metrics"]["false_answer_rate"]
    assert (primary["family"], primary["p_holm"]) == ("primary", test["p_holm"])
    assert result["metrics"]["false_answer_rate"]["family"] == "exploratory"
    assert found["multiplicity"]["families"]["primary"] == 1
    # All items have other numbers, and no margin of their own.
    assert abs(result["metrics"]["false_answer_rate"]["difference"]) < abs(test["difference"])
    assert result["tost"] == {}


def test_its_power_is_that_of_a_run_with_the_part_alone():
    found = analysed(ITEMS, settings_of("unanswerable")).power
    alone = analysed(PART, settings_of()).power
    expected = result_of(alone["results"])["false_answer_rate"]
    assert result_of(found["declared"]) == {"false_answer_rate": expected}
    assert expected["alpha"] == 0.1
    assert result_of(found["results"])["false_answer_rate"]["alpha"] == 0.05
    assert "declared" not in alone


@pytest.mark.parametrize("stopping", ["alpha_spending", "betting"])
def test_waves_are_decided_by_the_part_alone(stopping):
    def decided(items, settings):
        table = table_of(items)
        early = [item for item in items if int(item.id) < 101]
        parts = [early, items[len(early) :]]
        waves = [scores_of(rows_of(part), table) for part in parts]
        return decide(waves, table, design(settings), 10, 20)

    # The first wave ends within a passage whose unanswerable item comes with the second.
    found = decided(ITEMS, settings_of("unanswerable", stopping=stopping))
    alone = decided(PART, settings_of(stopping=stopping))
    assert found.comparisons == alone.comparisons
    assert found.comparisons[0].n_planned == len(PART)
    assert found.subgroup == "unanswerable"
    assert "subgroup" not in alone.model_dump(mode="json")
    assert found.digest != alone.digest


def test_the_plan_counts_the_items_of_the_part(tmp_path):
    write_jsonl(tmp_path / "open_book.jsonl", ITEMS)
    requests = [
        Request(
            custom_id=f"{item.dataset}|{item.id}|control|0.0|0|open_book",
            dataset=item.dataset,
            item_id=item.id,
            prompt="control",
            temp="0.0",
            sample_index=0,
            type="open_book",
            messages=[Message(role="user", content="?")],
            decoding=Decoding(temperature=0, max_new_tokens=8, seed=0),
        )
        for item in ITEMS
    ]
    write_jsonl(tmp_path / "part.jsonl", requests)
    question = design(
        settings_of("unanswerable"), inputs=tmp_path.as_posix(), planned=["part.jsonl"]
    )
    trial = PlannedTrial(
        folder="x", asked_of={"control": ("b", "m")}, parts=question.planned, question=question
    )
    (test,) = plan._questions([trial], [tmp_path / "open_book.jsonl"], {})
    assert (test.n_items, test.subgroup) == (len(PART), "unanswerable")
    plain = design(settings_of())
    (expected,) = planned_tests(plain, {"open_book": len(PART)})
    assert test.detectable == expected.detectable
    assert "false_answer_rate, open_book, unanswerable: 67 items" in _question(test)


def test_a_declaration_on_all_items_keeps_its_digest():
    declared = Stats(registration=Registration(primary="em"))
    content = {
        "registration": {
            "primary": "em", "direction": "either", "alpha": 0.05, "margin": None,
            "secondary": [], "task": None, "temp": None, "waves": None,
        },
        "confidence": 0.95,
        "bootstrap_samples": 2000,
        "permutation_samples": 5000,
        "random_seed": 20260101,
    }  # fmt: skip
    assert declaration(declared) == content
    part = Stats(registration=Registration(primary="em", subgroup="unanswerable"))
    assert digest_of(declaration(part)) != digest_of(content)
    assert declaration(part)["registration"]["subgroup"] == "unanswerable"


@pytest.mark.parametrize("settings", [settings_of("topic=law"), settings_of("dataset=three")])
def test_a_part_that_no_item_belongs_to_is_named_with_those_there_are(settings):
    message = r"stats\.registration\.subgroup: no item belongs to .*; there are dataset=one, "
    with pytest.raises(UserError, match=message):
        analysed(ITEMS, settings)
    table = table_of(ITEMS)
    with pytest.raises(UserError, match=message):
        decide([scores_of(rows_of(ITEMS), table)], table, design(settings), 1, 2)


def test_a_task_without_enough_of_the_part_has_no_test_and_a_warning():
    two = [item for item in ITEMS if item.dataset == "two" and not item.is_unanswerable]
    rows = [*rows_of(ITEMS), *rows_of(two, "closed_book")]
    found = analysed(ITEMS, settings_of("unanswerable"), rows).significance
    (test,) = found["registration"]["tests"]
    assert test["task"] == "open_book"
    warnings = found["results"]["treatment"]["0.0"]["closed_book"]["meta"]["warnings"]
    (warning,) = (each for each in warnings if each["code"] == "no_subgroup")
    assert warning["subgroup"] == "unanswerable"
    with pytest.raises(UserError, match="subgroup unanswerable"):
        analysed(PART, settings_of("unanswerable"))


@pytest.mark.parametrize(
    ("subgroup", "message"),
    [
        ("unanswerabel", "no subgroup 'unanswerabel'; did you mean 'unanswerable'?"),
        ("dataset=two", "no subgroup 'dataset=two'; did you mean 'dataset=one'?"),
        ("topic=law", None),  # only the data say which tags there are
        ("answerable", None),
    ],
)
def test_the_config_check_knows_the_parts_that_a_task_and_its_data_sets_have(subgroup, message):
    config = Config.model_validate(
        {
            "datasets": {"one": {"format": "jsonl", "path": "one.jsonl", "task": "closed_book"}},
            "prompt_sets": {"set": {"control": "control", "treatment": "treatment"}},
            "model_id": "some",
            "stats": {"registration": {"primary": "em", "subgroup": subgroup}},
        }
    )
    problems = list(unknown_names(config))
    assert [location for location, _ in problems] == (
        [("stats", "registration", "subgroup")] if message else []
    )
    assert all(message in text for _, text in problems)


def test_page_and_table_show_the_declared_part(tmp_path: Path):
    question = {"primary": "false_answer_rate", "task": "open_book", "subgroup": "unanswerable"}
    trial = write_trial(tmp_path / "t", stats={"registration": question})
    page = make_report(tmp_path / "t").read_text(encoding="utf-8")
    assert "False answers under “careful”, open book, unanswerable items: " in page
    assert "In the declared subgroup, false answers: " in page
    settings = FrontSettings(title=None, note=None, trials=[trial])
    rows = [row for group in export_table(settings).groups for row in group.rows]
    (shown,) = (row for row in rows if row[0] == "False answers, unanswerable items")
    whole = json.loads((tmp_path / "t/significance.json").read_text(encoding="utf-8"))
    (test,) = whole["registration"]["tests"]
    assert shown[3].startswith(f"{100 * test['difference']:+.1f}".replace("-", "−"))
