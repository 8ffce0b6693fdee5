"""Which tests are corrected together, and what becomes of the declared primary question.

The declared primary metric is a family of its own, and so are the declared secondary metrics; all
other totals are exploratory. Subgroups are yet another family: they are there to explain a total,
are parts of it, and must not make it harder to reach. Without a declaration all totals are
exploratory. Amounts have families of their own, so that an experiment that also counts tokens says
the same of its shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import PlainSerializer

from ..core.errors import UserError
from ..stats.amounts import AmountEstimate
from ..stats.caveats import Caveat
from ..stats.comparison import Comparison, Contrast, Subgroup, equivalence, subgroup_masks
from ..stats.estimates import Estimate
from ..stats.multiplicity import benjamini_hochberg, holm
from ..stats.pairs import Pairs
from ..stats.settings import Registration, Stats
from .registration import RegistrationStatus, declaration, digest_of
from .settings import is_primary

AnyEstimate = Estimate | AmountEstimate

Time = Annotated[datetime, PlainSerializer(datetime.isoformat, return_type=str)]

FAMILIES = (
    "primary",
    "secondary",
    "exploratory",
    "amounts",
    "subgroups",
    "amounts_in_subgroups",
)


@dataclass(frozen=True)
class PrimaryTest:
    """The primary metric in one comparison.

    ``difference`` is that of the means; of an amount that of the mean logarithms, and ``ratio``
    and the interval are those of the geometric means. ``p_value`` is the permutation test's,
    one-sided where a direction is declared; ``confirmed`` says whether ``p_holm`` over all primary
    tests is below the declared alpha. Equivalence and non-inferiority are `Equivalence`'s, ``None``
    without a declared margin, and so is ``margin_trusted``: whether those two keep their level on
    such data.
    """

    treatment: str
    temp: str
    task: str
    difference: float
    ci_low: float | None
    ci_high: float | None
    p_value: float
    p_holm: float
    confirmed: bool
    equivalent: bool | None
    non_inferior: bool | None
    margin_trusted: bool | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class RegistrationReport:
    """The declaration, when it was made, and its tests.

    The times and ``before_first_answer`` are ``None`` where no run recorded them.
    """

    digest: str
    declaration: dict[str, Any]
    declared_at: Time | None
    first_answer_at: Time | None
    before_first_answer: bool | None
    tests: list[PrimaryTest]


def correct(contrasts: Sequence[Contrast], stats: Stats) -> dict[str, int]:
    """Fill in each estimate's family, Holm p and q value; the size of each family."""
    families: dict[str, list[AnyEstimate]] = {}
    declared = stats.registration
    secondary = declared.secondary if declared else []
    for contrast in contrasts:
        result = contrast.result
        for others, totals in (("exploratory", result.metrics), ("amounts", result.amounts)):
            for metric, estimate in totals.items():
                if is_primary(stats, metric, contrast.task, contrast.temp):
                    family = "primary"
                else:
                    family = "secondary" if metric in secondary else others
                families.setdefault(family, []).append(estimate)
        for name, subgroup in result.subgroups.items():
            for others, parts in (
                ("subgroups", subgroup.metrics),
                ("amounts_in_subgroups", subgroup.amounts),
            ):
                for metric, estimate in parts.items():
                    primary = is_primary(stats, metric, contrast.task, contrast.temp, name)
                    families.setdefault("primary" if primary else others, []).append(estimate)
    for family, estimates in families.items():
        direction = declared.direction if declared and family == "primary" else "either"
        p_values = [tested_p(estimate, direction) for estimate in estimates]
        adjusted = zip(estimates, holm(p_values), benjamini_hochberg(p_values), strict=True)
        for estimate, p_holm, q_value in adjusted:
            estimate.family, estimate.p_holm, estimate.q_value = family, p_holm, q_value
    return {family: len(families[family]) for family in FAMILIES if family in families}


def tested_p(estimate: AnyEstimate, direction: str) -> float:
    """The permutation test's p value in a direction: ``increase``, ``decrease`` or ``either``."""
    one_sided = {
        "increase": estimate.permutation_p_increase,
        "decrease": estimate.permutation_p_decrease,
    }.get(direction)
    return estimate.permutation_p if one_sided is None else one_sided


def tested_items(
    contrast: Contrast, declared: Registration
) -> tuple[Comparison | Subgroup, Pairs] | None:
    """What a declared question is about: all items of a comparison, or a subgroup of them.

    ``None`` where the subgroup has not enough of them.
    """
    if declared.subgroup is None:
        return contrast.result, contrast.pairs
    masks = dict(subgroup_masks(contrast.pairs))
    if declared.subgroup not in masks:
        return None
    of_subgroup = contrast.result.subgroups[declared.subgroup]
    return of_subgroup, contrast.pairs.subset(masks[declared.subgroup])


def registered(
    contrasts: Sequence[Contrast], stats: Stats, status: RegistrationStatus | None
) -> RegistrationReport | None:
    """What became of the declared question; `correct` must have run. ``None`` if undeclared."""
    content, declared = declaration(stats), stats.registration
    if content is None or declared is None:
        return None
    digest = digest_of(content)
    if status is not None and status.digest != digest:
        raise UserError(
            f"the recorded declaration has the digest {status.digest[:12]}, the settings' one "
            f"{digest[:12]}: they belong to different configs"
        )
    tests = []
    for contrast in contrasts:
        if not is_primary(stats, declared.primary, contrast.task, contrast.temp, declared.subgroup):
            continue
        tested = tested_items(contrast, declared)
        if tested is None:
            contrast.result.meta.warnings.append(
                Caveat(
                    "no_subgroup",
                    f"the declared question is about {declared.subgroup!r} items: here fewer than "
                    "2 are, or all, so it is not tested",
                    [declared.primary],
                    declared.subgroup,
                )
            )
            continue
        result, pairs = tested
        estimate = result.metrics.get(declared.primary) or result.amounts.get(declared.primary)
        if estimate is None or estimate.p_holm is None:
            continue
        if isinstance(estimate, AmountEstimate):
            difference, ratio = estimate.log_ratio, estimate.ratio
        else:
            difference, ratio = estimate.difference, None
        within = (
            equivalence(pairs, declared.primary, declared.margin, declared.alpha)
            if declared.margin and declared.primary in pairs.metrics
            else None
        )
        tests.append(
            PrimaryTest(
                treatment=contrast.treatment,
                temp=contrast.temp,
                task=contrast.task,
                difference=difference,
                ratio=ratio,
                ci_low=estimate.ci_low,
                ci_high=estimate.ci_high,
                p_value=tested_p(estimate, declared.direction),
                p_holm=estimate.p_holm,
                confirmed=estimate.p_holm < declared.alpha,
                equivalent=within.equivalent if within else None,
                non_inferior=within.non_inferior if within else None,
                margin_trusted=within.trusted if within else None,
            )
        )
        if status is not None and status.before_first_answer is False:
            contrast.result.meta.warnings.append(
                Caveat(
                    "declared_late",
                    f"the primary question was declared after the first answer had arrived "
                    f"({status.evidence}): read its test as exploratory",
                    [declared.primary],
                )
            )
    if not tests and any(contrast.result.n_items for contrast in contrasts):
        raise UserError(
            f"stats.registration: the primary metric {declared.primary!r} was not measured "
            f"(task {declared.task or 'any'}, temp {declared.temp or 'any'}, "
            f"subgroup {declared.subgroup or 'none'})"
        )
    return RegistrationReport(
        digest=digest,
        declaration=content,
        declared_at=status.declared_at if status else None,
        first_answer_at=status.first_answer_at if status else None,
        before_first_answer=status.before_first_answer if status else None,
        tests=tests,
    )
