"""One comparison: everything that is computed of one treatment, temperature and task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.metric import Kind, SelectiveRoles
from .amounts import AmountEstimate, amount_estimates, log_values
from .caveats import Caveat, about_amounts, about_estimates, undefined
from .equivalence import Equivalence, tost
from .estimates import Estimate, estimates, is_binary, mean_differences
from .intervals import MeanDifference, mean_difference
from .paired import McNemar, mcnemar
from .pairs import Pairs
from .scores import BoolArray
from .selective import Answers, Point, SelectiveDifference, SelectiveRisk
from .settings import Stats
from .worst_case import WorstCase

FEW_CLUSTERS = 30
"""Below about this many, resampling clusters is too narrow (Cameron, Gelbach & Miller 2008)."""

_LISTED = 20
"""Unpaired items that a warning names."""


@dataclass(frozen=True)
class Subgroup:
    """The same estimates over a part of the items."""

    n_items: int
    n_clusters: int
    metrics: dict[str, Estimate]
    amounts: dict[str, AmountEstimate] = field(default_factory=dict)


@dataclass(frozen=True)
class Meta:
    """How a comparison was computed, and what a reader must know about it.

    ``effective_samples_per_item``: 1 where all samples of every item are alike, as at temperature
    0: they say no more than one.
    """

    n_clusters: int
    n_unpaired: int
    n_unanswerable: int
    confidence: float
    bootstrap_samples: int
    permutation_samples: int
    random_seed: int
    warnings: list[Caveat]
    samples_per_item: int = 1
    effective_samples_per_item: int = 1


@dataclass(frozen=True)
class Comparison:
    """One treatment against the control, at one temperature, in one task.

    ``metrics`` are the shares, compared by differences; ``amounts`` are compared by ratios.
    """

    n_items: int
    meta: Meta
    mcnemar: dict[str, McNemar] = field(default_factory=dict)
    metrics: dict[str, Estimate] = field(default_factory=dict)
    amounts: dict[str, AmountEstimate] = field(default_factory=dict)
    selective_risk: dict[str, SelectiveRisk] = field(default_factory=dict)
    subgroups: dict[str, Subgroup] = field(default_factory=dict)
    tost: dict[str, Equivalence] = field(default_factory=dict)
    selective_difference: dict[str, SelectiveDifference] = field(default_factory=dict)
    worst_case: WorstCase | None = None


@dataclass(frozen=True)
class Behind:
    """What other files need of a comparison besides its numbers.

    ``amounts``: the mean differences of their logarithms.
    """

    means: dict[str, MeanDifference]
    amounts: dict[str, MeanDifference]
    curves: dict[str, list[Point]]


@dataclass(frozen=True)
class Contrast:
    """One comparison with the names that identify it and what stands behind it."""

    treatment: str
    temp: str
    task: str
    pairs: Pairs
    result: Comparison
    behind: Behind


def compare(
    pairs: Pairs,
    unpaired: Sequence[str],
    control: str,
    treatment: str,
    settings: Stats,
    most_permutations: Mapping[Kind, int],
    roles: SelectiveRoles | None,
) -> tuple[Comparison, Behind]:
    """Compute one comparison.

    Args:
        pairs: the items that both arms have.
        unpaired: the keys of those that only one arm has.
        control: name of the one arm.
        treatment: name of the other.
        settings: how to test.
        most_permutations: for p values that many tests make coarse (see `sign_flip_p`), of
            metrics of a kind.
        roles: what says how often an arm answers, where it may decline to.
    """
    warnings: list[Caveat] = []
    samples = pairs.samples_per_item
    effective = samples if pairs.sample_variance.any() else 1
    meta = Meta(
        n_clusters=pairs.n_clusters,
        n_unpaired=len(unpaired),
        n_unanswerable=int(_declined(pairs, roles).sum()),
        confidence=settings.confidence,
        bootstrap_samples=settings.bootstrap_samples,
        permutation_samples=settings.permutation_samples,
        random_seed=settings.random_seed,
        warnings=warnings,
        samples_per_item=samples,
        effective_samples_per_item=effective,
    )
    if samples > effective and pairs.n_items and pairs.metrics:
        warnings.append(
            Caveat(
                "repeated_samples",
                f"the {samples} samples of each item score alike: they count as one. Set "
                "samples_per_item to 1 (at temperature 0 more only cost), or raise the temperature",
            )
        )
    if unpaired:
        more = f" and {len(unpaired) - _LISTED} more" if len(unpaired) > _LISTED else ""
        warnings.append(
            Caveat(
                "unpaired_items",
                f"{len(unpaired)} items have scores under one arm only and are left out: "
                f"{', '.join(unpaired[:_LISTED])}{more}",
            )
        )
    if not pairs.n_items:
        message = "no item has scores under both arms: there is nothing to compare"
        warnings.append(Caveat("no_pairs", message))
        return Comparison(0, meta), Behind({}, {}, {})
    warnings += _about_clusters(pairs)
    means = mean_differences(pairs)
    answers = {} if roles is None else _answers(pairs, roles, control, treatment)
    metrics, selective_difference = estimates(
        pairs,
        settings,
        means,
        list(answers.values()),
        most_permutations.get("share", 0),
        n_differing=means[roles.wrong].n_differing if roles else 0,
    )
    warnings += about_estimates(metrics, pairs, None, settings.confidence)
    most = most_permutations.get("amount", 0)
    amounts, log_means = amount_estimates(log_values(pairs), settings, most)
    warnings += about_amounts(amounts, pairs, None, settings.confidence)
    risks = {arm: each.summary(settings.risk_thresholds) for arm, each in answers.items()}
    warnings += undefined("selective_risk: risk", "the arm never answers", risks, "risk")
    tests = _mcnemar(pairs, settings, warnings)
    comparison = Comparison(
        n_items=pairs.n_items,
        meta=meta,
        mcnemar=tests,
        metrics=metrics,
        amounts=amounts,
        selective_risk=risks,
        subgroups=_parts(pairs, settings, most_permutations, warnings),
        tost=_equivalences(pairs, settings, warnings),
        selective_difference=selective_difference,
    )
    curves = {arm: each.points() for arm, each in answers.items()}
    return comparison, Behind(means, log_means, curves)


def _declined(pairs: Pairs, roles: SelectiveRoles | None) -> BoolArray:
    nowhere = np.zeros(pairs.n_items, dtype=np.bool_)
    return nowhere if roles is None else pairs.subgroups.get(roles.declined, nowhere)


def _answers(
    pairs: Pairs, roles: SelectiveRoles, control: str, treatment: str
) -> dict[str, Answers]:
    correct, wrong = pairs.column(roles.correct), pairs.column(roles.wrong)
    return {
        arm: Answers(scores[:, correct], scores[:, wrong], _declined(pairs, roles))
        for arm, scores in ((control, pairs.control), (treatment, pairs.treatment))
    }


def _mcnemar(pairs: Pairs, settings: Stats, warnings: list[Caveat]) -> dict[str, McNemar]:
    """The test that binary metrics have besides those of all metrics."""
    tests: dict[str, McNemar] = {}
    independent = pairs.n_clusters == pairs.n_items
    for metric in (each.name for each in pairs.declared if each.binary):
        column = pairs.column(metric)
        before, after = pairs.control[:, column], pairs.treatment[:, column]
        test, undecided = mcnemar(before, after, settings.confidence, independent=independent)
        tests[metric] = test
        if undecided:
            warnings.append(
                Caveat(
                    "split_votes",
                    f"mcnemar, {metric}: {undecided} items are left out because their samples "
                    "are split evenly",
                    [metric],
                )
            )
    warnings += undefined("mcnemar: odds_ratio", "only_control is 0", tests, "odds_ratio")
    return tests


def _parts(
    pairs: Pairs,
    settings: Stats,
    most_permutations: Mapping[Kind, int],
    warnings: list[Caveat],
) -> dict[str, Subgroup]:
    """The estimates of subgroups."""
    subgroups: dict[str, Subgroup] = {}
    single = [
        pairs.dataset_names[code] for code, n in enumerate(np.bincount(pairs.datasets)) if n == 1
    ]
    if single and pairs.n_items > 1:
        warnings.append(
            Caveat(
                "single_item_dataset",
                f"{', '.join(single)}: only one item, so no subgroup; it counts in the totals",
            )
        )
    for name, mask in subgroup_masks(pairs):
        part = pairs.subset(mask)
        means = mean_differences(part)
        metrics, _ = estimates(part, settings, means, [], most_permutations.get("share", 0))
        most = most_permutations.get("amount", 0)
        amounts, _ = amount_estimates(log_values(part), settings, most)
        subgroups[name] = Subgroup(part.n_items, part.n_clusters, metrics, amounts)
        warnings += about_estimates(metrics, part, name, settings.confidence)
        warnings += about_amounts(amounts, part, name, settings.confidence)
    return subgroups


def _equivalences(
    pairs: Pairs,
    settings: Stats,
    warnings: list[Caveat],
) -> dict[str, Equivalence]:
    """Tests against the margins of those metrics that have one and were measured."""
    found = {
        metric: equivalence(pairs, metric, margin, alpha)
        for metric, (margin, alpha) in margins(settings).items()
        if metric in pairs.metrics
    }
    reason = "there is only one cluster, or clusters do not vary"
    warnings += undefined("tost: p_value", reason, found, "p_value")
    return found


def equivalence(pairs: Pairs, metric: str, margin: float, alpha: float) -> Equivalence:
    """Return the tests of a share's difference against a margin."""
    column = pairs.column(metric)
    differences = pairs.differences[:, column]
    return tost(
        pairs.declared[column].better,
        differences,
        mean_difference(differences, pairs.clusters),
        margin,
        alpha,
        binary=is_binary(pairs, metric),
    )


def margins(settings: Stats) -> dict[str, tuple[float, float]]:
    """Margin and level by metric: the configured ones, and those declared for the primary one.

    The declared ones hold for all items only if no subgroup is declared.
    """
    found: dict[str, tuple[float, float]] = {
        metric: (margin, settings.tost_alpha) for metric, margin in settings.tost_margins.items()
    }
    declared = settings.registration
    if declared is not None and declared.margin is not None and declared.subgroup is None:
        found[declared.primary] = declared.margin, declared.alpha
    return found


def subgroup_masks(pairs: Pairs) -> Iterator[tuple[str, BoolArray]]:
    """Yield the name and items of each data set and subgroup: proper subsets of 2 or more."""
    masks = {
        f"dataset={pairs.dataset_names[code]}": pairs.datasets == code
        for code in np.unique(pairs.datasets)
    }
    for name, mask in [*masks.items(), *sorted(pairs.subgroups.items())]:
        if 2 <= np.count_nonzero(mask) < pairs.n_items:
            yield name, mask


def _about_clusters(pairs: Pairs) -> Iterator[Caveat]:
    if 1 < pairs.n_clusters < FEW_CLUSTERS:
        yield Caveat(
            "few_clusters",
            f"there are only {pairs.n_clusters} clusters: below about {FEW_CLUSTERS}, bootstrap "
            "intervals are too narrow and differences of a usual size cannot be seen",
        )
    if pairs.n_clusters < pairs.n_items:
        yield Caveat(
            "ignores_clusters",
            "mcnemar, wilcoxon_p and the naive interval take items as independent, and items of "
            "a cluster are not: use permutation_p and ci_low to ci_high",
        )
