"""What a declared question can find, and how the plan says it before anything is paid."""

import numpy as np
import pytest
from scipy import stats
from wave_design import design

from workflow_scripts.comparisons.planned import planned_tests
from workflow_scripts.comparisons.settings import StatsSettings
from workflow_scripts.costs.plan_records import Plan
from workflow_scripts.costs.plan_table import table
from workflow_scripts.stats.settings import Registration, Stats


def planned(looks, n_items=1000, treatments=("treatment",), **changes):
    question = {"primary": "em", "task": "open_book", **changes}
    settings = StatsSettings(
        stats=Stats(registration=Registration(**question)), tasks={"one": "open_book"}
    )
    waves = design(settings, treatments).model_copy(update={"waves_planned": looks})
    return planned_tests(waves, {"open_book": n_items})


def test_one_look_finds_what_the_ordinary_test_finds():
    (test,) = planned(1)
    found = test.detectable["0.2"]
    z = found / np.sqrt((0.2 - found**2) / 1000)
    assert stats.norm.sf(1.959964 - z) == pytest.approx(0.8, abs=1e-6)
    assert test.detectable["0.05"] < test.detectable["0.4"]
    (shared,) = planned(1, treatments=("a", "b"))
    assert shared.alpha == 0.025
    assert shared.detectable["0.2"] > found


def test_more_looks_cost_little_and_too_few_items_find_nothing():
    (test,) = planned(5)
    assert 1 < test.times_one_look < 1.03
    assert test.expected_share < 0.85
    (few,) = planned(1, n_items=20)
    assert few.detectable["0.05"] is None
    (betting,) = planned(5, stopping="betting")
    assert (betting.times_one_look, betting.detectable) == (None, {})


def test_the_plan_says_what_the_question_can_find():
    tests = [*planned(5), *planned(5, stopping="betting")]
    budget = {
        "budget_usd": None, "paid_usd": 0, "lost_usd": 0, "under_way_usd": 0, "expected_usd": 0,
        "is_enough": None,
    }  # fmt: skip
    plan = {"experiment": "x", "made_at": "2026-01-01", "total": {}, "budget": budget}
    shown = table(Plan.model_validate({**plan, "questions": tests}))
    words = " ".join(shown.split())
    assert "em, open_book: 1,000 items, 5 looks at a level of 0.05." in words
    assert "1.025 times the items of one look, and 80% of them on average" in words
    assert "by the share of items on which the arms differ: 5%: 2.0 points" in words
    assert "Betting bears a look at any moment." in words
