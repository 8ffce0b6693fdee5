"""One metric's difference over several data sets: fixed and random effects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from .intervals import MeanDifference, t_quantile

FEW_DATASETS = 5
"""With fewer, what data sets vary by is hardly known, whatever the method."""


@dataclass(frozen=True)
class Pooled:
    """A pooled difference with its interval."""

    estimate: float
    standard_error: float
    ci_low: float
    ci_high: float
    trusted: bool


@dataclass(frozen=True)
class MetaAnalysis:
    """Inverse-variance synthesis of the data sets' differences.

    ``fixed``: one common difference. ``random``: DerSimonian & Laird (1986), normal quantiles;
    too narrow where data sets differ, and shown because others report it. ``hartung_knapp``: the
    same estimate with the interval of Hartung & Knapp (2001), t quantiles, never with a smaller
    standard error than ``random`` (Knapp & Hartung 2003): data sets that happen to agree do not
    make it narrow. Trusted from `FEW_DATASETS` on.
    ``q``, ``q_p``: Cochran's test that all differences are one. ``i2``: share of the variation
    that is not chance (Higgins & Thompson 2002). ``tau2``: variance of the differences between
    data sets. ``datasets``: each with its difference and cluster-robust standard error.
    """

    fixed: Pooled
    random: Pooled
    hartung_knapp: Pooled
    q: float
    q_p: float
    i2: float
    tau2: float
    datasets: dict[str, tuple[float, float]]


def meta_analysis(datasets: Mapping[str, MeanDifference], confidence: float) -> MetaAnalysis | None:
    """Synthesise the differences of data sets; ``None`` with fewer than two that have an error.

    A data set of one cluster, or whose clusters do not vary, has no standard error and is left
    out.
    """
    usable = {
        name: (each.mean, each.standard_error)
        for name, each in datasets.items()
        if each.standard_error
    }
    if len(usable) < 2:
        return None
    effects, errors = (np.array(column) for column in zip(*usable.values(), strict=True))
    k, z = len(effects), t_quantile(None, (1 + confidence) / 2)
    weights = 1 / errors**2
    common = float(weights @ effects / weights.sum())
    q = float(weights @ (effects - common) ** 2)
    scale = float(weights.sum() - (weights**2).sum() / weights.sum())
    tau2 = max(0.0, (q - (k - 1)) / scale)

    random_weights = 1 / (errors**2 + tau2)
    mean = float(random_weights @ effects / random_weights.sum())
    standard_error = 1 / math.sqrt(random_weights.sum())
    residual = float(random_weights @ (effects - mean) ** 2) / (k - 1)
    return MetaAnalysis(
        fixed=_pooled(common, 1 / math.sqrt(weights.sum()), z, trusted=tau2 == 0),
        random=_pooled(mean, standard_error, z, trusted=False),
        hartung_knapp=_pooled(
            mean,
            standard_error * math.sqrt(max(1.0, residual)),
            t_quantile(k - 1, (1 + confidence) / 2),
            trusted=k >= FEW_DATASETS,
        ),
        q=q,
        q_p=float(special.chdtrc(k - 1, q)),
        i2=max(0.0, (q - (k - 1)) / q) if q > 0 else 0.0,
        tau2=tau2,
        datasets=usable,
    )


def _pooled(estimate: float, standard_error: float, quantile: float, *, trusted: bool) -> Pooled:
    half = quantile * standard_error
    return Pooled(estimate, standard_error, estimate - half, estimate + half, trusted)
