"""Ratios of amounts against scipy, statsmodels and enumeration, and the command that shows them."""

import itertools
import json
import math
import sys

import compared
import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from wave_design import design

from workflow_scripts.comparisons.contrasts import analyse, main
from workflow_scripts.comparisons.planned import planned_tests
from workflow_scripts.comparisons.score_files import read_scores, table_of
from workflow_scripts.comparisons.settings import StatsSettings
from workflow_scripts.config.checks import unknown_names
from workflow_scripts.config.schema import Config
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_csv, write_json, write_jsonl
from workflow_scripts.core.metric import Metric
from workflow_scripts.core.records import ItemScores
from workflow_scripts.costs.plan_table import _question
from workflow_scripts.stats.amounts import (
    amount_estimates,
    amount_power,
    log_values,
    ratio_interval,
)
from workflow_scripts.stats.intervals import mean_difference
from workflow_scripts.stats.multiplicity import benjamini_hochberg, holm
from workflow_scripts.stats.pairs import Pairs
from workflow_scripts.stats.power import power_of
from workflow_scripts.stats.settings import Registration, Stats
from workflow_scripts.tasks.question_answering import AnsweredQuestion, OpenBook
from workflow_scripts.tasks.registry import TASKS
from workflow_scripts.tasks.score_tables import METRICS_FILE, write_metrics

SETTINGS = Stats(bootstrap_samples=200, permutation_samples=300)


def pairs_of(control, treatment, clusters=None):
    """Pairs with one amount and no share."""
    n = len(control)
    nothing = np.empty((n, 0))
    return Pairs(
        declared=(),
        items=np.arange(n),
        control=nothing,
        treatment=nothing,
        sample_variance=nothing,
        samples_per_item=1,
        clusters=np.arange(n) if clusters is None else np.asarray(clusters),
        datasets=np.zeros(n, dtype=np.int64),
        dataset_names=("one",),
        subgroups={},
        amounts={"tokens": np.stack([control, treatment], axis=1)},
    )


def estimate_of(control, treatment, clusters=None, settings=SETTINGS):
    found, _ = amount_estimates(log_values(pairs_of(control, treatment, clusters)), settings)
    return found["tokens"]


def made_up(seed, n, n_clusters=None):
    """Log-normal amounts; items of a cluster share a part of their ratio."""
    draw = np.random.default_rng(seed)
    clusters = np.arange(n) if n_clusters is None else np.sort(draw.integers(n_clusters, size=n))
    clusters = np.unique(clusters, return_inverse=True)[1]
    control = np.exp(draw.normal(5, 1, size=n))
    shared = draw.normal(-0.2, 0.2, size=clusters.max() + 1)[clusters]
    return control, control * np.exp(shared + draw.normal(0, 0.3, size=n)), clusters


@given(st.integers(0, 10_000), st.integers(3, 80))
def test_independent_items_get_the_paired_t_interval_of_the_logarithms(seed, n):
    control, treatment, _ = made_up(seed, n)
    found = estimate_of(control, treatment)
    test = stats.ttest_rel(np.log(treatment), np.log(control))
    interval = test.confidence_interval(0.95)
    assert found.ratio == pytest.approx(stats.gmean(treatment) / stats.gmean(control), rel=1e-9)
    assert found.control_mean == pytest.approx(stats.gmean(control), rel=1e-9)
    assert found.treatment_mean == pytest.approx(stats.gmean(treatment), rel=1e-9)
    assert found.ci_low == pytest.approx(math.exp(interval.low), rel=1e-8)
    assert found.ci_high == pytest.approx(math.exp(interval.high), rel=1e-8)
    assert found.log_ratio / found.standard_error == pytest.approx(test.statistic, rel=1e-7)
    assert found.degrees_of_freedom == pytest.approx(n - 1)
    wilcoxon = stats.wilcoxon(np.log(treatment), np.log(control), method="exact")
    if n <= 50:
        assert found.wilcoxon_p == pytest.approx(wilcoxon.pvalue, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_clusters_of_equal_size_get_the_cluster_robust_error_of_statsmodels(seed):
    """There CR2 is Liang and Zeger's estimate with the factor G / (G - 1), which is CR1's here."""
    control, treatment, _ = made_up(seed, 120)
    clusters = np.repeat(np.arange(30), 4)
    treatment = treatment * np.exp(np.random.default_rng(seed).normal(0, 0.3, size=30))[clusters]
    found = estimate_of(control, treatment, clusters)
    model = sm.OLS(np.log(treatment / control), np.ones(120)).fit(
        cov_type="cluster",
        cov_kwds={"groups": clusters, "use_correction": False},
        use_t=True,
    )
    expected = model.bse[0] * math.sqrt(30 / 29)
    assert found.log_ratio == pytest.approx(model.params[0], abs=1e-11)
    assert found.standard_error == pytest.approx(expected, rel=1e-9)
    assert found.degrees_of_freedom == pytest.approx(29)
    half = stats.t.ppf(0.975, 29) * expected
    assert found.ci_low == pytest.approx(math.exp(model.params[0] - half), rel=1e-8)
    assert found.ci_high == pytest.approx(math.exp(model.params[0] + half), rel=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_with_few_clusters_all_sign_patterns_are_counted(seed):
    control, treatment, clusters = made_up(seed, 30, 8)
    found = estimate_of(control, treatment, clusters)
    sums = np.bincount(clusters, np.log(treatment / control))
    flipped = [np.dot(signs, sums) for signs in itertools.product((-1, 1), repeat=len(sums))]
    observed = sums.sum()
    extreme = np.abs(flipped) >= abs(observed) - 1e-9
    assert found.permutation_p == pytest.approx(np.mean(extreme), abs=1e-12)
    decrease = np.mean(np.array(flipped) <= observed + 1e-9)
    assert found.permutation_p_decrease == pytest.approx(decrease, abs=1e-12)


def test_the_bootstrap_is_that_of_scipy():
    control, treatment, _ = made_up(3, 200)
    settings = Stats(bootstrap_samples=20_000, permutation_samples=100)
    found = estimate_of(control, treatment, settings=settings).intervals["bca"]
    expected = stats.bootstrap(
        (np.log(treatment / control),), np.mean, n_resamples=20_000, rng=1
    ).confidence_interval
    assert found.low == pytest.approx(math.exp(expected.low), rel=0.003)
    assert found.high == pytest.approx(math.exp(expected.high), rel=0.003)


@given(st.integers(0, 10_000), st.floats(0.001, 1000))
def test_neither_the_unit_nor_the_direction_matters(seed, unit):
    control, treatment, clusters = made_up(seed, 40, 12)
    one = estimate_of(control, treatment, clusters)
    other = estimate_of(treatment * unit, control * unit, clusters)
    assert other.ratio == pytest.approx(1 / one.ratio, rel=1e-9)
    assert other.ci_low == pytest.approx(1 / one.ci_high, rel=1e-9)
    assert other.permutation_p == pytest.approx(one.permutation_p, abs=1e-12)
    assert other.control_mean == pytest.approx(one.treatment_mean * unit, rel=1e-9)


def test_few_clusters_are_not_trusted():
    control, treatment, _ = made_up(0, 400)
    for n_clusters, trusted in ((10, False), (49, False), (50, True), (400, True)):
        clusters = np.arange(400) * n_clusters // 400
        assert estimate_of(control, treatment, clusters).ci_trusted is trusted
    few = np.where(np.arange(400) < 49, treatment, control)
    assert not estimate_of(control, few).ci_trusted


@pytest.mark.parametrize(("n_clusters", "trusted"), [(10, False), (50, True), (300, True)])
def test_intervals_cover_or_say_that_they_may_not(n_clusters, trusted):
    """Skewed ratios, clusters of unequal sizes: the hardest case of benchmarks/stats_amounts.py."""
    draw = np.random.default_rng(n_clusters)
    covered, runs = 0, 3000
    for _ in range(runs):
        clusters = np.repeat(np.arange(n_clusters), draw.integers(1, 10, size=n_clusters))
        shared = draw.exponential(size=n_clusters)[clusters] - 1
        logs = 0.3 * shared + 0.3 * (draw.exponential(size=len(clusters)) - 1)
        interval = ratio_interval(mean_difference(logs, clusters), 0.95)
        assert interval.trusted is trusted
        covered += interval.low <= 1 <= interval.high
    error = 3 * math.sqrt(0.05 * 0.95 / runs)
    if trusted:
        assert 0.93 - error < covered / runs < 0.97 + error
    else:
        assert covered / runs < 0.93


def test_equal_amounts_have_the_ratio_one_and_no_trust():
    same = np.arange(1.0, 101.0)
    found = estimate_of(same, same)
    assert (found.ratio, found.permutation_p, found.wilcoxon_p) == (1, 1, None)
    assert not found.ci_trusted


def test_items_without_a_value_are_left_out_and_counted():
    control, treatment, clusters = made_up(1, 60, 20)
    control[[0, 1]], treatment[[1, 2, 3]] = np.nan, np.nan
    found = estimate_of(control, treatment, clusters)
    rest = np.arange(4, 60)
    expected = estimate_of(
        control[rest], treatment[rest], np.unique(clusters[rest], return_inverse=True)[1]
    )
    assert (found.n_items, found.n_unmeasured, expected.n_unmeasured) == (56, 4, 0)
    found.n_unmeasured = 0
    assert found == expected


def test_an_amount_that_no_item_has_under_both_arms_has_no_estimate():
    nothing = np.full(3, np.nan)
    assert log_values(pairs_of(np.ones(3), nothing)) == {}


def test_numbers_beyond_what_a_number_can_hold_are_absent():
    found = estimate_of(np.array([1e-300, 1e-300]), np.array([1e300, 1e299]))
    assert (found.ratio, found.ci_low, found.ci_high, found.ci_trusted) == (None, None, None, False)
    assert found.log_ratio == pytest.approx(math.log(10) * 599.5)


def test_the_smallest_detectable_ratio_is_found_as_often_as_it_says():
    draw = np.random.default_rng(4)
    control, treatment, _ = made_up(2, 40)
    _, means = amount_estimates(log_values(pairs_of(control, treatment)), SETTINGS)
    power = amount_power(means["tokens"], 0.05, 0.8)
    assert power.smallest_detectable_ratio == math.exp(
        power_of(means["tokens"], 0.05, 0.8, ()).smallest_detectable
    )
    deviation = power.standard_error * math.sqrt(40)
    logs = draw.normal(math.log(power.smallest_detectable_ratio), deviation, size=(4000, 40))
    rejected = stats.ttest_1samp(logs, 0, axis=1).pvalue < 0.05
    assert np.mean(rejected) == pytest.approx(0.8, abs=0.025)


# The command

TONE = Metric("tone", "tone", "How formal an answer is.", "neither", kind="amount", unit="points")
LENGTH = Metric("length", "length", "Words of an answer.", "lower", kind="amount", unit="words")


class Toned(OpenBook):
    """Questions whose answers have two amounts besides."""

    name = "toned"
    metrics = (*OpenBook.metrics, TONE, LENGTH)


class OnlyToned(OpenBook):
    """A task that measures an amount and no share."""

    name = "only_toned"
    metrics = (TONE,)
    selective_risk = None
    false_answers = None


@pytest.fixture(autouse=True)
def further_tasks(monkeypatch):
    for task in (Toned(), OnlyToned()):
        monkeypatch.setitem(TASKS._places, task.name, "declared in this test")
        monkeypatch.setitem(TASKS._found, task.name, task)


def item(number):
    return AnsweredQuestion(
        id=str(number),
        dataset="one" if number < 40 else "two",
        question="?",
        answers=["x"] if number % 4 else [],
        context="x",
        is_unanswerable=number % 4 == 0,
        cluster_id=f"p{number // 2}",
    )


def experiment(task=Toned, arms=("control", "treatment"), n=120):
    """Items, and rows in which the treatment changes some answers and shortens all."""
    draw = np.random.default_rng(0)
    record = ItemScores.with_metrics(task.metrics)
    items, rows = [item(k) for k in range(n)], []
    for arm in arms:
        for of in items:
            right = float(draw.random() < (0.5 if arm == "control" else 0.7))
            numbers = {"em": right, "f1": right, "abstain_rate": 0.0, "unsupported_rate": 0.0}
            numbers |= {"correct": right, "contains_gold": right}
            numbers["false_answer_rate"] = 1.0 if of.is_unanswerable else 1 - right
            numbers["tone"] = float(draw.normal(0, 1) ** 2 + 0.1)
            numbers["length"] = float(draw.lognormal(3 if arm == "control" else 2.5, 0.5))
            numbers = {each.name: numbers[each.name] for each in task.metrics}
            numbers |= {f"{name}_std": 0.0 for name in numbers}
            place = {"item_key": of.key, "type": task.name, "condition": arm, "temp": "0.0"}
            rows.append(record.model_validate(place | numbers))
    return rows, items


def changed(rows, number, **values):
    """Rows of which one has other values."""
    return [*rows[:number], rows[number].model_copy(update=values), *rows[number + 1 :]]


def analysed(rows, items, settings=SETTINGS, samples=1):
    all_settings = StatsSettings(stats=settings, samples_per_item={"0.0": samples})
    return compared.analysed(rows, items, all_settings)


def only(found, treatment="treatment", task="toned"):
    return found["results"][treatment]["0.0"][task]


def test_amounts_stand_beside_metrics():
    rows, items = experiment()
    outputs = analysed(rows, items)
    result = only(outputs.significance)
    assert list(result["amounts"]) == ["tone", "length"]
    assert "tone" not in result["metrics"]
    length = result["amounts"]["length"]
    assert length["ci_low"] < length["ratio"] < length["ci_high"] < 1
    assert (length["ci_method"], length["ci_trusted"]) == ("cluster_t", True)
    for subgroup in result["subgroups"].values():
        assert list(subgroup["amounts"]) == ["tone", "length"]
    assert result["subgroups"]["dataset=one"]["amounts"]["length"]["n_items"] == 40
    assert list(outputs.power["amounts"]["treatment"]["0.0"]["toned"]) == ["tone", "length"]
    assert list(only(outputs.power)) == list(result["metrics"])
    for name in ("tost", "mcnemar"):
        assert "length" not in result[name]


def test_a_further_amount_changes_nothing_about_the_shares():
    rows, items = experiment(arms=("control", "treatment", "another"))
    plain = ItemScores.with_metrics(OpenBook.metrics)
    fewer = [
        plain.model_validate({name: getattr(row, name) for name in plain.model_fields})
        for row in rows
    ]
    one, other = (analysed(each, items).significance for each in (rows, fewer))
    for treatment in ("treatment", "another"):
        with_amounts, without = only(one, treatment), only(other, treatment)
        assert without.pop("amounts") == {}
        del with_amounts["amounts"]
        for result in (with_amounts, without):
            for subgroup in result["subgroups"].values():
                subgroup["amounts"] = {}
            warnings = result["meta"]["warnings"]
            result["meta"]["warnings"] = [
                each for each in warnings if not {"tone", "length"} & {*each["metrics"]}
            ]
        assert with_amounts == without


def test_amounts_are_families_of_their_own():
    rows, items = experiment(arms=("control", "treatment", "another"))
    found = analysed(rows, items).significance
    results = [only(found, treatment) for treatment in ("another", "treatment")]
    assert found["multiplicity"]["families"] == {
        "exploratory": 14,  # 7 shares of 2 treatments
        "amounts": 4,
        "subgroups": 56,
        "amounts_in_subgroups": 16,
    }
    totals = [each for result in results for each in result["amounts"].values()]
    p_values = [each["permutation_p"] for each in totals]
    assert [each["q_value"] for each in totals] == benjamini_hochberg(p_values)
    assert [each["p_holm"] for each in totals] == holm(p_values)
    assert {each["family"] for each in totals} == {"amounts"}


def test_an_amount_can_be_the_declared_question():
    rows, items = experiment()
    declared = Registration(primary="length", direction="decrease", secondary=["tone"], alpha=0.01)
    outputs = analysed(rows, items, SETTINGS.model_copy(update={"registration": declared}))
    found, result = outputs.significance, only(outputs.significance)
    length = result["amounts"]["length"]
    (test,) = found["registration"]["tests"]
    assert found["multiplicity"]["families"]["primary"] == 1
    assert found["multiplicity"]["families"]["secondary"] == 1
    assert test["p_value"] == length["permutation_p_decrease"]
    assert test["confirmed"]
    assert test["ratio"] == length["ratio"]
    assert test["difference"] == pytest.approx(math.log(length["ratio"]))
    assert (test["ci_low"], test["ci_high"]) == (length["ci_low"], length["ci_high"])
    assert test["equivalent"] is None
    power = outputs.power["amounts"]["treatment"]["0.0"]["toned"]
    assert (power["length"]["alpha"], power["tone"]["alpha"]) == (0.01, 0.05)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_value_without_a_logarithm_stops_with_its_item(value):
    rows, items = experiment()
    with pytest.raises(
        UserError,
        match=rf"item 'one\|3' has tone {value:g} under 'treatment', and ratios need values above "
        "0: ",
    ):
        analysed(changed(rows, 123, tone=value), items)


def test_an_amount_may_be_missing_on_some_items():
    rows, items = experiment()
    some = changed(changed(rows, 3, tone=None), 124, tone=None)
    result = only(analysed(some, items).significance)
    assert (result["n_items"], result["meta"]["n_unpaired"]) == (120, 0)
    tone, length = result["amounts"]["tone"], result["amounts"]["length"]
    assert (tone["n_items"], tone["n_unmeasured"]) == (118, 2)
    assert (length["n_items"], length["n_unmeasured"]) == (120, 0)
    (warning,) = [each for each in result["meta"]["warnings"] if each["code"] == "unmeasured_items"]
    assert warning["metrics"] == ["tone"]
    assert warning["message"].startswith("2 items have no value of tone")
    with pytest.raises(UserError, match="em is empty on some rows of one task only"):
        analysed(changed(rows, 3, em=None), items)


def test_an_amount_that_one_arm_lacks_is_named():
    rows, items = experiment()
    some = [
        row.model_copy(update={"tone": None}) if row.condition == "treatment" else row
        for row in rows
    ]
    result = only(analysed(some, items).significance)
    assert list(result["amounts"]) == ["length"]
    (warning,) = [each for each in result["meta"]["warnings"] if each["metrics"] == ["tone"]]
    assert warning["message"].startswith("no item has a value of tone under both arms")


def test_a_task_may_have_amounts_alone():
    rows, items = experiment(OnlyToned)
    outputs = analysed(rows, items, samples=3)
    result = only(outputs.significance, task="only_toned")
    assert (result["metrics"], list(result["amounts"])) == ({}, ["tone"])
    assert outputs.significance["multiplicity"]["families"] == {
        "amounts": 1,
        "amounts_in_subgroups": 4,
    }
    assert not [each for each in result["meta"]["warnings"] if each["code"] == "repeated_samples"]


def test_few_clusters_get_a_warning():
    rows, items = experiment(n=40)
    result = only(analysed(rows, items).significance)
    (warning,) = [
        each
        for each in result["meta"]["warnings"]
        if each["code"] == "ci_not_trusted" and "tone" in each["metrics"] and not each["subgroup"]
    ]
    assert "may be too narrow" in warning["message"]
    assert "keeps its level from 50 clusters with a difference on" in warning["message"]


def test_the_command_reads_amounts_and_writes_valid_json(tmp_path, monkeypatch):
    rows, items = experiment()
    rows = changed(rows, 3, tone=None, tone_std=None)
    write_csv(tmp_path / "scores.csv", type(rows[0]), rows)
    write_jsonl(tmp_path / "toned.jsonl", items)
    write_json(tmp_path / "settings.json", StatsSettings(stats=SETTINGS).model_dump(mode="json"))
    names = ("significance", "selective_risk", "power")
    words = [
        *("--scores", tmp_path / "scores.csv", "--items", tmp_path / "toned.jsonl"),
        *("--settings", tmp_path / "settings.json"),
    ]
    for name in names:
        words += [f"--{name.replace('_', '-')}", tmp_path / f"{name}.json"]
    monkeypatch.setattr(sys, "argv", ["contrasts", *map(str, words)])
    main()
    found = [json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")) for name in names]
    expected = analysed(rows, items)
    assert found == [expected.significance, expected.selective_risk, expected.power]


def test_an_amount_of_the_users_own_is_one_of_the_task(tmp_path):
    """metrics.json beside the scores declares it; no task does."""
    rows, items = experiment()
    path, table = tmp_path / "per_item_scores.csv", table_of(items)
    write_csv(path, type(rows[0]), [row.model_copy(update={"type": "open_book"}) for row in rows])
    write_metrics(tmp_path / METRICS_FILE, Toned.metrics)
    settings = StatsSettings(stats=SETTINGS)
    outputs = analyse(read_scores([path], table), table, settings)
    found = only(outputs.significance.model_dump(mode="json"), task="open_book")
    assert found == only(analysed(rows, items).significance)


@pytest.mark.parametrize(
    ("settings", "location", "message"),
    [
        (
            {"tost_margins": {"tone": 0.1}},
            ("stats", "tost_margins", "tone"),
            "'tone' is an amount, compared by ratios, and a margin needs differences of shares",
        ),
        (
            {"registration": {"primary": "tone", "margin": 0.1}},
            ("stats", "registration", "margin"),
            "a margin needs differences of shares",
        ),
        (
            {"registration": {"primary": "tone", "waves": 2}},
            ("stats", "registration", "waves"),
            "waves need differences of shares",
        ),
        (
            {"tost_margins": {"words": 0.1}},
            ("stats", "tost_margins", "words"),
            "'words' is an amount",
        ),
        ({"registration": {"primary": "tone", "secondary": ["em", "length", "words"]}}, None, None),
        ({"registration": {"primary": "em", "margin": 0.1, "waves": 2}}, None, None),
    ],
)
def test_what_only_shares_have_is_refused_for_amounts(settings, location, message):
    config = Config.model_validate(
        {
            "datasets": {"one": {"format": "jsonl", "path": "one.jsonl", "task": "toned"}},
            "prompt_sets": {"set": {"control": "control", "treatment": "treatment"}},
            "model_id": "some",
            "parts_per_dataset": 4,
            "metrics": {"words": {"file": "words.py", "better": "lower", "kind": "amount"}},
            "stats": settings,
        }
    )
    found = list(unknown_names(config))
    if location is None:
        assert not found
    else:
        ((where, text),) = found
        assert (where, message in text) == (location, True)


@pytest.mark.parametrize("primary", ["tone", "my_own"])
def test_nothing_is_planned_where_nobody_knows_the_variation(primary):
    stats_settings = Stats(registration=Registration(primary=primary))
    settings = StatsSettings(stats=stats_settings, tasks={"one": "toned"})
    planned = design(settings).model_copy(update={"waves_planned": 1})
    (found,) = planned_tests(planned, {"toned": 100})
    assert (found.primary, found.detectable) == (primary, {})
    assert _question(found).endswith(
        "one look at a level of 0.05. Nobody knows beforehand how much it varies from item to item."
    )
