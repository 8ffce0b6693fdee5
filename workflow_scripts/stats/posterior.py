"""A Bayesian analysis of paired proportions: exact for any number of independent items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from .roots import root

_PRIOR = 0.5
"""Jeffreys prior: half an item in each of the four cells of the paired table."""

_NODES, _WEIGHTS = special.roots_legendre(200)
_TAIL = 1e-13


@dataclass(frozen=True)
class Posterior:
    """What is believed of the difference of a binary metric after seeing the items.

    ``median`` and the ends of the central credible interval ``ci_low`` to ``ci_high`` are on the
    scale of the difference. ``probability_increase``: that the treatment's rate is higher.
    ``trusted``: whether the interval also has its level as a confidence interval.
    """

    median: float
    ci_low: float
    ci_high: float
    probability_increase: float
    trusted: bool


ENOUGH_DISCORDANT = 10
"""With fewer the interval covers more often than its level asks for."""


def posterior(only_control: int, only_treatment: int, n: int, confidence: float) -> Posterior:
    """Posterior of the difference of paired proportions under Dirichlet(1/2, 1/2, 1/2, 1/2).

    The difference is theta (2 phi - 1), where the share of discordant items theta is
    Beta(b + c + 1, n - b - c + 1) and the treatment's share of those phi is
    Beta(c + 1/2, b + 1/2), independently, for b = ``only_control`` and c = ``only_treatment``.
    """
    discordant = only_control + only_treatment
    theta = (discordant + 2 * _PRIOR, n - discordant + 2 * _PRIOR)
    phi = (only_treatment + _PRIOR, only_control + _PRIOR)
    tail = (1 - confidence) / 2

    def quantile(probability: float) -> float:
        return root(lambda value: _cumulative(value, theta, phi) - probability, -1.0, 1.0, 1e-12)

    return Posterior(
        median=quantile(0.5),
        ci_low=quantile(tail),
        ci_high=quantile(1 - tail),
        probability_increase=float(special.betaincc(*phi, 0.5)),
        trusted=discordant >= ENOUGH_DISCORDANT,
    )


def _cumulative(value: float, theta: tuple[float, float], phi: tuple[float, float]) -> float:
    """P(theta (2 phi - 1) <= value), integrated over the share of discordant items."""
    least = max(abs(value), float(special.betaincinv(*theta, _TAIL)))
    most = float(special.betainccinv(*theta, _TAIL))
    # A smaller share than |value| cannot make the difference larger than it, nor smaller than
    # -|value|.
    certain = float(special.betainc(*theta, abs(value))) if value > 0 else 0.0
    if least >= most:
        return certain
    share = least + (most - least) * (_NODES + 1) / 2
    density = np.exp(
        special.xlogy(theta[0] - 1, share)
        + special.xlog1py(theta[1] - 1, -share)
        - special.betaln(*theta)
    )
    below = special.betainc(*phi, np.clip((value / share + 1) / 2, 0, 1))
    return certain + float((_WEIGHTS * density * below).sum() * (most - least) / 2)
