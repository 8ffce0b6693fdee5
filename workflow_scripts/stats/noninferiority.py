"""Whether a metric got worse by a margin or more, from its interval; and how many items would tell.

Non-inferiority by the interval: it is shown where a two-sided interval at confidence c excludes
the margin, which is a one-sided test at level (1 - c) / 2 (ICH E9, section 3.3.2; Piaggio et al.
2012, the CONSORT statement on such trials). Sample sizes are those of the test behind the interval:
of the cluster-robust t test as in `workflow_scripts.stats.power`, of the score test by Nam (1997).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..core.metric import Better, Kind
from . import special
from .amounts import TRUST as OF_AMOUNTS
from .equivalence import TRUST as OF_SHARES
from .intervals import DiscordantPairs, Method, Trust, t_quantile
from .power import items_needed
from .settings import Assumption, GateDecision

_AT_THE_MARGIN = 1e-9
"""A change as near to the margin as this takes more items than anybody has."""


@dataclass(frozen=True)
class Worsening:
    """A change with its interval, on an additive scale that rises where the metric gets worse.

    The difference of a share, the logarithm of the ratio of an amount. The ends are ``None`` where
    the interval is undefined.
    """

    change: float
    low: float | None
    high: float | None

    @classmethod
    def of(
        cls, kind: Kind, better: Better, change: float, low: float | None, high: float | None
    ) -> Worsening:
        """Return a difference or a ratio as a worsening.

        Args:
            kind: ``share`` for a difference, ``amount`` for a ratio above 0.
            better: which direction is better, ``higher`` or ``lower``.
            change: treatment minus control, or treatment over control.
            low: the lower end of its interval.
            high: the upper end.
        """
        seen = additive(kind, change)
        lowest, highest = (None if each is None else additive(kind, each) for each in (low, high))
        if better == "lower":
            return cls(seen, lowest, highest)
        return cls(-seen, _negative(highest), _negative(lowest))


@dataclass(frozen=True)
class Evidence:
    """What an interval rests on, as significance.json has it; see `Estimate`."""

    n_items: int
    n_clusters: int
    n_differing: int
    method: Method
    standard_error: float | None
    naive_standard_error: float | None
    degrees_of_freedom: float | None
    design_effect: float | None


@dataclass(frozen=True)
class ItemsToTell:
    """How many items of the same kind a run needs to tell; ``None`` where no number is known."""

    n_items: int | None
    assumes: Assumption


def additive(kind: Kind, value: float) -> float:
    """Return a difference as it is, and a ratio as its logarithm."""
    return math.log(value) if kind == "amount" else value


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def least_for_one_side(kind: Kind, method: Method) -> Trust:
    """Return the least data on which one end of such an interval keeps its level."""
    return (OF_AMOUNTS if kind == "amount" else OF_SHARES)[method]


def is_trusted_on_one_side(kind: Kind, evidence: Evidence) -> bool:
    """Whether one end of an interval keeps its level, which can take more than both ends do."""
    least = least_for_one_side(kind, evidence.method)
    return evidence.n_clusters >= least.clusters and evidence.n_differing >= least.differing


def decide(worsening: Worsening, margin: float, *, trusted: bool) -> GateDecision:
    """Return what an interval says of a margin, both on the additive scale.

    ``passes``: all of it lies below the margin. ``worse``: none of it does. An interval that is
    undefined or not trusted says nothing.
    """
    if worsening.low is None or worsening.high is None or not trusted:
        return "cannot_tell"
    if worsening.high < margin:
        return "passes"
    return "worse" if worsening.low >= margin else "cannot_tell"


def items_to_tell(
    kind: Kind,
    worsening: Worsening,
    margin: float,
    evidence: Evidence,
    confidence: float,
    power: float,
) -> ItemsToTell:
    """Return how many items a run needs to tell; for a decision of ``cannot_tell``.

    Where the interval reaches the margin: what it takes to pass if nothing changed in truth. A run
    that had as many and could not tell has seen a change near the margin: then what it takes if
    that is the true change. Where the interval is not trusted: at least what it takes for that.

    Args:
        kind: of the metric.
        worsening: what was seen, on the additive scale.
        margin: on the same scale.
        evidence: what the interval rests on.
        confidence: of the interval.
        power: the probability of telling.
    """
    least = _for_trust(least_for_one_side(kind, evidence.method), evidence)
    if decide(worsening, margin, trusted=True) != "cannot_tell":
        return ItemsToTell(least, "enough_clusters")
    assumes: Assumption = "no_change"
    needed = _needed(0.0, worsening, margin, evidence, confidence, power)
    if needed is not None and needed <= evidence.n_items:
        assumes = "observed_change"
        needed = _needed(worsening.change, worsening, margin, evidence, confidence, power)
    if needed is None or is_trusted_on_one_side(kind, evidence):
        return ItemsToTell(needed, assumes)
    if least is None or least >= needed:
        return ItemsToTell(least, "enough_clusters")
    return ItemsToTell(needed, assumes)


def _needed(
    change: float,
    seen: Worsening,
    margin: float,
    evidence: Evidence,
    confidence: float,
    power: float,
) -> int | None:
    """Items at which the interval excludes the margin with this power if ``change`` is true."""
    alpha, distance = round(1 - confidence, 9), abs(margin - change)
    error, freedom = evidence.standard_error, evidence.degrees_of_freedom
    if error is None or freedom is None or power <= alpha or distance < _AT_THE_MARGIN:
        return None
    if evidence.method == "score":
        return _needed_by_score(change, seen, margin, evidence, confidence, power)
    return items_needed(distance, evidence.n_items, error, freedom, alpha, power) if error else None


def _needed_by_score(
    change: float,
    seen: Worsening,
    margin: float,
    evidence: Evidence,
    confidence: float,
    power: float,
) -> int:
    """Items for the score test of a difference of paired proportions (Nam 1997).

    n = ((q s0 + z s1) / (margin - change))², where s0 and s1 are the standard deviations of one
    pair's difference at the margin and at the change. As many pairs differ as were seen to. Of
    clustered items, n is multiplied by the design effect.
    """
    n, clustered = evidence.n_items, evidence.n_clusters < evidence.n_items
    variance = (evidence.naive_standard_error or 0.0) ** 2 * (n - 1)
    differing = max(variance + seen.change**2, abs(change))
    pairs = DiscordantPairs((differing - change) / 2, (differing + change) / 2, 1.0, None)
    at_margin, at_change = pairs.score_error(margin), math.sqrt(differing - change**2)
    freedom = evidence.degrees_of_freedom if clustered else None
    quantile, z = t_quantile(freedom, (1 + confidence) / 2), float(special.ndtri(power))
    needed = ((quantile * at_margin + z * at_change) / (margin - change)) ** 2
    if clustered:
        effect = evidence.design_effect
        needed *= n / evidence.n_clusters if effect is None else max(1.0, effect)
    return math.floor(needed) + 1


def _for_trust(least: Trust, evidence: Evidence) -> int | None:
    """Items at which as many clusters are expected, and as many that differ, as an interval needs.

    ``None`` where none differs yet.
    """
    times = least.clusters / evidence.n_clusters
    if least.differing:
        if not evidence.n_differing:
            return None
        times = max(times, least.differing / evidence.n_differing)
    return math.ceil(evidence.n_items * times - 1e-9)
