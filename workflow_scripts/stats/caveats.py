"""What a reader must know before trusting the numbers of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .amounts import TRUST as AMOUNT_TRUST
from .amounts import AmountEstimate
from .estimates import Estimate
from .intervals import TRUST
from .pairs import Pairs


@dataclass(frozen=True)
class Caveat:
    """What a reader must know before trusting a number, for people and for programs.

    ``code`` says what kind it is, ``metrics`` and ``subgroup`` which numbers it is about; empty
    and ``None`` mean the whole comparison.
    """

    code: str
    message: str
    metrics: list[str] = field(default_factory=list)
    subgroup: str | None = None


def about_estimates(
    metrics: Mapping[str, Estimate], pairs: Pairs, subgroup: str | None, confidence: float
) -> Iterator[Caveat]:
    """Yield what to know of differences of shares, over all items or in a subgroup."""
    where = f"subgroup {subgroup}: " if subgroup else ""
    if pairs.n_clusters == 1:
        message = f"{where}ci_low and ci_high are undefined: there is only one cluster"
        yield Caveat("single_cluster", message, subgroup=subgroup)
    else:
        for method, least in TRUST.items():
            doubtful = [
                name
                for name, estimate in metrics.items()
                if estimate.ci_method == method and not estimate.ci_trusted
            ]
            if doubtful:
                differing = f", {least.differing} of them with a difference"
                yield Caveat(
                    "ci_not_trusted",
                    f"{where}ci_low to ci_high of {', '.join(doubtful)} may be {least.below}: the "
                    f"{method} interval keeps its level from {least.clusters} clusters on"
                    f"{differing if least.differing else ''}",
                    doubtful,
                    subgroup,
                )
        yield from _contradictions(metrics, 0, where, subgroup, confidence)
    yield from undefined(
        f"{where}wilcoxon_p", "all differences are 0", metrics, "wilcoxon_p", subgroup
    )
    yield from undefined(
        f"{where}cohens_d", "differences do not vary", metrics, "cohens_d", subgroup
    )


def about_amounts(
    amounts: Mapping[str, AmountEstimate], pairs: Pairs, subgroup: str | None, confidence: float
) -> Iterator[Caveat]:
    """Yield what to know of ratios of amounts, over all items or in a subgroup."""
    where = f"subgroup {subgroup}: " if subgroup else ""
    if subgroup is None:
        yield from _unmeasured(amounts, pairs)
    if pairs.n_clusters > 1:
        reason = "only one cluster has values, or an end is too large a number"
        yield from undefined(f"{where}ci_low", reason, amounts, "ci_low", subgroup)
        for method, least in AMOUNT_TRUST.items():
            doubtful = [
                name
                for name, each in amounts.items()
                if each.ci_method == method and each.ci_low is not None and not each.ci_trusted
            ]
            if doubtful:
                yield Caveat(
                    "ci_not_trusted",
                    f"{where}ci_low to ci_high of {', '.join(doubtful)} may be {least.below}: the "
                    f"{method} interval of a ratio keeps its level from {least.differing} clusters "
                    "with a difference on",
                    doubtful,
                    subgroup,
                )
    yield from _contradictions(amounts, 1, where, subgroup, confidence)


def _unmeasured(amounts: Mapping[str, AmountEstimate], pairs: Pairs) -> Iterator[Caveat]:
    """Amounts that some items, or all, have no value of."""
    for name in sorted(pairs.amounts.keys() - amounts.keys()):
        message = f"no item has a value of {name} under both arms: there is no ratio"
        yield Caveat("unmeasured_items", message, [name])
    for name, estimate in amounts.items():
        if estimate.n_unmeasured:
            message = (
                f"{estimate.n_unmeasured} items have no value of {name} under one arm or both: its "
                "ratio leaves them out"
            )
            yield Caveat("unmeasured_items", message, [name])


def _contradictions(
    found: Mapping[str, Estimate] | Mapping[str, AmountEstimate],
    no_change: int,
    where: str,
    subgroup: str | None,
    confidence: float,
) -> Iterator[Caveat]:
    """Metrics of which test and interval, two methods, do not say the same about no change."""
    alpha = round(1 - confidence, 9)
    for name, estimate in found.items():
        low, high = estimate.ci_low, estimate.ci_high
        excluded = low is not None and high is not None and not low <= no_change <= high
        if (estimate.permutation_p < alpha) != excluded:
            yield Caveat(
                "p_and_interval_differ",
                f"{where}{name}: ci_low to ci_high {'excludes' if excluded else 'contains'} "
                f"{no_change}, and permutation_p is {estimate.permutation_p:.3g}. The interval is "
                "an approximation, the test is exact: a difference is clear only where both say so",
                [name],
                subgroup,
            )


def undefined(
    what: str,
    reason: str,
    results: Mapping[str, object],
    name: str,
    subgroup: str | None = None,
) -> Iterator[Caveat]:
    """Yield a caveat that names the results whose field ``name`` is ``None``, if there are any."""
    found = [key for key, result in results.items() if getattr(result, name) is None]
    if found:
        message = f"{what} is undefined for {', '.join(found)}: {reason}"
        yield Caveat("undefined", message, found, subgroup)
