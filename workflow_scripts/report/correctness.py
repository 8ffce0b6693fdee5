"""By what answers count as correct, and where other ways to decide it say something else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..core.metric import Metric
from ..stats.estimates import Estimate
from .contrast import Contrast
from .wording import points, sentence_case


def decided_by(metrics: Iterable[Metric]) -> str | None:
    """By what correctness was decided, in words; ``None`` where nothing decides it."""
    return next((metric.decided_by for metric in metrics if metric.decided_by), None)


def disagreements(contrast: Contrast) -> Iterator[str]:
    """Yield a sentence for each way to decide correctness that contradicts the one that was used.

    Two ways disagree where one finds a clear change and the other one in the opposite direction, or
    where their intervals have nothing in common.
    """
    estimates = contrast.result.metrics
    for used in contrast.shares:
        for other in contrast.shares if used.decided_by else ():
            one, two = estimates[used.name], estimates[other.name]
            if other.level and _disagree(one, two):
                yield (
                    f"{sentence_case(other.label)} changed by "
                    f"{points(two.difference, signed=True)} points, {used.label} (decided by "
                    f"{used.decided_by}) by {points(one.difference, signed=True)}: the treatment "
                    "changed the form of the answers more than whether they are right. Read some "
                    "of them before you believe either number."
                )


def _disagree(one: Estimate, other: Estimate) -> bool:
    low = [each.ci_low for each in (one, other) if each.ci_low is not None]
    high = [each.ci_high for each in (one, other) if each.ci_high is not None]
    apart = len(low) == len(high) == 2 and max(low) > min(high)
    opposite = one.difference * other.difference < 0
    return apart or (opposite and (_clear(one) or _clear(other)))


def _clear(estimate: Estimate) -> bool:
    return (estimate.ci_low or 0) > 0 or (estimate.ci_high or 0) < 0
