"""Agreement against statsmodels, scipy and published examples; faulty judges are exposed."""

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import proportion_confint

from workflow_scripts.stats.agreement import (
    agreement,
    errors_by_arm,
    krippendorff_alpha,
    length_slope,
    order_swap,
    retest,
)
from workflow_scripts.stats.prediction_powered import Judged


def table(true_positive, false_negative, false_positive, true_negative):
    counts = [true_positive, false_negative, false_positive, true_negative]
    return np.repeat([1.0, 0, 1, 0], counts), np.repeat([1.0, 1, 0, 0], counts)


def test_kappa_and_its_interval_are_those_of_statsmodels():
    verdicts, labels = table(53, 8, 14, 25)
    found = agreement(verdicts, labels, np.arange(100), 0.95).kappa
    expected = cohens_kappa([[53, 8], [14, 25]])
    assert found.value == pytest.approx(expected.kappa)
    # statsmodels divides by n and takes the normal quantile.
    half = 1.959964 * expected.std_kappa * np.sqrt(100 / 99) * 1.984217 / 1.959964
    assert found.ci_low == pytest.approx(found.value - half, rel=1e-5)
    assert found.ci_high == pytest.approx(found.value + half, rel=1e-5)


def test_rates_have_wilson_s_interval():
    verdicts, labels = table(53, 8, 14, 25)
    found = agreement(verdicts, labels, np.arange(100), 0.9)
    for rate, count, n in (
        (found.sensitivity, 53, 61),
        (found.specificity, 25, 39),
        (found.label_share, 61, 100),
        (found.verdict_share, 67, 100),
        (found.agreement, 78, 100),
    ):
        assert rate.value == pytest.approx(count / n)
        low, high = proportion_confint(count, n, alpha=0.1, method="wilson")
        assert (rate.ci_low, rate.ci_high) == pytest.approx((low, high))
    assert found.error.value == pytest.approx(0.06)


def test_copies_of_an_item_do_not_narrow_an_interval():
    verdicts, labels = table(53, 8, 14, 25)
    once = agreement(verdicts, labels, np.arange(100), 0.95)
    copies = np.repeat(np.arange(100), 3)
    thrice = agreement(verdicts[copies], labels[copies], copies, 0.95)
    assert thrice.kappa.ci_low == pytest.approx(once.kappa.ci_low, abs=1e-9)
    for name in ("agreement", "sensitivity"):
        one, three = getattr(once, name), getattr(thrice, name)
        assert three.value == pytest.approx(one.value)
        assert three.ci_low == pytest.approx(one.ci_low, abs=0.004)
        assert three.ci_low < one.ci_low  # t, not the normal quantile


def test_weights_undo_the_sampling():
    verdicts, labels = table(400, 100, 200, 300)
    chances = np.where(verdicts != labels, 1.0, 0.25)
    drawn = np.where(verdicts != labels, True, np.arange(1000) % 4 == 0)
    found = agreement(verdicts, np.where(drawn, labels, np.nan), np.arange(1000), 0.95, chances)
    everything = agreement(verdicts, labels, np.arange(1000), 0.95)
    for name in ("kappa", "sensitivity", "specificity", "error", "label_share"):
        assert getattr(found, name).value == pytest.approx(getattr(everything, name).value)


def test_a_judge_that_always_says_correct_has_no_kappa_and_no_specificity():
    labels = np.repeat([1.0, 0], [80, 20])
    found = agreement(np.ones(100), labels, np.arange(100), 0.95)
    assert found.agreement.value == 0.8  # Looks fine,
    assert found.kappa.value == 0  # and is chance.
    assert found.sensitivity.value == 1
    assert found.specificity.value == 0
    assert found.specificity.ci_high < 0.17
    assert found.error.value == pytest.approx(0.2)


def test_kappa_is_undefined_where_nothing_varies():
    found = agreement(np.ones(5), np.ones(5), np.arange(5), 0.95)
    assert found.kappa is None
    assert found.specificity is None
    assert found.agreement.value == 1
    with pytest.raises(ValueError, match="no items"):
        agreement(np.ones(5), np.full(5, np.nan), np.arange(5), 0.95)


def test_a_judge_that_errs_on_one_arm_shows_in_the_errors_by_arm():
    rng = np.random.default_rng(1)
    labels = (rng.random((2, 400)) < 0.6).astype(float)
    verdicts = labels.copy()
    wrong = (rng.random(400) < 0.25) & (labels[1] == 0)
    verdicts[1, wrong] = 1
    found = errors_by_arm(Judged(*verdicts, *labels, np.arange(400)), 0.95)
    assert found.control.value == 0
    assert found.treatment.ci_low > 0
    assert found.difference.value == pytest.approx(wrong.mean())
    assert found.difference.ci_low > 0


def test_a_judge_that_prefers_longer_answers_shows_in_the_slope():
    rng = np.random.default_rng(2)
    n = 300
    lengths = np.exp(rng.normal(5, 0.7, (n, 2)))
    labels = (rng.random((n, 2)) < 0.6).astype(float)
    rate = 0.15 * np.log2(lengths / np.exp(5)) + 0.5
    fond_of_length = (rng.random((n, 2)) < np.clip(rate, 0, 1)).astype(float)
    found = length_slope(fond_of_length - labels, lengths, np.arange(n), 0.95)
    assert 0 < found.ci_low < 0.15 < found.ci_high
    noise = (rng.random((n, 2)) < 0.1).astype(float)
    fair = length_slope(np.abs(labels - noise) - labels, lengths, np.arange(n), 0.95)
    assert fair.ci_low < 0 < fair.ci_high


def test_the_slope_is_that_of_a_regression_with_items_and_arms():
    rng = np.random.default_rng(3)
    n = 40
    lengths = rng.uniform(10, 500, (n, 2))
    values = rng.normal(size=(n, 2))
    arm = np.tile([0.0, 1.0], n)
    design = np.column_stack([np.log2(lengths).ravel(), arm, np.kron(np.eye(n), np.ones((2, 1)))])
    expected = np.linalg.lstsq(design, values.ravel())[0][0]
    assert length_slope(values, lengths, np.arange(n), 0.95).value == pytest.approx(expected)


def test_a_better_arm_with_longer_answers_is_no_preference_for_length():
    rng = np.random.default_rng(4)
    n = 300
    lengths = np.exp(rng.normal([4, 6], 0.5, (n, 2)))
    values = (rng.random((n, 2)) < [0.4, 0.8]).astype(float)
    found = length_slope(values, lengths, np.arange(n), 0.95)
    assert found.ci_low < 0 < found.ci_high
    values[::2, 0], values[1::2, 1] = np.nan, np.nan  # One arm for each item.
    found = length_slope(values, lengths, np.arange(n), 0.95)
    assert found.ci_low < 0 < found.ci_high
    assert found.n_items == n


def test_equal_lengths_have_no_slope():
    assert length_slope(np.eye(6)[:, :2], np.full((6, 2), 9.0), np.arange(6), 0.95) is None


def test_a_judge_that_prefers_the_first_of_a_pair_shows_after_the_swap():
    control_first, treatment_first = np.full(50, -1.0), np.full(50, 1.0)
    found = order_swap(control_first, treatment_first, np.arange(50), 0.95)
    assert found.inconsistent.value == 1
    assert found.first_preferred.value == 1
    assert found.first_preferred.ci_low > 0.9
    same = order_swap(treatment_first, treatment_first, np.arange(50), 0.95)
    assert same.inconsistent.value == 0
    assert same.inconsistent.ci_high < 0.08
    assert same.first_preferred is None
    last = order_swap(treatment_first, control_first, np.arange(50), 0.95)
    assert last.first_preferred.value == 0


def test_judgements_of_one_response_are_compared_in_pairs():
    verdicts = np.array([[1, 1, 1], [1, 1, 0], [0, 0, np.nan], [1, np.nan, np.nan]])
    found = retest(verdicts, np.arange(4), 0.95)
    assert found.value == pytest.approx((1 + 1 / 3 + 1) / 3)
    assert found.n_items == 3
    assert retest(verdicts[:, :1], np.arange(4), 0.95) is None


def test_krippendorff_s_published_example():
    """Krippendorff (2011), Computing Krippendorff's alpha-reliability, example C: 0.743."""
    missing = np.nan
    ratings = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, missing, missing, missing],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, missing, 3],
            [missing, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, missing],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, missing],
        ]
    ).T
    found = krippendorff_alpha(ratings, np.arange(12), 0.95)
    assert found.value == pytest.approx(0.743, abs=0.0005)
    assert found.n_items == 11
    assert found.ci_low < found.value < found.ci_high


def test_alpha_s_interval_is_about_the_bootstrap_s():
    rng = np.random.default_rng(5)
    truth = rng.random(200) < 0.5
    ratings = np.stack([np.where(rng.random(200) < 0.8, truth, ~truth) for _ in range(3)], axis=1)
    found = krippendorff_alpha(ratings.astype(float), np.arange(200), 0.95)
    draws = []
    for _ in range(400):
        again = ratings[rng.integers(0, 200, 200)].astype(float)
        draws.append(krippendorff_alpha(again, np.arange(200), 0.95).value)
    assert found.ci_high - found.ci_low == pytest.approx(2 * 1.96 * np.std(draws), rel=0.15)


def test_alpha_is_undefined_without_variation_or_pairs():
    assert krippendorff_alpha(np.ones((4, 2)), np.arange(4), 0.95) is None
    assert krippendorff_alpha(np.array([[1.0, np.nan]]), np.arange(1), 0.95) is None
