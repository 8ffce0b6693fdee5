"""The share of correct answers from a judge's sensitivity and specificity (Rogan & Gladen 1978).

A second opinion beside `prediction_powered`: it uses the labels only to measure the judge. It
assumes that the judge errs on unlabelled answers as on labelled ones, given the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .intervals import t_quantile
from .linearised import Weights, covariance
from .prediction_powered import Judged
from .scores import FloatArray

Undefined = Literal["no_correct_label", "no_incorrect_label", "uninformative_judge", "few_clusters"]


@dataclass(frozen=True)
class RoganGladen:
    """Both arms' shares and their difference, or the reason why there are none.

    ``undefined``: ``uninformative_judge`` if sensitivity + specificity is at most 1 under an arm,
    ``few_clusters`` if fewer than two clusters have a label. All else is ``None`` then. The arms'
    shares are cut off at 0 and 1, the difference at -1 and 1.
    """

    undefined: Undefined | None
    control: float | None = None
    treatment: float | None = None
    difference: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    standard_error: float | None = None


@dataclass(frozen=True)
class _Share:
    """One arm's share, its influence values and the weights of its labelled items."""

    value: float
    influence: FloatArray
    weights: Weights


def rogan_gladen(judged: Judged, confidence: float) -> RoganGladen:
    """Return the estimates with a delta-method interval of the difference, robust to clusters."""
    arms = (
        (judged.control, judged.control_labels),
        (judged.treatment, judged.treatment_labels),
    )
    found = [_share(judged, verdicts, labels) for verdicts, labels in arms]
    shares = [each for each in found if isinstance(each, _Share)]
    if len(shares) < 2:
        return RoganGladen(next(each for each in found if not isinstance(each, _Share)))
    control, treatment = shares
    weights = control.weights, treatment.weights
    if min(each.n_clusters for each in weights) < 2:
        return RoganGladen("few_clusters")
    leverage = np.maximum(*(each.of_clusters for each in weights))
    influence = (treatment.influence - control.influence)[:, np.newaxis]
    error = float(covariance(influence, judged.clusters, leverage)[0, 0]) ** 0.5
    freedom = min(each.freedom for each in weights)
    difference = treatment.value - control.value
    half = t_quantile(freedom, (1 + confidence) / 2) * error
    return RoganGladen(
        undefined=None,
        control=min(1.0, max(0.0, control.value)),
        treatment=min(1.0, max(0.0, treatment.value)),
        difference=min(1.0, max(-1.0, difference)),
        ci_low=min(1.0, max(-1.0, difference - half)),
        ci_high=min(1.0, max(-1.0, difference + half)),
        standard_error=error,
    )


def _share(judged: Judged, verdicts: FloatArray, labels: FloatArray) -> _Share | Undefined:
    """Return (judged share + specificity - 1) / (sensitivity + specificity - 1) of one arm."""
    clusters, probability = judged.clusters, judged.probability
    correct, incorrect = labels >= 0.5, labels < 0.5
    if not correct.any():
        return "no_correct_label"
    if not incorrect.any():
        return "no_incorrect_label"
    of_correct = Weights.of(correct, probability, clusters)
    of_incorrect = Weights.of(incorrect, probability, clusters)
    sensitivity = of_correct.mean(verdicts)
    specificity = of_incorrect.mean(1 - verdicts)
    informative = sensitivity + specificity - 1
    if informative <= 0:
        return "uninformative_judge"
    overall = float(verdicts.mean())
    value = (overall + specificity - 1) / informative
    by_specificity = of_incorrect.influence(1 - verdicts)
    influence = (
        (verdicts - overall) / len(verdicts)
        + (1 - value) * by_specificity
        - value * of_correct.influence(verdicts)
    ) / informative
    labelled = Weights.of(correct | incorrect, probability, clusters)
    return _Share(value, influence, labelled)
