"""Corrected shares against ppi_py, against the labels alone, and in simulations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from workflow_scripts.stats.intervals import cluster_t_interval, mean_difference
from workflow_scripts.stats.label_design import LabelDesign
from workflow_scripts.stats.prediction_powered import Judged, compare_judged
from workflow_scripts.stats.rogan_gladen import rogan_gladen


def judged(labelled, unlabelled, clusters=None):
    """Rows of (judge control, treatment, label control, treatment), then of the judge alone."""
    rows = [*labelled, *((*each, np.nan, np.nan) for each in unlabelled)]
    columns = np.array(rows, dtype=float).T
    return Judged(*columns, np.arange(len(rows)) if clusters is None else clusters)


def repeated(values, counts):
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


def test_one_arm_is_as_ppi_py_has_it():
    """Reference: ppi_py 0.2.3, which takes labelled and unlabelled items as two samples.

        y = np.repeat([1., 1, 0, 0], [100, 17, 13, 70])
        f = np.repeat([1., 0, 1, 0], [100, 17, 13, 70])
        unlabelled = np.repeat([1., 0], [420, 380])
        ppi_mean_pointestimate(y, f, unlabelled, lam=lam)
        ppi_mean_ci(y, f, unlabelled, alpha=0.05, lam=lam)

    lam = 0: 0.585 (0.51671347, 0.65328653); lam = 0.6: 0.561; tuned: 0.56323408 (0.50963541,
    0.61683275). Our weight is that on all items, labelled or not: lam / (1 - 200 / 1000).
    """
    labelled = repeated([(1, 1, 1, 1), (0, 0, 1, 1), (1, 1, 0, 0), (0, 0, 0, 0)], [100, 17, 13, 70])
    found = compare_judged(judged(labelled, repeated([(1, 1), (0, 0)], [420, 380])), 0.95).control
    lam = found.weight * 0.8
    assert found.estimate == pytest.approx(0.585 + lam * (0.561 - 0.585) / 0.6, abs=1e-12)
    assert found.estimate == pytest.approx(0.56323408, abs=0.0005)
    # The variance of unseen errors widens ours by 3 %, and t by 0.6 %.
    assert found.ci_high - found.ci_low == pytest.approx(0.61683275 - 0.50963541, rel=0.04)
    assert found.ci_high - found.ci_low > 0.61683275 - 0.50963541
    assert found.labels_only.estimate == pytest.approx(0.585)
    unseen = 1 / 200**2
    plain = np.sqrt(found.labels_only.standard_error**2 - unseen)
    # ppi_py divides by n where we divide by n - 1.
    assert plain * np.sqrt(199 / 200) * 1.959964 == pytest.approx(0.06828653, abs=1e-7)


def test_the_variance_is_that_of_a_fitted_line():
    data = arms(np.random.default_rng(21))
    found = compare_judged(data, 0.95).difference
    d = data.treatment_labels - data.control_labels
    g = data.treatment - data.control
    labelled = ~np.isnan(d)
    n, n_all, weight = 100, 400, found.weight
    assert 0.3 < weight < 1
    influence = weight * (g - g.mean()) / n_all
    residuals = (d - weight * g)[labelled]
    influence[labelled] += (residuals - residuals.mean()) / n
    variance = (influence[~labelled] ** 2).sum() + (influence[labelled] ** 2).sum() * n / (n - 1)
    # One degree of freedom for the mean, one for the weight, and the unseen errors.
    assert found.degrees_of_freedom == pytest.approx(n - 2)
    expected = variance * (n - 1) / (n - 2) + 1 / n**2
    assert found.standard_error**2 == pytest.approx(expected)
    half = stats.t.ppf(0.975, n - 2) * found.standard_error
    assert found.ci_high - found.estimate == pytest.approx(half)


def test_a_paired_difference_is_as_ppi_py_has_it():
    """Reference: ppi_py 0.2.3 with the items' differences as values.

        d = np.repeat([1., 1, 0, 0, 0, -1, -1], [18, 6, 7, 140, 5, 8, 16])
        g = np.repeat([1., 0, 1, 0, -1, -1, 0], [18, 6, 7, 140, 5, 8, 16])
        unlabelled = np.repeat([1., 0, -1], [120, 600, 80])

    lam = 0: 0; lam = 0.6: -0.006; tuned: -0.00441554 (-0.06216004, 0.05332895).
    """
    kinds = [
        *((0, 1, 0, 1), (1, 1, 0, 1), (0, 1, 0, 0), (1, 1, 1, 1)),
        *((1, 0, 0, 0), (1, 0, 1, 0), (0, 0, 1, 0)),
    ]
    labelled = repeated(kinds, [18, 6, 7, 140, 5, 8, 16])
    unlabelled = repeated([(0, 1), (1, 1), (1, 0)], [120, 600, 80])
    found = compare_judged(judged(labelled, unlabelled), 0.95)
    assert found.difference_from == "pairs"
    assert found.n_pairs == 200
    difference = found.difference
    assert difference.estimate == pytest.approx(-0.01 * difference.weight * 0.8, abs=1e-12)
    # The weights differ a little: ppi_py's comes from the judge's variance on all items alone.
    assert difference.estimate == pytest.approx(-0.00441554, abs=0.001)
    width = difference.ci_high - difference.ci_low
    assert width == pytest.approx(0.05332895 + 0.06216004, rel=0.04)


def arms(
    rng, n_items=400, n_labels=100, shares=(0.6, 0.7), sensitivity=(0.9, 0.9),
    specificity=(0.9, 0.9), cluster_size=1, probability=None,
):  # fmt: skip
    """Correlated answers of two arms, a judge that errs at known rates, labels on some items."""
    clusters = np.arange(n_items) // cluster_size
    common = rng.normal(size=clusters[-1] + 1)[clusters] * (0.4 if cluster_size > 1 else 0)
    disposition = common + rng.normal(size=n_items) * (0.7 if cluster_size > 1 else 0.8)
    spread = np.sqrt(0.16 + 0.49 if cluster_size > 1 else 0.64)
    truth, verdicts = [], []
    for arm in (0, 1):
        noise = rng.normal(size=n_items) * np.sqrt(1 - spread**2)
        correct = disposition + noise < QUANTILES[shares[arm]]
        truth.append(correct.astype(float))
        rate = np.where(correct, sensitivity[arm], 1 - specificity[arm])
        verdicts.append((rng.random(n_items) < rate).astype(float))
    if probability is None:
        labelled = np.zeros(n_items, bool)
        labelled[rng.choice(n_items, n_labels, replace=False)] = True
        chances = None
    else:
        chances = probability(*verdicts)
        labelled = rng.random(n_items) < chances
    labels = [np.where(labelled, each, np.nan) for each in truth]
    return Judged(*verdicts, *labels, clusters, chances)


QUANTILES = {0.6: 0.2533471, 0.7: 0.5244005}


@given(
    seed=st.integers(0, 10_000),
    n_labels=st.integers(2, 60),
    quality=st.floats(0, 1),
    cluster_size=st.sampled_from([1, 7]),
)
@settings(max_examples=60)
def test_never_wider_than_the_labels_alone(seed, n_labels, quality, cluster_size):
    rng = np.random.default_rng(seed)
    data = arms(rng, 70, n_labels, (0.6, 0.7), (quality,) * 2, (0.7, quality), cluster_size)
    comparison = compare_judged(data, 0.9)
    for found in (comparison.control, comparison.treatment, comparison.difference):
        assert 0 <= found.weight <= 1
        if found.ci_low is None:
            assert found.n_labelled_clusters == 1
            continue
        assert found.standard_error <= found.labels_only.standard_error + 1e-12
        # Ends are cut off where no share can be, so half-widths are compared before.
        alone = found.labels_only
        ends = np.array([found.ci_low, found.ci_high, alone.ci_low, alone.ci_high])
        if (abs(ends) < 1).all():
            assert found.effective_labels >= found.n_labelled - 1e-9


def test_labels_on_all_items_leave_nothing_to_the_judge():
    data = arms(np.random.default_rng(1), 100, 100, cluster_size=5)
    found = compare_judged(data, 0.95).difference
    differences = data.treatment_labels - data.control_labels
    mean = mean_difference(differences, data.clusters)
    assert found.estimate == pytest.approx(mean.mean)
    assert found.labels_only.standard_error == pytest.approx(found.standard_error)
    assert found.degrees_of_freedom == pytest.approx(mean.freedom)
    interval = cluster_t_interval(mean, 0.95)
    assert found.ci_low <= interval.low < interval.high <= found.ci_high
    effect = max(1.0, mean.design_effect)
    assert found.standard_error**2 == pytest.approx(mean.standard_error**2 + (effect / 100) ** 2)


def test_the_order_of_items_is_of_no_consequence():
    data = arms(np.random.default_rng(2), cluster_size=4)
    order = np.random.default_rng(3).permutation(len(data.clusters))
    fields = ("control", "treatment", "control_labels", "treatment_labels", "clusters")
    other = Judged(*(getattr(data, name)[order] for name in fields))
    one, two = compare_judged(data, 0.95).difference, compare_judged(other, 0.95).difference
    assert one.estimate == pytest.approx(two.estimate)
    assert one.ci_low == pytest.approx(two.ci_low)


def test_arms_that_change_places_change_the_sign():
    data = arms(np.random.default_rng(4))
    other = Judged(
        data.treatment, data.control, data.treatment_labels, data.control_labels, data.clusters
    )
    one, two = compare_judged(data, 0.95).difference, compare_judged(other, 0.95).difference
    assert one.estimate == pytest.approx(-two.estimate)
    assert one.ci_low == pytest.approx(-two.ci_high)


def test_labels_on_one_arm_are_used_where_they_narrow_the_interval():
    rng = np.random.default_rng(5)
    n = 600
    control, treatment = (
        rng.random(n) < 0.5,
        rng.random(n) < 0.5,
    )  # Independent: pairing is no help.
    labels = [control.astype(float), treatment.astype(float)]
    labels[0][40:120] = np.nan
    labels[1][120:200] = np.nan
    for each in labels:
        each[200:] = np.nan
    verdicts = np.zeros(n), np.zeros(n)
    found = compare_judged(Judged(*verdicts, *labels, np.arange(n)), 0.95)
    assert found.difference_from == "all"
    assert found.n_pairs == 40
    assert found.difference.n_labelled == 120
    labels = [control.astype(float), control.astype(float)]  # Equal: pairing is everything.
    labels[0][40:120] = np.nan
    for each in labels:
        each[200:] = np.nan
    found = compare_judged(Judged(*verdicts, *labels, np.arange(n)), 0.95)
    assert found.difference_from == "pairs"


def test_labels_of_one_cluster_under_an_arm_have_no_interval():
    control, treatment = np.full(40, np.nan), np.full(40, np.nan)
    control[:20] = np.tile([0, 1], 10)  # all of the first cluster
    treatment[20:26] = 1, 0, 1, 0, 1, 0
    clusters = np.concatenate([np.zeros(20, np.int64), np.arange(1, 21)])
    verdicts = np.tile([0.0, 1.0], 20)
    found = compare_judged(Judged(verdicts, verdicts, control, treatment, clusters), 0.95)
    assert found.treatment.ci_low is not None
    assert found.control.ci_low is None
    assert found.difference.ci_low is None
    assert found.difference.standard_error is None
    assert not found.difference.trusted


def test_without_labels_there_is_nothing_to_correct():
    none = np.full(20, np.nan)
    verdicts = np.tile([0.0, 1.0], 10)
    found = compare_judged(Judged(verdicts, verdicts, none, none, np.arange(20)), 0.95)
    assert found.control is None and found.treatment is None and found.difference is None
    one = none.copy()
    one[3] = 1
    found = compare_judged(Judged(verdicts, verdicts, one, none, np.arange(20)), 0.95)
    assert found.treatment is None and found.difference is None
    assert found.control.estimate == 1
    assert found.control.ci_low is None
    assert not found.control.trusted


@pytest.mark.parametrize(
    "wrong", [{"control": [2.0, 0]}, {"treatment_labels": [-1.0, 0]}, {"clusters": [0]}]
)
def test_input_that_is_no_share_is_refused(wrong):
    fields = {"control": [0.0, 1], "treatment": [0.0, 1], "control_labels": [0.0, np.nan]}
    fields |= {"treatment_labels": [0.0, np.nan]}
    fields |= {"clusters": [0, 1], **wrong}
    with pytest.raises(ValueError, match=r"must be|one length"):
        Judged(**{name: np.array(value) for name, value in fields.items()})


JUDGES = {
    "always says correct": {"sensitivity": (1, 1), "specificity": (0, 0)},
    "errs on one arm": {"sensitivity": (0.95, 0.7), "specificity": (0.95, 0.95)},
    "favours the treatment": {"sensitivity": (0.9, 0.99), "specificity": (0.95, 0.6)},
    "good": {"sensitivity": (0.95, 0.95), "specificity": (0.92, 0.92)},
}
TIMES = 300


def simulated(seed, **settings):
    rng = np.random.default_rng(seed)
    return [compare_judged(arms(rng, **settings), 0.95) for _ in range(TIMES)]


@pytest.mark.parametrize("judge", JUDGES)
def test_the_corrected_difference_is_right_whatever_the_judge(judge):
    found = [each.difference for each in simulated(11, **JUDGES[judge])]
    covered = np.mean([each.ci_low <= 0.1 <= each.ci_high for each in found])
    # Three standard errors of a share from 300 draws around 0.95.
    assert 0.91 <= covered <= 0.99
    estimates = np.array([each.estimate for each in found])
    assert abs(estimates.mean() - 0.1) < 4 * estimates.std() / TIMES**0.5
    if judge in ("errs on one arm", "favours the treatment"):
        wrong = [each.judge_only.ci_low <= 0.1 <= each.judge_only.ci_high for each in found]
        assert np.mean(wrong) < 0.2
    if judge == "good":
        assert np.median([each.effective_labels for each in found]) > 150
    if judge == "always says correct":
        assert {each.weight for each in found} == {0.0}


def prefers_longer(rng, truth):
    """The treatment's responses are longer, and length counts more than the truth."""
    lengths = rng.normal([[0.0], [1.0]], 1, truth.shape)
    return (lengths + truth + rng.normal(size=truth.shape) > 1).astype(float)


def prefers_first(rng, truth):
    """Of a pair, the first is called correct, and the second only if it is clearly better."""
    first, second = (
        np.ones_like(truth[0]),
        (truth[1] > truth[0]) & (rng.random(len(truth[0])) < 0.8),
    )
    return np.array([first, second])


@pytest.mark.parametrize("judge", [prefers_longer, prefers_first])
def test_a_preference_for_length_or_position_is_corrected(judge):
    rng = np.random.default_rng(17)
    corrected, believed, estimates = [], [], []
    for _ in range(TIMES):
        truth = (rng.random((2, 400)) < [[0.6], [0.7]]).astype(float)
        labels = np.where(np.arange(400) < 100, truth, np.nan)
        found = compare_judged(Judged(*judge(rng, truth), *labels, np.arange(400)), 0.95).difference
        corrected.append(found.ci_low <= 0.1 <= found.ci_high)
        believed.append(found.judge_only.ci_low <= 0.1 <= found.judge_only.ci_high)
        estimates.append(found.estimate)
    assert 0.91 <= np.mean(corrected) <= 0.99
    assert np.mean(believed) < 0.05
    assert abs(np.mean(estimates) - 0.1) < 4 * np.std(estimates) / TIMES**0.5


def test_the_standard_error_is_that_of_a_cluster_bootstrap():
    """Whole clusters drawn again, with their labels and sampling probabilities."""
    data = arms(
        np.random.default_rng(19), 900, cluster_size=6,
        probability=lambda one, other: np.where(one != other, 0.6, 0.3),
    )  # fmt: skip
    found = compare_judged(data, 0.95)
    rng = np.random.default_rng(20)
    fields = ("control", "treatment", "control_labels", "treatment_labels")
    draws = []
    for _ in range(300):
        drawn = rng.integers(0, 150, 150)
        rows = (6 * drawn[:, np.newaxis] + np.arange(6)).ravel()
        again = Judged(
            *(getattr(data, name)[rows] for name in fields),
            np.repeat(np.arange(150), 6),
            data.probability[rows],
        )
        each = compare_judged(again, 0.95)
        draws.append([each.difference.estimate, each.control.estimate])
    for value, of in zip(np.std(draws, axis=0), (found.difference, found.control), strict=True):
        assert of.standard_error == pytest.approx(value, rel=0.15)


@pytest.mark.parametrize("size", [1, 10])
def test_labels_drawn_with_unequal_probabilities_leave_no_bias(size):
    """Items on which the judge sees a difference are drawn four times as often."""

    def chances(control, treatment):
        return np.where(control != treatment, 0.6, 0.15)

    judge = JUDGES["favours the treatment"]
    found = simulated(13, **judge, cluster_size=size, probability=chances)
    estimates = np.array([each.difference.estimate for each in found])
    assert abs(estimates.mean() - 0.1) < 4 * estimates.std() / TIMES**0.5
    covered = [each.difference.ci_low <= 0.1 <= each.difference.ci_high for each in found]
    assert 0.91 <= np.mean(covered) <= 0.99
    for arm, share in (("control", 0.6), ("treatment", 0.7)):
        of_arm = np.array([getattr(each, arm).estimate for each in found])
        assert abs(of_arm.mean() - share) < 4 * of_arm.std() / TIMES**0.5


def test_rogan_gladen_is_its_formula():
    # Sensitivity 0.9 and specificity 0.8, the same for both arms.
    kinds = [(1, 1, 1, 1), (0, 0, 1, 1), (0, 0, 0, 0), (1, 1, 0, 0)]
    labelled = repeated(kinds, [45, 5, 40, 10])
    unlabelled = repeated([(0, 0), (0, 1), (1, 1)], [300, 200, 400])
    found = rogan_gladen(judged(labelled, unlabelled), 0.95)
    control, treatment = (0.455 + 0.8 - 1) / 0.7, (0.655 + 0.8 - 1) / 0.7
    assert found.control == pytest.approx(control)
    assert found.treatment == pytest.approx(treatment)
    assert found.difference == pytest.approx(treatment - control)


def test_rogan_gladen_has_the_bootstrap_s_standard_error():
    data = arms(np.random.default_rng(6), 1000, 300)
    found = rogan_gladen(data, 0.95)
    rng = np.random.default_rng(7)
    fields = ("control", "treatment", "control_labels", "treatment_labels")
    draws = []
    for _ in range(400):
        rows = rng.integers(0, 1000, 1000)
        again = Judged(*(getattr(data, name)[rows] for name in fields), np.arange(1000))
        draws.append(rogan_gladen(again, 0.95).difference)
    assert found.standard_error == pytest.approx(np.std(draws), rel=0.12)
    corrected = compare_judged(data, 0.95).difference
    assert found.difference == pytest.approx(corrected.estimate, abs=2 * corrected.standard_error)


def test_rogan_gladen_says_why_it_is_undefined():
    useless = repeated([(1, 1, 1, 1), (1, 1, 0, 0)], [10, 10])
    found = rogan_gladen(judged(useless, [(0, 1)]), 0.95)
    assert (found.undefined, found.difference) == ("uninformative_judge", None)
    all_correct = rogan_gladen(judged([(1, 1, 1, 1)] * 5, [(0, 1)]), 0.95)
    assert all_correct.undefined == "no_incorrect_label"
    data = judged(repeated([(1, 1, 1, 1), (0, 0, 0, 0)], [5, 5]), [], np.zeros(10, np.int64))
    assert rogan_gladen(data, 0.95).undefined == "few_clusters"


def test_planned_precision_is_that_of_the_estimate():
    data = arms(np.random.default_rng(8), 2000, 200)
    found = compare_judged(data, 0.95).difference
    design = LabelDesign.measured(found)
    assert design.standard_error(200) == pytest.approx(found.standard_error, rel=1e-9)
    half = (found.ci_high - found.ci_low) / 2
    assert design.half_width(200, 0.95) == pytest.approx(half, rel=1e-3)
    assert design.labels_for_half_width(half, 0.95) in (200, 201)


def test_precision_before_there_are_labels():
    """From the spread of the true differences and the judge's correlation with them."""
    rng = np.random.default_rng(22)
    everything = arms(rng, 40_000, 40_000)
    d = everything.treatment_labels - everything.control_labels
    g = everything.treatment - everything.control
    design = LabelDesign.assumed(d.std(), np.corrcoef(d, g)[0, 1], 800)
    found = [compare_judged(arms(rng, 800, 200), 0.95).difference for _ in range(20)]
    measured = np.mean([each.standard_error**2 - 1 / 200**2 for each in found])
    assert design.standard_error(200) == pytest.approx(measured**0.5, rel=0.04)


def test_planned_precision_holds_in_new_samples():
    data = arms(np.random.default_rng(9), 2000, 100)
    planned = LabelDesign.measured(compare_judged(data, 0.95).difference).half_width(400, 0.95)
    widths = []
    for seed in range(20):
        found = compare_judged(arms(np.random.default_rng(seed), 2000, 400), 0.95).difference
        widths.append((found.ci_high - found.ci_low) / 2)
    assert planned == pytest.approx(np.mean(widths), rel=0.2)


def test_labels_for_a_width_and_a_difference():
    perfect = LabelDesign.assumed(deviation=0.5, correlation=1, n_items=2500)
    assert perfect.labels_for_half_width(0.03, 0.95) < 10
    useless = LabelDesign.assumed(deviation=0.5, correlation=0, n_items=2500)
    # Without a judge: (1.96 * 0.5 / 0.05)² = 384.1, and some more for t.
    assert useless.labels_for_half_width(0.05, 0.95) in range(385, 389)
    # (1.959964 + 0.841621)² 0.25 / 0.1² = 196.2: a paired z test of 80 % power.
    assert useless.labels_to_detect(0.1, 0.05) in range(197, 201)
    assert useless.labels_for_half_width(0.001, 0.95) is None
    clustered = LabelDesign.assumed(0.5, 0, 2500, design_effect=2)
    assert clustered.labels_for_half_width(0.05, 0.95) > 2 * 384
