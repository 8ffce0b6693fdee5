"""How far a judge can be believed: against people, against itself, and against the text's form.

Labels that were drawn with unequal probabilities are weighted by their inverse, so all numbers
describe all items. Intervals are robust to clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .intervals import t_quantile
from .linearised import Weights, covariance, design_effect
from .prediction_powered import Judged
from .scores import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Measured:
    """A number with its interval; ``None`` ends where the data do not define it.

    ``n_items``: items it was measured on, in ``n_clusters`` clusters.
    """

    value: float
    ci_low: float | None
    ci_high: float | None
    n_items: int
    n_clusters: int


@dataclass(frozen=True)
class Agreement:
    """A judge's verdicts beside people's labels on the same responses.

    ``kappa``: Cohen's kappa, ``None`` where both give one and the same verdict throughout.
    ``label_share`` and ``verdict_share``: shares of "correct" by people and by the judge; kappa is
    low by itself where these are near 0 or 1. ``sensitivity``: the share of correct responses
    that the judge calls correct; ``specificity``: of incorrect ones that it calls incorrect.
    ``error``: verdict minus label, the judge's bias. ``None`` where no label is of the kind.
    """

    kappa: Measured | None
    agreement: Measured
    label_share: Measured
    verdict_share: Measured
    sensitivity: Measured | None
    specificity: Measured | None
    error: Measured


def agreement(
    verdicts: FloatArray,
    labels: FloatArray,
    clusters: IntArray,
    confidence: float,
    probability: FloatArray | None = None,
) -> Agreement:
    """Return how the judge's ``verdicts`` (0 or 1) agree with ``labels`` (0, 1 or NaN).

    Raises:
        ValueError: there is no label, or a verdict or label is neither 0 nor 1.
    """
    labelled = ~np.isnan(labels)
    for name, values in (("verdicts", verdicts), ("labels", labels)):
        if not np.isin(values[labelled], (0, 1)).all():
            raise ValueError(f"{name} must be 0 or 1")
    weights = Weights.of(labelled, probability, clusters)
    same = np.where(labelled, verdicts == labels, np.nan)

    def of_kind(label: float) -> Measured | None:
        kind = labels == label
        if not kind.any():
            return None
        return share(
            verdicts == label, Weights.of(kind, probability, clusters), clusters, confidence
        )

    return Agreement(
        kappa=_kappa(verdicts, labels, same, weights, clusters, confidence),
        agreement=share(same, weights, clusters, confidence),
        label_share=share(labels, weights, clusters, confidence),
        verdict_share=share(verdicts, weights, clusters, confidence),
        sensitivity=of_kind(1.0),
        specificity=of_kind(0.0),
        error=_measured(
            weights.mean(verdicts - labels),
            weights.influence(verdicts - labels),
            weights,
            clusters,
            confidence,
        ),
    )


@dataclass(frozen=True)
class ErrorsByArm:
    """The judge's bias (verdict minus label) under each arm, and the difference of the two.

    The difference is the error of a comparison that believes the judge. ``None`` without labels.
    """

    control: Measured | None
    treatment: Measured | None
    difference: Measured | None


def errors_by_arm(judged: Judged, confidence: float) -> ErrorsByArm:
    """Return the judge's bias by arm; the difference from items with labels under both arms."""
    control = judged.control - judged.control_labels
    treatment = judged.treatment - judged.treatment_labels

    def error(values: FloatArray) -> Measured | None:
        labelled = ~np.isnan(values)
        if not labelled.any():
            return None
        weights = Weights.of(labelled, judged.probability, judged.clusters)
        influence = weights.influence(values)
        return _measured(weights.mean(values), influence, weights, judged.clusters, confidence)

    return ErrorsByArm(error(control), error(treatment), error(treatment - control))


def share(
    values: FloatArray | BoolArray, weights: Weights, clusters: IntArray, confidence: float
) -> Measured:
    """Return a weighted share with its Wilson score interval (Wilson 1927).

    Weights and clusters enter by the effective number of items (Rao & Scott 1992), clusters by
    the quantile of t too.
    """
    numbers = np.asarray(values, dtype=np.float64)
    value = min(max(weights.mean(numbers), 0.0), 1.0)  # rounding may leave the range
    if weights.n_clusters < 2:
        return Measured(value, None, None, weights.n_items, weights.n_clusters)
    effect = design_effect(weights.influence(numbers), clusters, weights)
    n = weights.effective_n / effect
    # Independent items with equal weights: Wilson's own interval, with the normal quantile.
    independent = weights.n_clusters == weights.n_items
    quantile = t_quantile(None if independent else weights.freedom, (1 + confidence) / 2)
    centre = (value + quantile**2 / (2 * n)) / (1 + quantile**2 / n)
    half = quantile * math.sqrt(value * (1 - value) / n + quantile**2 / (4 * n**2))
    half /= 1 + quantile**2 / n
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Measured(value, low, high, weights.n_items, weights.n_clusters)


def _measured(
    value: float, influence: FloatArray, weights: Weights, clusters: IntArray, confidence: float
) -> Measured:
    """Return a number with the t interval of its influence values."""
    if weights.n_clusters < 2:
        return Measured(value, None, None, weights.n_items, weights.n_clusters)
    variance = covariance(influence[:, np.newaxis], clusters, weights.of_clusters)[0, 0]
    half = t_quantile(weights.freedom, (1 + confidence) / 2) * math.sqrt(float(variance))
    return Measured(value, value - half, value + half, weights.n_items, weights.n_clusters)


def _kappa(
    verdicts: FloatArray,
    labels: FloatArray,
    same: FloatArray,
    weights: Weights,
    clusters: IntArray,
    confidence: float,
) -> Measured | None:
    """Return (observed - expected) / (1 - expected) agreement (Cohen 1960).

    The delta method over the influence values is the variance of Fleiss, Cohen & Everitt (1969),
    with clusters and weights.
    """
    observed, judge, people = weights.mean(same), weights.mean(verdicts), weights.mean(labels)
    expected = judge * people + (1 - judge) * (1 - people)
    if expected >= 1:
        return None
    of_expected = (2 * people - 1) * weights.influence(verdicts)
    of_expected += (2 * judge - 1) * weights.influence(labels)
    influence = weights.influence(same) / (1 - expected)
    influence -= of_expected * (1 - observed) / (1 - expected) ** 2
    kappa = (observed - expected) / (1 - expected)
    found = _measured(kappa, influence, weights, clusters, confidence)
    if found.ci_low is None or found.ci_high is None:
        return found
    return Measured(
        kappa, max(-1.0, found.ci_low), min(1.0, found.ci_high), found.n_items, found.n_clusters
    )


def retest(verdicts: FloatArray, clusters: IntArray, confidence: float) -> Measured | None:
    """Return how often two judgements of one response agree.

    ``verdicts`` has a row per response and a column per repetition, NaN where there is none. Each
    response counts with the share of its pairs of judgements that agree; ``None`` if none was
    judged twice.
    """
    repeated = np.count_nonzero(~np.isnan(verdicts), axis=1) > 1
    if not repeated.any():
        return None
    values = np.unique(verdicts[~np.isnan(verdicts)])
    counts = np.stack([np.count_nonzero(verdicts == each, axis=1) for each in values], axis=1)
    totals = counts.sum(axis=1)
    pairs = np.maximum(totals * (totals - 1), 1)
    agreeing = (counts * (counts - 1)).sum(axis=1) / pairs
    return share(agreeing, Weights.of(repeated, None, clusters), clusters, confidence)


@dataclass(frozen=True)
class OrderSwap:
    """A pair judge asked twice, with the two responses in either order.

    ``inconsistent``: the share of pairs where it prefers another response after the swap.
    ``first_preferred``: of the inconsistent pairs with a preference for one position, the share
    that prefers the first; ``None`` without such pairs. 0.5 is an even split.
    """

    inconsistent: Measured
    first_preferred: Measured | None


def order_swap(
    control_first: FloatArray, treatment_first: FloatArray, clusters: IntArray, confidence: float
) -> OrderSwap:
    """Compare preferences: -1 for the control's response, 1 for the treatment's, 0 for a tie."""
    everywhere = np.ones(len(clusters), dtype=np.bool_)
    inconsistent = control_first != treatment_first
    # Positive where the verdicts lean to whatever was shown first.
    lean = treatment_first - control_first
    leaning = lean != 0
    return OrderSwap(
        inconsistent=share(
            inconsistent, Weights.of(everywhere, None, clusters), clusters, confidence
        ),
        first_preferred=share(lean > 0, Weights.of(leaning, None, clusters), clusters, confidence)
        if leaning.any()
        else None,
    )


def length_slope(
    values: FloatArray, lengths: FloatArray, clusters: IntArray, confidence: float
) -> Measured | None:
    """Return by how much the judge's error rises when a response doubles in length.

    ``values`` and ``lengths`` have a row per item and a column per arm; ``values`` are verdict
    minus label, or verdicts where there are no labels, NaN where there is none. Items with both
    arms are compared within the item, with the arm's own mean taken out: neither a hard item nor
    a better arm looks like a preference for length. Without such items, all responses of an arm
    are compared. ``None`` where lengths do not vary.

    Raises:
        ValueError: a length is not positive.
    """
    if not (lengths[~np.isnan(values)] > 0).all():
        raise ValueError("lengths must be positive")
    logs = np.log2(np.where(np.isnan(values), 1.0, lengths))
    complete = ~np.isnan(values).any(axis=1)
    if np.count_nonzero(complete) > 2:
        y = (values[:, 1] - values[:, 0])[complete]
        x = (logs[:, 1] - logs[:, 0])[complete]
        groups = clusters[complete]
        x, y = x - x.mean(), y - y.mean()
        n_items = len(x)
    else:
        given = ~np.isnan(values)
        rows, arms = np.nonzero(given)
        if not len(rows):
            return None
        x, y, groups = logs[given], values[given], clusters[rows]
        for arm in np.unique(arms):
            x[arms == arm] -= x[arms == arm].mean()
            y[arms == arm] -= y[arms == arm].mean()
        n_items = len(np.unique(rows))
    return _slope(x, y, groups, n_items, confidence)


def _slope(
    x: FloatArray, y: FloatArray, clusters: IntArray, n_items: int, confidence: float
) -> Measured | None:
    """Return the least-squares slope of centred values (CR1; Liang & Zeger 1986)."""
    squares = float(x @ x)
    groups = np.unique(clusters, return_inverse=True)[1]
    n_clusters = int(groups.max()) + 1
    if squares <= 1e-12 * len(x):
        return None
    slope = float(x @ y) / squares
    if n_clusters < 3:
        return Measured(slope, None, None, n_items, n_clusters)
    scores = np.bincount(groups, x * (y - slope * x))
    correction = n_clusters / (n_clusters - 1) * (len(x) - 1) / (len(x) - 2)
    error = math.sqrt(correction * float(scores @ scores)) / squares
    half = t_quantile(n_clusters - 2, (1 + confidence) / 2) * error
    return Measured(slope, slope - half, slope + half, n_items, n_clusters)


def krippendorff_alpha(
    ratings: FloatArray, clusters: IntArray, confidence: float
) -> Measured | None:
    """Return Krippendorff's alpha for nominal ratings by two annotators or more.

    ``ratings`` has a row per response and a column per annotator, NaN where there is no rating;
    responses with one rating do not count (Krippendorff 2011). The interval leaves out each
    cluster in turn (jackknife). ``None`` without two ratings of one response, or if all ratings
    are the same.
    """
    rated = np.count_nonzero(~np.isnan(ratings), axis=1)
    usable = rated > 1
    if not usable.any():
        return None
    kept, groups = ratings[usable], np.unique(clusters[usable], return_inverse=True)[1]
    values = np.unique(kept[~np.isnan(kept)])
    counts = np.stack([np.count_nonzero(kept == each, axis=1) for each in values], axis=1)
    totals = counts.sum(axis=1)
    disagreeing = (totals**2 - (counts**2).sum(axis=1)) / (totals - 1)
    columns = np.column_stack([disagreeing, counts])
    n_clusters = int(groups.max()) + 1
    sums = np.stack([np.bincount(groups, each, n_clusters) for each in columns.T], axis=1)
    alpha = _alpha(sums.sum(axis=0)[np.newaxis])[0]
    if np.isnan(alpha):
        return None
    found = float(alpha)
    left_out = _alpha(sums.sum(axis=0) - sums)
    if n_clusters < 2 or np.isnan(left_out).any():
        return Measured(found, None, None, int(usable.sum()), n_clusters)
    spread = float(((left_out - left_out.mean()) ** 2).sum()) * (n_clusters - 1) / n_clusters
    half = t_quantile(n_clusters - 1, (1 + confidence) / 2) * math.sqrt(spread)
    return Measured(
        found, max(-1.0, found - half), min(1.0, found + half), int(usable.sum()), n_clusters
    )


def _alpha(sums: FloatArray) -> FloatArray:
    """Return 1 - observed / expected disagreement from rows of sums; NaN where none is expected."""
    counts = sums[:, 1:]
    n = counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = (n**2 - (counts**2).sum(axis=1)) / (n - 1)
        found: FloatArray = np.where(expected > 0, 1 - sums[:, 0] / expected, np.nan)
    return found
