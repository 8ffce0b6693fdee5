"""One comparison: everything that is computed of one treatment, temperature and task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..config.schema import Stats
from .effects import cliffs_delta, cohens_d, hodges_lehmann
from .equivalence import Equivalence, tost
from .paired import McNemar, mcnemar, wilcoxon_p
from .pairs import BoolArray, FloatArray, IntArray, Pairs
from .resampling import bootstrap_means, percentile_interval, sign_flip_p
from .selective import SelectiveRisk, selective_risk

BINARY_METRICS = ("em", "abstain_rate", "false_answer_rate")

FEW_CLUSTERS = 30
"""Below about this many, cluster intervals are too narrow (Cameron, Gelbach & Miller 2008)."""

_LISTED = 20
"""Unpaired items that a warning names."""


@dataclass
class Estimate:
    """One metric under both arms; each number is explained in docs/statistics.md.

    ``q_value`` is filled in when all tests of its family are known.
    """

    control_mean: float
    treatment_mean: float
    difference: float
    ci_low: float | None
    ci_high: float | None
    naive_ci_low: float | None
    naive_ci_high: float | None
    permutation_p: float
    wilcoxon_p: float | None
    hodges_lehmann: float
    cohens_d: float | None
    cliffs_delta: float
    q_value: float | None = None


@dataclass(frozen=True)
class Subgroup:
    """The same estimates over a part of the items."""

    n_items: int
    n_clusters: int
    metrics: dict[str, Estimate]


@dataclass(frozen=True)
class Meta:
    """How a comparison was computed, and what a reader must know about it."""

    n_clusters: int
    n_unpaired: int
    n_unanswerable: int
    confidence: float
    bootstrap_samples: int
    permutation_samples: int
    random_seed: int
    warnings: list[str]


@dataclass(frozen=True)
class Comparison:
    """One treatment against the control, at one temperature, in one task."""

    n_items: int
    meta: Meta
    mcnemar: dict[str, McNemar] = field(default_factory=dict)
    metrics: dict[str, Estimate] = field(default_factory=dict)
    selective_risk: dict[str, SelectiveRisk] = field(default_factory=dict)
    subgroups: dict[str, Subgroup] = field(default_factory=dict)
    tost: dict[str, Equivalence] = field(default_factory=dict)


def compare(
    pairs: Pairs, unpaired: Sequence[str], control: str, treatment: str, settings: Stats
) -> Comparison:
    """Compute one comparison. ``unpaired`` are the keys of items that only one arm has."""
    warnings: list[str] = []
    meta = Meta(
        n_clusters=pairs.n_clusters,
        n_unpaired=len(unpaired),
        n_unanswerable=int(pairs.unanswerable.sum()),
        confidence=settings.confidence,
        bootstrap_samples=settings.bootstrap_samples,
        permutation_samples=settings.permutation_samples,
        random_seed=settings.random_seed,
        warnings=warnings,
    )
    if unpaired:
        more = f" and {len(unpaired) - _LISTED} more" if len(unpaired) > _LISTED else ""
        warnings.append(
            f"{len(unpaired)} items have scores under one arm only and are left out: "
            f"{', '.join(unpaired[:_LISTED])}{more}"
        )
    if not pairs.n_items:
        warnings.append("no item has scores under both arms: there is nothing to compare")
        return Comparison(0, meta)
    if 1 < pairs.n_clusters < FEW_CLUSTERS:
        warnings.append(
            f"there are only {pairs.n_clusters} clusters: below about {FEW_CLUSTERS}, intervals "
            "are too narrow"
        )

    columns = {metric: index for index, metric in enumerate(pairs.metrics)}
    tests: dict[str, McNemar] = {}
    for metric in BINARY_METRICS:
        tests[metric], undecided = mcnemar(
            pairs.control[:, columns[metric]], pairs.treatment[:, columns[metric]]
        )
        if undecided:
            warnings.append(
                f"mcnemar, {metric}: {undecided} items are left out because their samples are "
                "split evenly"
            )
    warnings += _undefined("mcnemar: odds_ratio", "only_control is 0", tests, "odds_ratio")

    metrics = estimates(pairs, settings)
    warnings += _undefined_estimates("", metrics, pairs)

    arms = {control: pairs.control, treatment: pairs.treatment}
    risks = {
        arm: selective_risk(
            scores[:, columns["em"]],
            scores[:, columns["false_answer_rate"]],
            pairs.unanswerable,
            settings.risk_thresholds,
        )
        for arm, scores in arms.items()
    }
    warnings += _undefined("selective_risk: risk", "the arm never answers", risks, "risk")

    subgroups: dict[str, Subgroup] = {}
    for name, mask in _subgroup_masks(pairs):
        part = pairs.subset(mask)
        subgroups[name] = Subgroup(part.n_items, part.n_clusters, estimates(part, settings))
        warnings += _undefined_estimates(f"subgroup {name}: ", subgroups[name].metrics, part)

    equivalences: dict[str, Equivalence] = {
        metric: tost(
            pairs.differences[:, columns[metric]], pairs.clusters, margin, settings.tost_alpha
        )
        for metric, margin in settings.tost_margins.items()
        if metric in columns
    }
    warnings += _undefined("tost: p_value", "clusters do not vary", equivalences, "p_value")
    return Comparison(pairs.n_items, meta, tests, metrics, risks, subgroups, equivalences)


def estimates(pairs: Pairs, settings: Stats) -> dict[str, Estimate]:
    """The estimates of all metrics. Every random draw comes from the seed in ``settings``."""
    differences = pairs.differences
    low, high = _interval(differences, pairs.clusters, settings)
    naive_low, naive_high = low, high
    if pairs.n_clusters < pairs.n_items:
        naive_low, naive_high = _interval(differences, np.arange(pairs.n_items), settings)
    p_values = sign_flip_p(
        differences,
        pairs.clusters,
        settings.permutation_samples,
        np.random.default_rng([settings.random_seed, 1]),
    )
    # One cluster (or item) drawn again and again has no spread, which is not certainty.
    clustered, naive = pairs.n_clusters > 1, pairs.n_items > 1
    return {
        metric: Estimate(
            control_mean=float(pairs.control[:, column].mean()),
            treatment_mean=float(pairs.treatment[:, column].mean()),
            difference=float(differences[:, column].mean()),
            ci_low=float(low[column]) if clustered else None,
            ci_high=float(high[column]) if clustered else None,
            naive_ci_low=float(naive_low[column]) if naive else None,
            naive_ci_high=float(naive_high[column]) if naive else None,
            permutation_p=float(p_values[column]),
            wilcoxon_p=wilcoxon_p(differences[:, column]),
            hodges_lehmann=hodges_lehmann(differences[:, column]),
            cohens_d=cohens_d(differences[:, column]),
            cliffs_delta=cliffs_delta(pairs.control[:, column], pairs.treatment[:, column]),
        )
        for column, metric in enumerate(pairs.metrics)
    }


def _interval(
    differences: FloatArray, clusters: IntArray, settings: Stats
) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng([settings.random_seed, 0])
    replicates = bootstrap_means(differences, clusters, settings.bootstrap_samples, rng)
    return percentile_interval(replicates, settings.confidence)


def _subgroup_masks(pairs: Pairs) -> Iterator[tuple[str, BoolArray]]:
    """Each data set, the answerable and the unanswerable items: proper subsets of 2 or more."""
    candidates = {f"dataset={name}": pairs.datasets == name for name in np.unique(pairs.datasets)}
    candidates |= {"answerable": ~pairs.unanswerable, "unanswerable": pairs.unanswerable}
    for name, mask in candidates.items():
        if 2 <= np.count_nonzero(mask) < pairs.n_items:
            yield name, mask


def _undefined_estimates(
    where: str, metrics: Mapping[str, Estimate], pairs: Pairs
) -> Iterator[str]:
    if pairs.n_clusters == 1:
        yield f"{where}ci_low and ci_high are undefined: there is only one cluster"
    yield from _undefined(f"{where}wilcoxon_p", "all differences are 0", metrics, "wilcoxon_p")
    yield from _undefined(f"{where}cohens_d", "differences do not vary", metrics, "cohens_d")


def _undefined(what: str, reason: str, results: Mapping[str, object], name: str) -> Iterator[str]:
    """A warning that names the results whose field ``name`` is ``None``, if there are any."""
    undefined = [key for key, result in results.items() if getattr(result, name) is None]
    if undefined:
        yield f"{what} is undefined for {', '.join(undefined)}: {reason}"
