"""A mixed-effects logistic model of a binary metric: does the result hold on the odds scale?

logit P(outcome of item i under an arm) = a + b [treatment] + s u_i with u_i ~ N(0, 1): items
differ in how easy they are, and the treatment moves all of them alike. Fitted by maximum
likelihood, integrated over u; the standard error is a sandwich over clusters, so that items of
one passage may depend on each other and easy items may react otherwise than hard ones.

Why not statsmodels: its mixed logistic models are Bayesian (Laplace or variational), whose
standard deviations come out too small, and keep one parameter per item. Equal items share
one integral here, so a million items cost what a hundred do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from .intervals import t_quantile
from .pairs import DECIMALS
from .resampling import cluster_sums
from .scores import FloatArray, IntArray

_MOST_SPREAD = 100.0
"""Above this standard deviation of items (on the logit scale) the integral is not exact."""

_STEP = 0.01
_NODES = np.arange(-8, 8 + _STEP / 2, _STEP)
"""The trapezoid rule on an even grid is exact to 1e-8 for such integrands up to that spread."""

_POWERS = np.stack([np.ones_like(_NODES), _NODES, _NODES**2], axis=1)

_LARGEST_EXPONENT = 300.0
"""An odds ratio whose ends are beyond e to that is no finite estimate."""

ENOUGH_CLUSTERS = 30
ENOUGH_DISCORDANT = 20


@dataclass(frozen=True)
class MixedLogistic:
    """The treatment's odds ratio for one item, with its interval and Wald p value.

    ``item_sd`` is the standard deviation of items on the logit scale.
    """

    odds_ratio: float
    ci_low: float
    ci_high: float
    p_value: float
    item_sd: float
    trusted: bool


class _Likelihood:
    """Log likelihood of (a, b, s) with its gradient and Hessian, over distinct pairs of scores."""

    def __init__(self, patterns: FloatArray, counts: FloatArray, samples: int) -> None:
        self._patterns = patterns
        self._counts = counts
        self._samples = samples
        self._log_weights = -(_NODES**2) / 2 + math.log(_STEP / math.sqrt(2 * math.pi))

    def value(self, parameters: FloatArray) -> float:
        """Minus the log likelihood."""
        return -float(self._counts @ self._log_likelihoods(parameters)[0])

    def gradient(self, parameters: FloatArray) -> FloatArray:
        """Minus its gradient."""
        return -self._counts @ self.scores(parameters)[0]

    def hessian(self, parameters: FloatArray) -> FloatArray:
        """Minus its Hessian."""
        return -np.tensordot(self._counts, self.scores(parameters)[1], axes=1)

    def scores(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradient (patterns, 3) and Hessian (patterns, 3, 3) of one item of each pattern.

        Louis (1982): derivatives of an integral are posterior means of the integrand's, and its
        Hessian also has their posterior covariance. With residuals r of both arms together and t
        of the treatment, the integrand's gradient at u is (r, t, u r).
        """
        _, posterior, rates = self._log_likelihoods(parameters)
        of_arms = [self._samples * (self._patterns[:, [arm]] - rates[arm]) for arm in range(2)]
        curvatures = [self._samples * rate * (1 - rate) for rate in rates]
        treatment, both = of_arms[1], of_arms[0] + of_arms[1]
        gradient = np.stack(
            [
                (posterior * both).sum(axis=1),
                (posterior * treatment).sum(axis=1),
                (posterior * both) @ _NODES,
            ],
            axis=1,
        )
        of_both = (posterior * (both**2 - curvatures[0] - curvatures[1])) @ _POWERS
        mixed = (posterior * (both * treatment - curvatures[1])) @ _POWERS[:, :2]
        of_treatment = (posterior * (treatment**2 - curvatures[1])).sum(axis=1)
        hessian = np.empty((len(posterior), 3, 3))
        hessian[:, 0, 0], hessian[:, 1, 1], hessian[:, 2, 2] = (
            of_both[:, 0],
            of_treatment,
            of_both[:, 2],
        )
        hessian[:, 0, 1] = hessian[:, 1, 0] = mixed[:, 0]
        hessian[:, 0, 2] = hessian[:, 2, 0] = of_both[:, 1]
        hessian[:, 1, 2] = hessian[:, 2, 1] = mixed[:, 1]
        return gradient, hessian - gradient[:, :, np.newaxis] * gradient[:, np.newaxis, :]

    def _log_likelihoods(
        self, parameters: FloatArray
    ) -> tuple[FloatArray, FloatArray, tuple[FloatArray, FloatArray]]:
        """Per pattern: log likelihood and posterior weight of each node; the arms' rates."""
        level, effect, spread = parameters
        logits = (level + spread * _NODES, level + effect + spread * _NODES)
        # y log p + (1 - y) log(1 - p) = y logit - log(1 + exp(logit))
        log_joint = self._log_weights - self._samples * (
            np.logaddexp(0, logits[0]) + np.logaddexp(0, logits[1])
        )
        log_joint = log_joint + self._samples * (
            self._patterns[:, [0]] * logits[0] + self._patterns[:, [1]] * logits[1]
        )
        largest = log_joint.max(axis=1, keepdims=True)
        joint = np.exp(log_joint - largest)
        totals = joint.sum(axis=1, keepdims=True)
        posterior: FloatArray = joint / totals
        log_likelihoods: FloatArray = (np.log(totals) + largest)[:, 0]
        return log_likelihoods, posterior, (special.expit(logits[0]), special.expit(logits[1]))


def mixed_logistic(
    control: FloatArray,
    treatment: FloatArray,
    clusters: IntArray,
    samples_per_item: int,
    confidence: float,
) -> MixedLogistic | None:
    """Fit the model to an item's scores under both arms: shares of its samples, shape (items,).

    ``None`` where there is no finite estimate: a single cluster, or items that differ in one
    direction only, or not at all.
    """
    from scipy import optimize  # takes 0.5 s, and readers of results do not need it

    changed = treatment - control
    if clusters.max() == 0 or not ((changed > 0).any() and (changed < 0).any()):
        return None
    pairs = np.round(np.stack([control, treatment], axis=1), DECIMALS).astype(np.float64)
    patterns, of_item, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    likelihood = _Likelihood(patterns, counts.astype(np.float64), samples_per_item)
    fit = optimize.minimize(
        likelihood.value,
        _start(control, treatment),
        jac=likelihood.gradient,
        hess=likelihood.hessian,
        method="trust-exact",
        options={"gtol": 1e-8 * len(control), "maxiter": 200},
    )
    estimate: FloatArray = fit.x
    spread = abs(float(estimate[2]))
    if not fit.success or spread > _MOST_SPREAD:
        return None
    error = _sandwich_error(likelihood, estimate, of_item.ravel(), clusters)
    if error is None:
        return None
    effect, n_clusters = float(estimate[1]), int(clusters.max()) + 1
    half = t_quantile(n_clusters - 1, (1 + confidence) / 2) * error
    if abs(effect) + half > _LARGEST_EXPONENT:
        return None
    n_discordant = int(np.count_nonzero(changed))
    return MixedLogistic(
        odds_ratio=math.exp(effect),
        ci_low=math.exp(effect - half),
        ci_high=math.exp(effect + half),
        p_value=2 * float(special.stdtr(n_clusters - 1, -abs(effect) / error)),
        item_sd=spread,
        trusted=n_clusters >= ENOUGH_CLUSTERS and n_discordant >= ENOUGH_DISCORDANT,
    )


def _start(control: FloatArray, treatment: FloatArray) -> FloatArray:
    """Rough estimates: rates on the logit scale, widened for the spread that their changes show.

    Of items with a large spread s a share of about 0.8 / s is in doubt, and can change.
    """
    n = len(control)
    before, after = (
        float(special.logit((rates.sum() + 0.5) / (n + 1))) for rates in (control, treatment)
    )
    changes = float(np.abs(treatment - control).mean())
    spread = min(max(0.8 / changes, 1.0), _MOST_SPREAD / 2)
    wider = math.sqrt(1 + 0.35 * spread**2)
    return np.array([before * wider, (after - before) * wider, spread])


def _sandwich_error(
    likelihood: _Likelihood, estimate: FloatArray, of_item: IntArray, clusters: IntArray
) -> float | None:
    """Cluster-robust standard error of the effect (White 1982; Liang & Zeger 1986)."""
    # Without any spread its derivative is 0 by symmetry: it is no parameter then.
    free = np.arange(3 if abs(estimate[2]) > 1e-3 else 2)
    information = likelihood.hessian(estimate)[np.ix_(free, free)]
    by_cluster = cluster_sums(likelihood.scores(estimate)[0][of_item], clusters)[:, free]
    n_clusters = len(by_cluster)
    try:
        bread = np.linalg.inv(information)
    except np.linalg.LinAlgError:
        return None
    meat = by_cluster.T @ by_cluster * (n_clusters / (n_clusters - 1))
    variance = float((bread @ meat @ bread)[1, 1])
    return math.sqrt(variance) if variance > 0 else None
