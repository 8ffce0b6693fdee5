"""Bounds that hold whatever failed requests would have answered, and other missing things."""

import itertools

import numpy as np
import pytest
from compared import analysed, contrasts
from test_stats_contrasts import changed, item, messages, only, row

from workflow_scripts.comparisons.score_files import failures_of, table_of
from workflow_scripts.comparisons.settings import StatsSettings
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import ErrorRow, custom_id
from workflow_scripts.stats.settings import Stats

QUICK = Stats(bootstrap_samples=100, permutation_samples=200)


def failed(of, condition, sample=0):
    return ErrorRow(
        custom_id=custom_id(of.dataset, of.id, condition, "0.0", sample, "open_book"),
        dataset=of.dataset,
        item_id=of.id,
        condition=condition,
        temp="0.0",
        sample_index=sample,
        type="open_book",
        error_type="http",
        error_message="status 500",
    )


def bounded(rows, items, errors, samples=1):
    table = table_of(items.values())
    settings = StatsSettings(stats=QUICK, samples_per_item={"0.0": samples})
    found = analysed(rows, items.values(), settings, failures=failures_of(errors, table))
    return only(found.significance)["worst_case"]


def test_the_bounds_are_those_of_all_ways_to_fill_in_what_is_missing():
    rows, items = changed(12, 4, 1)
    keys = list(items)
    # Items 0 and 5 lack the treatment's answer, item 7 the control's, item 9 both.
    lost = [(0, "treatment"), (5, "treatment"), (7, "control"), (9, "control"), (9, "treatment")]
    errors = [failed(items[keys[k]], condition) for k, condition in lost]
    missing = {(keys[k], condition) for k, condition in lost}
    kept = [one for one in rows if (one.item_key, one.condition) not in missing]
    found = bounded(kept, items, errors)
    assert (found["n_items"], found["failed_control"], found["failed_treatment"]) == (12, 2, 3)
    known = {(one.item_key, one.condition): one.em for one in kept}
    differences = []
    for answers in itertools.product((0, 1), repeat=len(lost)):
        filled = known | dict(zip(sorted(missing), answers, strict=True))
        differences.append(
            np.mean([filled[key, "treatment"] - filled[key, "control"] for key in keys])
        )
    em = found["metrics"]["em"]
    assert (em["low"], em["high"]) == pytest.approx((min(differences), max(differences)))
    assert em["ci_low"] < em["low"] <= em["high"] < em["ci_high"]


def test_a_failed_sample_leaves_the_others_of_its_item():
    items = {of.key: of for of in map(item, range(40))}
    rows = [
        row(of, condition, 0.5) for of in items.values() for condition in ("control", "treatment")
    ]
    found = bounded(rows, items, [failed(items["one|0"], "treatment", 3)], samples=4)
    # Of 4 samples 3 have the mean 0.5: with the fourth it lies between 0.375 and 0.625.
    em = found["metrics"]["em"]
    assert (em["low"], em["high"]) == pytest.approx((-0.125 / 40, 0.125 / 40))


def test_failures_that_are_not_at_random_bias_the_difference_and_not_the_bounds():
    """4.5 % of the treatment's answers are lost, all of them wrong ones."""
    draw, covered, held = np.random.default_rng(3), 0, 0
    for _ in range(30):
        rows, items = [], {of.key: of for of in map(item, range(400))}
        errors = []
        for of in items.values():
            right = draw.random() < 0.6
            rows.append(row(of, "control", float(draw.random() < 0.6)))
            if not right and draw.random() < 0.045 / 0.4:
                errors.append(failed(of, "treatment"))
            else:
                rows.append(row(of, "treatment", float(right)))
        table = table_of(items.values())
        found = only(
            analysed(
                rows,
                items.values(),
                StatsSettings(stats=QUICK),
                failures=failures_of(errors, table),
            ).significance
        )
        em, bounds = found["metrics"]["em"], found["worst_case"]["metrics"]["em"]
        covered += em["ci_low"] <= 0 <= em["ci_high"]
        held += bounds["ci_low"] <= 0 <= bounds["ci_high"]
    assert held >= 28
    assert covered < held


def test_without_failures_there_are_no_bounds():
    rows, items = changed(20, 5)
    assert bounded(rows, items, []) is None
    assert only(contrasts(rows, items, QUICK))["worst_case"] is None


def test_a_failed_request_of_an_unknown_item_is_an_error():
    table = table_of([item(1)])
    with pytest.raises(UserError, match=r"'one\\|2' has a failed request"):
        failures_of([failed(item(2), "control")], table)


def test_a_data_set_of_one_item_gets_a_caveat():
    items = {of.key: of for of in [*map(item, range(30)), item(99, "lonely")]}
    draw = np.random.default_rng(1)
    rows = [
        row(of, condition, float(draw.random() < 0.5))
        for of in items.values()
        for condition in ("control", "treatment")
    ]
    result = only(contrasts(rows, items, QUICK))
    (message,) = messages(result, "single_item_dataset")
    assert message.startswith("lonely: only one item")


def test_three_samples_that_are_alike_are_one():
    rows, items = changed(60, 12, 4)

    def tested(samples, rows):
        settings = StatsSettings(stats=QUICK, samples_per_item={"0.0": samples})
        return only(analysed(rows, items.values(), settings).significance)

    once, thrice = tested(1, rows), tested(3, rows)
    assert thrice["meta"]["samples_per_item"] == 3
    assert thrice["meta"]["effective_samples_per_item"] == 1
    assert "the 3 samples of each item score alike" in messages(thrice, "repeated_samples")[0]
    varied = [
        one.model_copy(update={"em_std": 0.2 if number % 7 == 0 else 0.0})
        for number, one in enumerate(rows)
    ]
    assert tested(3, varied)["meta"]["effective_samples_per_item"] == 3
    assert not messages(once, "repeated_samples")
