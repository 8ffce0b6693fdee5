"""Shares of correct answers from all items judged by an instrument and some labelled by people.

The judge sees every item and errs. People see some items and define the truth. The estimate is
the mean over the labels, moved by how far the judge's mean over all items is from its mean over
the labelled ones:

    estimate(weight) = mean of labels + weight * (judge on all items - judge on labelled items)

It is unbiased for every fixed weight, whatever the judge's errors are. The weight with the
smallest variance makes it at least as precise as the labels alone (prediction-powered inference:
Angelopoulos et al. 2023; with the tuned weight: Angelopoulos, Duchi & Zrnic 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .intervals import cluster_t_interval, mean_difference, t_quantile
from .linearised import Weights, covariance, design_effect
from .pairs import numbered
from .scores import BoolArray, FloatArray, IntArray

LEAST_FREEDOM = 29.0
"""Degrees of freedom from which an interval keeps its level: those of 30 labelled clusters with
equal weights. Measured by benchmarks/judge_coverage.py."""

Labels = Literal["pairs", "all"]


@dataclass(frozen=True)
class Judged:
    """What a judge and people said about the same items under both arms.

    Each array has an element per item. ``control`` and ``treatment`` are the judge's verdicts,
    from 0 (incorrect) to 1 (correct). ``control_labels`` and ``treatment_labels`` are people's,
    NaN where there is none. ``clusters`` are numbers from 0; items of a cluster depend on each
    other. ``probability``: the chance that an item was drawn for labelling; ``None`` if it was
    the same for all. Labels must be missing for no other reason.

    Raises:
        ValueError: arrays of different lengths, no items, a verdict or label that is no share.
    """

    control: FloatArray
    treatment: FloatArray
    control_labels: FloatArray
    treatment_labels: FloatArray
    clusters: IntArray
    probability: FloatArray | None = None

    def __post_init__(self) -> None:
        arrays = [self.control, self.treatment, self.control_labels, self.treatment_labels]
        lengths = {len(each) for each in (*arrays, self.clusters)}
        if self.probability is not None:
            lengths.add(len(self.probability))
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError("judged items need arrays of one length, and at least one item")
        for name, values in (("control", self.control), ("treatment", self.treatment)):
            if not ((values >= 0) & (values <= 1)).all():
                raise ValueError(f"the judge's verdicts on {name} must be from 0 to 1")
        for name, values in zip(("control", "treatment"), arrays[2:], strict=True):
            if not (np.isnan(values) | ((values >= 0) & (values <= 1))).all():
                raise ValueError(f"labels on {name} must be from 0 to 1, or NaN")

    @property
    def labelled_pairs(self) -> BoolArray:
        """The items with a label under both arms."""
        found: BoolArray = ~(np.isnan(self.control_labels) | np.isnan(self.treatment_labels))
        return found


@dataclass(frozen=True)
class Estimated:
    """An estimate with its interval; ``None`` where the data do not define it."""

    estimate: float
    ci_low: float | None
    ci_high: float | None
    standard_error: float | None


@dataclass(frozen=True)
class Corrected:
    """A mean or a difference of the labels, estimated with the judge's help.

    ``weight``: how far the judge is followed, from 0 (labels alone) to 1. ``trusted``: the
    interval keeps its level on so many labels; with few errors of the judge it is too wide.
    ``n_labelled``: items with the labels used, in ``n_labelled_clusters`` clusters; ``n_errors`` of
    these clusters show an error of the judge (of a difference: one that changes it).
    ``judge_error``: by how much the judge's value exceeds the labels on the labelled items.
    ``effective_labels``: labels that would give the same standard error without the judge.
    ``fixed_variance``: the part of the variance that more labels do not reduce; the other part is
    ``label_variance`` divided by ``n_labelled``.
    """

    estimate: float
    ci_low: float | None
    ci_high: float | None
    trusted: bool
    weight: float
    standard_error: float | None
    degrees_of_freedom: float
    n_labelled: int
    n_labelled_clusters: int
    n_errors: int
    n_judged: int
    labels_only: Estimated
    judge_only: Estimated
    judge_error: float
    effective_labels: float | None
    fixed_variance: float | None
    label_variance: float | None


@dataclass(frozen=True)
class CorrectedComparison:
    """Both arms' shares and their difference, treatment minus control.

    ``None`` without a label. ``difference_from``: ``pairs`` if only items with a label under both
    arms went into the difference, ``all`` if labels under one arm narrowed it. ``n_pairs``: items
    with a label under both arms.
    """

    control: Corrected | None
    treatment: Corrected | None
    difference: Corrected | None
    difference_from: Labels
    n_pairs: int


def compare_judged(judged: Judged, confidence: float) -> CorrectedComparison:
    """Return both arms' shares and their difference, with intervals at ``confidence``.

    Labels on one arm only cannot be paired. They make the difference more precise where the arms'
    labels hardly correlate, and less precise where they do. The narrower interval is taken.
    """
    arms = judged.control_labels, judged.treatment_labels
    pairs = judged.labelled_pairs
    candidates: list[tuple[Labels, _Mean]] = []
    if pairs.any():
        candidates.append(
            ("pairs", _difference(judged, *(np.where(pairs, a, np.nan) for a in arms)))
        )
    if (np.isnan(arms[0]) != np.isnan(arms[1])).any() and all(map(_any_label, arms)):
        candidates.append(("all", _difference(judged, *arms)))
    found = [(name, _corrected(each, judged.clusters, confidence)) for name, each in candidates]
    used: Labels = "pairs"
    difference = None
    if found:
        used, difference = min(found, key=lambda each: _width(each[1]))
    control, treatment = (
        _corrected(_arm_mean(judged, verdicts, labels), judged.clusters, confidence)
        if _any_label(labels)
        else None
        for verdicts, labels in zip((judged.control, judged.treatment), arms, strict=True)
    )
    return CorrectedComparison(
        control=control,
        treatment=treatment,
        difference=difference,
        difference_from=used,
        n_pairs=int(np.count_nonzero(pairs)),
    )


def _any_label(labels: FloatArray) -> bool:
    return not np.isnan(labels).all()


def _difference(judged: Judged, control: FloatArray, treatment: FloatArray) -> _Mean:
    """Return the difference of the arms' means with these labels."""
    of_control = _arm_mean(judged, judged.control, control)
    return _arm_mean(judged, judged.treatment, treatment).minus(of_control)


def _width(corrected: Corrected) -> float:
    if corrected.ci_low is None or corrected.ci_high is None:
        return math.inf
    return corrected.ci_high - corrected.ci_low


@dataclass(frozen=True)
class _Mean:
    """A mean or difference as a function of the weight: value + weight * (all - labelled).

    ``value``: the labels' mean. ``on_all`` and ``on_labelled``: the judge's mean over all and over
    the labelled items. ``influences``: of the three, one column each. ``errors``: the judge's error
    per labelled item, 0 elsewhere. ``judged``: the judge's values of all items. ``weights``: those
    of the labelled items; of a difference those of the arm with fewer degrees of freedom.
    ``lowest``: the smallest value that the mean can take.
    """

    value: float
    on_all: float
    on_labelled: float
    influences: FloatArray
    errors: FloatArray
    judged: FloatArray
    weights: Weights
    lowest: float

    def minus(self, other: _Mean) -> _Mean:
        """Return the difference of two arms' means."""
        return _Mean(
            value=self.value - other.value,
            on_all=self.on_all - other.on_all,
            on_labelled=self.on_labelled - other.on_labelled,
            influences=self.influences - other.influences,
            errors=self.errors - other.errors,
            judged=self.judged - other.judged,
            weights=min(self.weights, other.weights, key=lambda each: each.freedom),
            lowest=-1.0,
        )


def _arm_mean(judged: Judged, verdicts: FloatArray, labels: FloatArray) -> _Mean:
    """Return the mean of an arm with at least one label."""
    labelled = ~np.isnan(labels)
    weights = Weights.of(labelled, judged.probability, judged.clusters)
    overall = float(verdicts.mean())
    influences = [
        weights.influence(labels),
        (verdicts - overall) / len(verdicts),
        weights.influence(verdicts),
    ]
    return _Mean(
        value=weights.mean(labels),
        on_all=overall,
        on_labelled=weights.mean(verdicts),
        influences=np.stack(influences, axis=1),
        errors=np.where(labelled, verdicts - labels, 0.0),
        judged=verdicts,
        weights=weights,
        lowest=0.0,
    )


@dataclass(frozen=True)
class _Fit:
    """The tuned weight with the estimate's variance, in two parts, and its degrees of freedom."""

    weight: float
    variance: float
    label_variance: float
    freedom: float


def _fit(mean: _Mean, clusters: IntArray, probability: float) -> tuple[_Fit, _Fit]:
    """Return the tuned fit and that of the labels alone, which is the same where it is narrower."""
    weights, freedom = mean.weights, mean.weights.freedom
    spread = covariance(mean.influences, clusters, weights.of_clusters)
    unseen = _variance_of_the_unseen(mean, clusters)

    def fit(weight: float, freedom: float) -> _Fit:
        # A tuned weight costs a degree of freedom, as the slope of a regression does.
        inflation = weights.freedom / freedom
        total, labels = np.array([1, weight, -weight]), np.array([1, 0, -weight])
        return _Fit(
            weight,
            inflation * max(0.0, float(total @ spread @ total)) + unseen,
            inflation * max(0.0, float(labels @ spread @ labels)) + unseen,
            freedom,
        )

    def width(of: _Fit) -> float:
        return t_quantile(of.freedom, probability) * math.sqrt(of.variance)

    alone = fit(0.0, freedom)
    contrast = np.array([0.0, 1.0, -1.0])
    of_shift = float(contrast @ spread @ contrast)
    if freedom <= 1 or of_shift <= 0:
        return alone, alone
    weight = min(1.0, max(0.0, -float(spread[0] @ contrast) / of_shift))
    tuned = fit(weight, freedom - 1)
    return (tuned if width(tuned) < width(alone) else alone), alone


def _variance_of_the_unseen(mean: _Mean, clusters: IntArray) -> float:
    """Return the variance of two pseudo-observations, one error in each direction.

    A judge without an error on 50 labels may still err on one item in 30, which a variance of 0
    would deny. As in Agresti & Min (2005), the pseudo-observations represent the errors that few
    labels do not show. Together they have the variance of one item among the labelled ones.
    """
    effect = design_effect(mean.influences[:, 0], clusters, mean.weights)
    return (effect / mean.weights.effective_n) ** 2


def _corrected(mean: _Mean, clusters: IntArray, confidence: float) -> Corrected:
    weights, probability = mean.weights, (1 + confidence) / 2
    n_errors = int(np.count_nonzero(np.bincount(clusters, mean.errors != 0)))
    fits = _fit(mean, clusters, probability) if weights.n_clusters > 1 else (None, None)
    tuned, alone = (
        _estimated(mean, fit, probability) if fit else Estimated(mean.value, None, None, None)
        for fit in fits
    )
    fit = fits[0] or _Fit(0.0, math.nan, math.nan, 0.0)
    gain = (
        (alone.standard_error / tuned.standard_error) ** 2
        if alone.standard_error and tuned.standard_error
        else None
    )
    return Corrected(
        estimate=tuned.estimate,
        ci_low=tuned.ci_low,
        ci_high=tuned.ci_high,
        trusted=weights.freedom >= LEAST_FREEDOM,
        weight=fit.weight,
        standard_error=tuned.standard_error,
        degrees_of_freedom=fit.freedom,
        n_labelled=weights.n_items,
        n_labelled_clusters=weights.n_clusters,
        n_errors=n_errors,
        n_judged=len(mean.judged),
        labels_only=alone,
        judge_only=_judge_only(mean, clusters, confidence),
        judge_error=mean.on_labelled - mean.value,
        effective_labels=None if gain is None else weights.n_items * gain,
        fixed_variance=max(0.0, fit.variance - fit.label_variance) if fits[0] else None,
        label_variance=fit.label_variance * weights.n_items if fits[0] else None,
    )


def _estimated(mean: _Mean, fit: _Fit, probability: float) -> Estimated:
    estimate = mean.value + fit.weight * (mean.on_all - mean.on_labelled)
    error = math.sqrt(fit.variance)
    half = t_quantile(fit.freedom, probability) * error
    return Estimated(
        estimate=min(1.0, max(mean.lowest, estimate)),
        ci_low=max(mean.lowest, estimate - half),
        ci_high=min(1.0, estimate + half),
        standard_error=error,
    )


def _judge_only(mean: _Mean, clusters: IntArray, confidence: float) -> Estimated:
    """Return the judge's own answer: its interval knows nothing of its errors."""
    of_all = mean_difference(mean.judged, numbered(clusters))
    interval = cluster_t_interval(of_all, confidence)
    low, high = interval.low, interval.high
    if low is not None and high is not None:
        low, high = max(mean.lowest, low), min(1.0, high)
    return Estimated(of_all.mean, low, high, of_all.standard_error)
