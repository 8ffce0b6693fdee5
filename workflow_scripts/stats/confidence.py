"""Confidence: are the responses that are surer right more often?

All numbers are of single responses. Those without a confidence are ranked last, so that arms that
leave it out are compared over the same responses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .calibration import Reliability, reliability
from .intervals import UNDEFINED, Interval, is_trusted
from .pairs import DECIMALS
from .resampling import MOST_UNITS, bca_interval
from .scores import FloatArray, IntArray
from .selective import Point, SelectiveDifference
from .settings import Stats

DIFFERENCES = ("aurc", "excess_aurc", "auroc", "brier_score")
"""What two arms are compared by."""

_MOST_POINTS = 100
_JACKKNIFE_GROUPS = 256
"""Groups of clusters that are left out in turn: they say how skewed a statistic is."""

_CHUNK = 2_000_000
"""Weights of responses held at once."""


@dataclass(frozen=True)
class ArmConfidence:
    """How well an arm's confidence tells its right responses from its wrong ones.

    ``n``: responses that are known to be right or wrong. ``without``: those of them without a
    confidence. ``share_right``: of all. ``aurc``: the risk (share of wrong responses) averaged
    over the k surest responses for all k (Geifman & El-Yaniv 2017; Geifman, Uziel & El-Yaniv 2019).
    ``excess_aurc``: what of it is above that of a confidence which puts all right responses first.
    ``auroc``: the probability that a right response is surer than a wrong one, ties counting half;
    ``None`` where all are right or all wrong. ``calibration``: of the responses with a confidence.
    ``points``: the risk-coverage curve, thinned.
    """

    n: int
    without: int
    share_right: float
    aurc: float
    excess_aurc: float
    auroc: float | None
    calibration: Reliability
    points: list[Point]


class Responses:
    """The responses of one arm, from the surest down.

    Args:
        clusters: the cluster of each response, as numbers from 0.
        confidence: from 0 to 1, NaN where there is none.
        correct: 1 where the response is right, else 0.
    """

    def __init__(self, clusters: IntArray, confidence: FloatArray, correct: FloatArray) -> None:
        order = np.argsort(-confidence, kind="stable")  # NaN comes last
        self.clusters = clusters[order]
        self.confidence = confidence[order]
        self.correct = correct[order]
        self._wrong = 1 - self.correct
        self._squares = np.nan_to_num((self.confidence - self.correct) ** 2)
        self._known = (~np.isnan(self.confidence)).astype(np.float64)
        with_nan = np.nan_to_num(self.confidence, nan=-1.0)
        self._starts = np.concatenate([[0], np.flatnonzero(np.diff(with_nan)) + 1])

    def numbers(self, weights: FloatArray) -> dict[str, FloatArray]:
        """Return each of `DIFFERENCES` for several weightings of the responses.

        Args:
            weights: how often each response counts, whole numbers, shape (weightings, responses).
        """
        answers = np.add.reduceat(weights, self._starts, axis=1)
        wrong = np.add.reduceat(weights * self._wrong, self._starts, axis=1)
        so_far, wrong_so_far = np.cumsum(answers, axis=1), np.cumsum(wrong, axis=1)
        n, errors = so_far[:, -1], wrong_so_far[:, -1]
        right = n - errors
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int(n.max(initial=0)) + 1))])

        def sums(start: FloatArray, end: FloatArray) -> FloatArray:
            """1/(start + 1) + … + 1/end."""
            found: FloatArray = harmonic[end.astype(int)] - harmonic[start.astype(int)]
            return found

        # Responses of one confidence come in random order: after A responses with W wrong, j of
        # the next a, w of them wrong, have an expected risk of (W + j w / a) / (A + j).
        before = so_far - answers
        rate = np.divide(wrong, answers, out=np.zeros_like(wrong), where=answers > 0)
        excess = (wrong_so_far - wrong - rate * before) * sums(before, so_far)
        with np.errstate(divide="ignore", invalid="ignore"):
            aurc = (rate * answers + excess).sum(axis=1) / n
            best = (errors - right * sums(right, n)) / n
            less_sure = errors[:, np.newaxis] - wrong_so_far + wrong / 2
            surer = ((answers - wrong) * less_sure).sum(axis=1)
            squared = (weights @ self._squares) / (weights @ self._known)
            return {
                "aurc": aurc,
                "excess_aurc": aurc - best,
                "auroc": surer / (right * errors),
                "brier_score": squared,
            }

    def summary(self, level: float) -> ArmConfidence:
        """Return the numbers of all responses; ``level`` is that of the bins' intervals."""
        found = {name: float(of[0]) for name, of in self.numbers(np.ones((1, self.n))).items()}
        known = self._known == 1
        return ArmConfidence(
            n=self.n,
            without=int(self.n - known.sum()),
            share_right=float(self.correct.mean()),
            aurc=found["aurc"],
            excess_aurc=max(0.0, found["excess_aurc"]),
            auroc=None if np.isnan(found["auroc"]) else found["auroc"],
            calibration=reliability(self.confidence[known], self.correct[known], level),
            points=list(self._points()),
        )

    @property
    def n(self) -> int:
        """Number of responses."""
        return len(self.correct)

    def _points(self) -> Iterator[Point]:
        """The curve's points at the ends of confidences: those that pass another hundredth."""
        ends = np.concatenate([self._starts[1:], [self.n]])
        wrong = np.cumsum(self._wrong)[ends - 1]
        steps = (ends * _MOST_POINTS) // self.n
        keep = np.diff(steps, prepend=0) > 0
        for start, end, errors in zip(self._starts[keep], ends[keep], wrong[keep], strict=True):
            threshold = float(np.nan_to_num(self.confidence[start]))
            yield Point(threshold, float(end / self.n), float(errors / end))


def differences(
    control: Responses, treatment: Responses, settings: Stats
) -> dict[str, SelectiveDifference]:
    """Return each of `DIFFERENCES`, treatment minus control, with its BCa interval.

    A replicate draws clusters, each with both arms' responses to its items. Replicates in which a
    number is undefined are left out, and the interval is then not trusted.
    """
    n_clusters = int(max(each.clusters.max() for each in (control, treatment))) + 1
    step = max(1, _CHUNK // max(control.n, treatment.n, min(n_clusters, MOST_UNITS)))
    observed = _differences(control, treatment, [np.ones((1, n_clusters))])
    replicates = _differences(control, treatment, _replicates(n_clusters, step, settings))
    left_out = _differences(control, treatment, _left_out(n_clusters, step, settings))
    n_differing = _n_differing(control, treatment, n_clusters)
    found = {}
    for name, (value,) in observed.items():
        known = ~np.isnan(replicates[name])
        ends = None
        if not np.isnan(value) and not np.isnan(left_out[name]).any():
            ends = bca_interval(
                replicates[name][known], float(value), left_out[name], settings.confidence
            )
        trusted = bool(known.all()) and is_trusted("bca", n_clusters, n_differing)
        found[name] = SelectiveDifference(
            difference=None if np.isnan(value) else float(value),
            interval=UNDEFINED if ends is None else Interval(*ends, trusted),
        )
    return found


def _differences(
    control: Responses, treatment: Responses, weightings: Iterable[FloatArray]
) -> dict[str, FloatArray]:
    """Treatment minus control for weightings of the clusters, shape (weightings, clusters) each."""
    parts = []
    for weights in weightings:
        one = control.numbers(weights[:, control.clusters])
        other = treatment.numbers(weights[:, treatment.clusters])
        parts.append([other[name] - one[name] for name in DIFFERENCES])
    return dict(zip(DIFFERENCES, np.concatenate(parts, axis=1), strict=True))


def _replicates(n_clusters: int, step: int, settings: Stats) -> Iterator[FloatArray]:
    """How often each cluster is drawn in each replicate; above `MOST_UNITS`, joined ones are."""
    rng = np.random.default_rng([settings.random_seed, 3])
    n_units = min(n_clusters, MOST_UNITS)
    units = rng.permutation(n_clusters) % n_units
    for start in range(0, settings.bootstrap_samples, step):
        rows = min(step, settings.bootstrap_samples - start)
        drawn = rng.integers(n_units, size=(rows, n_units))
        times = np.stack([np.bincount(each, minlength=n_units) for each in drawn])
        yield times[:, units].astype(np.float64)


def _left_out(n_clusters: int, step: int, settings: Stats) -> Iterator[FloatArray]:
    """All clusters but one, for each in turn; of many, all but one group."""
    rng = np.random.default_rng([settings.random_seed, 4])
    n_groups = min(n_clusters, _JACKKNIFE_GROUPS)
    groups = rng.permutation(n_clusters) % n_groups
    for start in range(0, n_groups, step):
        names = np.arange(start, min(start + step, n_groups))[:, np.newaxis]
        yield (groups != names).astype(np.float64)


def _n_differing(control: Responses, treatment: Responses, n_clusters: int) -> int:
    """How many clusters the arms differ in, by their confidence or by what is right."""
    sums = [
        np.round(np.bincount(arm.clusters, of_arm, minlength=n_clusters), DECIMALS)
        for arm in (control, treatment)
        for of_arm in (arm.correct, np.nan_to_num(arm.confidence, nan=-1.0))
    ]
    return int(np.count_nonzero((sums[0] != sums[2]) | (sums[1] != sums[3])))
