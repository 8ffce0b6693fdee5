"""Confidence: AURC, excess AURC and AUROC against enumeration, scipy and published formulas."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from workflow_scripts.stats.confidence import Responses, differences
from workflow_scripts.stats.settings import Stats

SETTINGS = Stats(bootstrap_samples=400)
ROWS = st.lists(
    st.tuples(st.sampled_from([None, 0.0, 0.2, 0.5, 0.9, 1.0]), st.integers(0, 1)),
    min_size=1,
    max_size=6,
)


def responses(rows: list[tuple[float | None, int]], clusters: Any = None) -> Responses:
    confidence = np.array([math.nan if each is None else each for each, _ in rows])
    correct = np.array([float(right) for _, right in rows])
    numbers = np.arange(len(rows)) if clusters is None else np.array(clusters)
    return Responses(numbers, confidence, correct)


def risk_average(order: list[int]) -> float:
    """AURC by its definition: the mean of the risks of the first k responses (1: wrong)."""
    return sum(sum(order[:k]) / k for k in range(1, len(order) + 1)) / len(order)


@given(ROWS)
def test_aurc_is_the_mean_over_all_orders_that_the_confidence_allows(
    rows: list[tuple[float | None, int]],
) -> None:
    def rank(row: tuple[float | None, int]) -> float:
        return 1.0 if row[0] is None else -row[0]

    allowed = [
        [1 - right for _, right in order]
        for order in itertools.permutations(rows)
        if all(rank(a) <= rank(b) for a, b in itertools.pairwise(order))
    ]
    found = responses(rows).summary(0.95)
    assert found.aurc == pytest.approx(sum(map(risk_average, allowed)) / len(allowed))
    best = risk_average(sorted(1 - right for _, right in rows))
    assert found.excess_aurc == pytest.approx(found.aurc - best, abs=1e-12)
    assert found.without == sum(confidence is None for confidence, _ in rows)


@given(ROWS)
def test_auroc_is_mann_whitneys_u(rows: list[tuple[float | None, int]]) -> None:
    right, wrong = (
        [-1.0 if confidence is None else confidence for confidence, each in rows if each == value]
        for value in (1, 0)
    )
    found = responses(rows).summary(0.95).auroc
    if not right or not wrong:
        assert found is None
        return
    u = mannwhitneyu(right, wrong).statistic
    assert found == pytest.approx(u / (len(right) * len(wrong)))


def test_a_confidence_that_knows_everything_and_one_that_knows_nothing() -> None:
    knows = responses([(0.9, 1)] * 5 + [(0.1, 0)] * 5).summary(0.95)
    assert (knows.excess_aurc, knows.auroc) == (0.0, 1.0)
    nothing = responses([(0.5, 1), (0.5, 0)] * 5).summary(0.95)
    assert (nothing.aurc, nothing.auroc) == (pytest.approx(0.5), 0.5)
    assert [(p.coverage, p.risk) for p in nothing.points] == [(1.0, 0.5)]


def test_the_best_area_is_that_of_geifman_uziel_and_el_yaniv() -> None:
    """Their approximation of AURC at the best order, r + (1 - r) ln(1 - r), for large n."""
    for risk in (0.1, 0.3, 0.6):
        n = 20_000
        wrong = round(risk * n)
        rows = [(0.9, 1)] * (n - wrong) + [(0.1, 0)] * wrong
        assert responses(rows).summary(0.95).aurc == pytest.approx(
            risk + (1 - risk) * math.log(1 - risk), abs=1e-4
        )


def test_the_curve_is_thinned_and_ends_with_everything() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.random(5_000)
    right = (rng.random(5_000) < confidence).astype(int)
    found = responses(list(zip(confidence, right, strict=True))).summary(0.95)
    assert 90 <= len(found.points) <= 101
    assert found.points[-1].coverage == 1.0
    assert found.points[-1].risk == pytest.approx(1 - found.share_right)
    assert [p.threshold for p in found.points] == sorted(
        (p.threshold for p in found.points), reverse=True
    )
    # Of a calibrated uniform confidence: 2/3 by integration, E[p²] for Brier's score.
    assert found.calibration.brier_score == pytest.approx(1 / 6, abs=0.01)
    assert found.auroc == pytest.approx(5 / 6, abs=0.015)


def test_an_arm_against_itself_does_not_differ() -> None:
    rows = [(0.1 * (n % 10), int(n % 3 > 0)) for n in range(60)]
    found = differences(responses(rows), responses(rows), SETTINGS)
    assert {each.difference for each in found.values()} == {0.0}
    assert all(each.interval.low is None for each in found.values())


def test_one_cluster_and_arms_that_are_all_right_have_no_interval() -> None:
    rows = [(0.9, 1), (0.8, 0), (0.7, 1)]
    one = responses(rows, [0, 0, 0])
    found = differences(one, responses([(0.9, 0), (0.8, 0), (0.7, 1)], [0, 0, 0]), SETTINGS)
    assert found["aurc"].difference is not None
    assert found["aurc"].interval.low is None
    right = responses([(0.9, 1)] * 3)
    assert differences(responses(rows), right, SETTINGS)["auroc"].difference is None


def test_intervals_cover_the_true_difference_and_clusters_widen_them() -> None:
    """A treatment whose confidence is noise, against a control whose confidence is calibrated."""
    rng = np.random.default_rng(7)
    hits, widths = 0, []
    for _ in range(40):
        p = rng.random(150)
        right = (rng.random(150) < p).astype(float)
        numbers = np.arange(150)
        sure = Responses(numbers, p, right)
        noise = Responses(numbers, rng.random(150), right)
        interval = differences(sure, noise, SETTINGS)["auroc"].interval
        assert interval.low is not None
        assert interval.high is not None
        assert interval.trusted
        hits += interval.low <= 0.5 - 5 / 6 <= interval.high
        widths.append(interval.high - interval.low)
    assert hits >= 34  # 38 of 40 expected; fewer than 34 has a probability of 0.014
    doubled = [np.repeat(each, 2) for each in (numbers, p, rng.random(150), right)]
    as_clusters = differences(
        Responses(doubled[0], doubled[1], doubled[3]),
        Responses(doubled[0], doubled[2], doubled[3]),
        SETTINGS,
    )["auroc"].interval
    as_items = differences(
        Responses(np.arange(300), doubled[1], doubled[3]),
        Responses(np.arange(300), doubled[2], doubled[3]),
        SETTINGS,
    )["auroc"].interval
    assert as_clusters.high - as_clusters.low > 1.2 * (as_items.high - as_items.low)


def test_many_clusters_are_left_out_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    p = rng.random(600)
    right = (rng.random(600) < p).astype(float)
    one = Responses(np.arange(600), p, right)
    other = Responses(np.arange(600), rng.random(600), right)
    grouped = differences(one, other, SETTINGS)["aurc"].interval
    monkeypatch.setattr("workflow_scripts.stats.confidence._JACKKNIFE_GROUPS", 600)
    each = differences(one, other, SETTINGS)["aurc"].interval
    assert grouped.low == pytest.approx(each.low, abs=0.004)
    assert grouped.high == pytest.approx(each.high, abs=0.004)
