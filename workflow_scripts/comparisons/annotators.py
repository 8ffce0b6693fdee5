"""How far people agree with each other on the responses that several of them labelled."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from ..labels.matching import LabelledResponse
from ..labels.records import ADJUDICATOR, Label, Verdict, as_share
from ..stats.agreement import Measured, agreement, krippendorff_alpha

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class AnnotatorPair:
    """Two people on the responses that both labelled, as correct or not; ``unsure`` is no label.

    ``kappa``: Cohen's, ``None`` where both say the same of every response.
    """

    first: str
    second: str
    agreement: Measured
    kappa: Measured | None


@dataclass(frozen=True)
class AnnotatorAgreement:
    """``alpha``: Krippendorff's, over the verdicts of all people, ``unsure`` left out."""

    annotators: list[str]
    alpha: Measured | None
    pairs: list[AnnotatorPair]


def annotator_agreement(
    labelled: Mapping[str, LabelledResponse], clusters: Mapping[str, str], confidence: float
) -> AnnotatorAgreement | None:
    """Return how people agree; ``None`` where no response has labels by two of them.

    The adjudicator decides where others differ, and is not one of them.

    Args:
        labelled: the labelled responses.
        clusters: by custom_id, the cluster of the response's item.
        confidence: of the intervals.
    """
    responses = [each for each in labelled.values() if sum(map(_is_annotator, each.labels)) > 1]
    names = sorted({name for each in responses for name in _by_annotator(each.labels)})
    if len(names) < 2:
        return None
    given = [_by_annotator(each.labels) for each in responses]
    codes = {verdict: float(code) for code, verdict in enumerate(get_args(Verdict))}
    codes["unsure"] = np.nan
    ratings = _table(
        [[codes[of[name]] if name in of else np.nan for name in names] for of in given]
    )
    correct = _table(
        [
            [np.nan if (share := as_share(of.get(name))) is None else share for name in names]
            for of in given
        ]
    )
    of_cluster = np.unique([clusters[each.custom_id] for each in responses], return_inverse=True)
    groups = of_cluster[1].astype(np.int64)
    chances = [each.probability for each in responses]
    weights = None if None in chances else np.array(chances, dtype=np.float64)
    pairs = []
    for one, other in itertools.combinations(range(len(names)), 2):
        second = np.where(np.isnan(correct[:, one]), np.nan, correct[:, other])
        if np.isnan(second).all():
            continue
        found = agreement(correct[:, one], second, groups, confidence, weights)
        pairs.append(AnnotatorPair(names[one], names[other], found.agreement, found.kappa))
    return AnnotatorAgreement(names, krippendorff_alpha(ratings, groups, confidence), pairs)


def _is_annotator(label: Label) -> bool:
    return label.annotator != ADJUDICATOR


def _by_annotator(labels: Sequence[Label]) -> dict[str, Verdict]:
    return {label.annotator: label.verdict for label in filter(_is_annotator, labels)}


def _table(rows: Sequence[Sequence[float]]) -> Floats:
    return np.array(rows, dtype=np.float64)
