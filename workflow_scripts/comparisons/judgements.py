"""The command that holds verdicts against people's labels: judgements.json.

For each way to decide correctness that a trial has (exact match, containment, each judge): how it
agrees with people, whether its errors differ between the arms, whether it prefers long responses,
and the difference between the arms that labels correct. Only items with gold answers take part.
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ..backends.families import family_of
from ..core.errors import command
from ..core.files import read_csv, read_settings, write_record
from ..core.metric import Metric
from ..core.prompts import CONTROL
from ..core.records import Item, Prediction, ResultFile, SampleOutcome
from ..core.seals import SealWriter, add_seal_argument
from ..judges.instruments import CORRECTNESS, FAILED, LEFT, PREFERRED, TIE, UNDECIDED
from ..labels.judged import JudgedItems, judged_items
from ..labels.matching import LabelledResponse, Matches, match
from ..labels.records import Label, decide, read_labels
from ..metrics.correctness import CORRECTNESS_IN_WORDS
from ..metrics.final_answer import final_answer
from ..scoring.judged import Verdicts
from ..scoring.verdicts import PEOPLE, VerdictRow
from ..stats.agreement import (
    Agreement,
    ErrorsByArm,
    Measured,
    OrderSwap,
    agreement,
    errors_by_arm,
    krippendorff_alpha,
    length_slope,
    order_swap,
    retest,
)
from ..stats.label_design import LabelDesign
from ..stats.prediction_powered import CorrectedComparison, Judged, compare_judged
from ..stats.rogan_gladen import RoganGladen, rogan_gladen
from ..tasks.items import read_items
from ..tasks.registry import TASKS
from ..tasks.score_tables import MetricsFile, read_outcomes
from .annotators import AnnotatorAgreement, annotator_agreement
from .settings import JudgementSettings
from .spent import Spent, spent_on

SCHEMA_VERSION = 1

PANEL = Metric(
    name="panel",
    label="correct answers by most judges",
    definition="Share of responses that most judges find correct; containment decides at a tie.",
    better="higher",
    binary=True,
    level="the panel",
)
"""Several judges of correctness together. It has no column. No judge is called so."""

_CONTAINMENT = CORRECTNESS_IN_WORDS["contains"]


class LabelCounts(ResultFile):
    """Responses with a label, and labels of responses that have changed since (``stale``)."""

    responses: int = 0
    undecided: int = 0
    stale: int = 0


class JudgeReport(ResultFile):
    """What a judge said, counted over all responses.

    ``verdicts``: by condition and verdict. ``again``: the share of responses on which it said the
    same when it was asked a second time. ``same_family``: judged models of the judge's own family.
    ``spent``: ``None`` where no model was asked.
    """

    name: str
    measures: str
    model: str | None
    verdicts: dict[str, dict[str, int]]
    undecided: int
    failed: int
    again: Measured | None
    swapped: OrderSwap | None
    same_family: list[str]
    spent: Spent | None


class Held(ResultFile):
    """One way to decide correctness, held against people's labels, in one comparison.

    ``metric``: its column in outcomes.csv, or `PANEL`. ``decides``: whether the report's verdict
    rests on it. ``agreement`` is over both arms. ``length``: by how much its error (without
    labels: its verdict) rises when a response is twice as long. ``believed``: ``None`` without a
    bar or without labels. ``labels_for_half_width``: labels that would narrow the interval to so
    many points.
    """

    metric: str
    label: str
    level: str
    decides: bool
    treatment: str
    temp: str
    type: str
    n_items: int
    agreement: Agreement | None
    errors: ErrorsByArm | None
    length: Measured | None
    corrected: CorrectedComparison | None
    rogan_gladen: RoganGladen | None
    believed: bool | None
    labels_for_half_width: dict[str, int | None] = Field(default_factory=dict)

    @property
    def kappa(self) -> float | None:
        """Its agreement with people (Cohen's κ); ``None`` where that is unknown or undefined."""
        measured = None if self.agreement is None else self.agreement.kappa
        return None if measured is None else measured.value


class Judgements(ResultFile):
    """judgements.json.

    ``panel``: Krippendorff's alpha of the judges of correctness; ``None`` without two of them.
    ``people``: ``None`` where no response has labels by two of them.
    """

    schema_version: int = SCHEMA_VERSION
    confidence: float
    bar: float | None
    labels: LabelCounts
    judges: list[JudgeReport]
    panel: Measured | None
    people: AnnotatorAgreement | None
    held: list[Held]

    @property
    def doubted(self) -> list[Held]:
        """What decides correctness without reaching the declared bar, or without any labels."""
        if self.bar is None:
            return []
        return [each for each in self.held if each.decides and not each.believed]


_HALF_WIDTHS = (0.02, 0.03, 0.05)


def judgements(
    predictions: Sequence[Prediction],
    outcomes: Sequence[SampleOutcome],
    metrics: Sequence[Metric],
    rows: Sequence[VerdictRow],
    items: Mapping[str, Item],
    settings: JudgementSettings,
) -> Judgements:
    """Hold the verdicts on a trial's responses against people's."""
    labelled = _labelled(rows, predictions, settings.arms)
    matches = _matches(predictions, settings)
    clusters = {row.custom_id: _cluster(items[row.item_key]) for row in predictions}
    return Judgements(
        confidence=settings.confidence,
        bar=settings.bar,
        labels=LabelCounts(
            responses=len(labelled),
            undecided=sum(each.verdict is None for each in labelled.values()),
            stale=len(matches.stale),
        ),
        judges=[_report(name, rows, predictions, items, settings) for name in settings.judges],
        panel=_panel(rows, clusters, settings),
        people=annotator_agreement(matches.matched, clusters, settings.confidence),
        held=list(_held(predictions, outcomes, metrics, labelled, items, settings, rows)),
    )


def _labelled(
    rows: Iterable[VerdictRow], predictions: Iterable[Prediction], arms: Mapping[str, str]
) -> dict[str, LabelledResponse]:
    """The labels among the verdicts, by custom_id."""
    responses = {row.custom_id: row for row in predictions}
    found = {}
    for row in rows:
        if row.judge == PEOPLE:
            response = responses[row.custom_id]
            label = Label.model_validate(
                {
                    "dataset": response.dataset,
                    "item_id": response.item_id,
                    "arm": arms[response.condition],
                    "verdict": "unsure" if row.verdict == UNDECIDED else row.verdict,
                    "probability": row.probability,
                }
            )
            found[row.custom_id] = LabelledResponse(row.custom_id, (label,), decide([label]))
    return found


def _matches(predictions: Sequence[Prediction], settings: JudgementSettings) -> Matches:
    """The labels of the label file, before they are decided."""
    labels = read_labels(Path(settings.labels)) if settings.labels is not None else ()
    return match(labels, predictions, settings.arms, settings.trial)


def _cluster(item: Item) -> str:
    return f"{item.dataset}|{item.cluster_id}"


def _report(
    name: str,
    rows: Iterable[VerdictRow],
    predictions: Sequence[Prediction],
    items: Mapping[str, Item],
    settings: JudgementSettings,
) -> JudgeReport:
    responses = {row.custom_id: row for row in predictions}
    counts: dict[str, Counter[str]] = {condition: Counter() for condition in settings.arms}
    twice: dict[str, tuple[str, str, str]] = {}
    pairs = settings.judges[name].instrument().pairs
    for row in rows:
        if row.judge == name:
            response = responses[row.custom_id]
            counts[response.condition][row.verdict] += 1
            if row.again and (response.condition != CONTROL or not pairs):
                cluster = _cluster(items[response.item_key])
                twice[row.digest] = row.verdict, row.again, cluster
    asked = settings.asked.get(name)
    model = asked.model if asked else None
    family = family_of(model or "")
    return JudgeReport(
        name=name,
        measures=settings.judges[name].measures,
        model=model,
        verdicts={condition: dict(sorted(each.items())) for condition, each in counts.items()},
        undecided=sum(each[UNDECIDED] for each in counts.values()),
        failed=sum(each[FAILED] for each in counts.values()),
        again=None if pairs else _again(list(twice.values()), settings.confidence),
        swapped=_swapped(list(twice.values()), settings.confidence) if pairs else None,
        same_family=sorted(
            {
                judged
                for judged in settings.judged_models.values()
                if family and family_of(judged) == family
            }
        ),
        spent=spent_on(asked.raw, asked.quote) if asked else None,
    )


def _swapped(twice: Sequence[tuple[str, str, str]], confidence: float) -> OrderSwap | None:
    """How the preferences depend on the order of a pair."""
    preferences = {PREFERRED: 1.0, LEFT: -1.0, TIE: 0.0}
    said = [(*each.split("/"), cluster) for _, each, cluster in twice]
    known = [each for each in said if each[0] in preferences and each[1] in preferences]
    if not known:
        return None
    first, second = (np.array([preferences[each[n]] for each in known]) for n in (0, 1))
    return order_swap(second, first, _codes([each[2] for each in known]), confidence)


def _again(twice: Sequence[tuple[str, str, str]], confidence: float) -> Measured | None:
    said = sorted({verdict for one, other, _ in twice for verdict in (one, other)})
    codes = {verdict: code for code, verdict in enumerate(said)}
    verdicts = np.array([[codes[one], codes[two]] for one, two, _ in twice], dtype=np.float64)
    return retest(verdicts.reshape(-1, 2), _codes([each[2] for each in twice]), confidence)


def _panel(
    rows: Iterable[VerdictRow], clusters: Mapping[str, str], settings: JudgementSettings
) -> Measured | None:
    """How the judges of correctness agree with each other on the responses that they decide."""
    names = _judges_of_correctness(settings)
    if len(names) < 2:
        return None
    said: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.judge in names and row.verdict in CORRECTNESS.verdicts:
            said.setdefault(row.custom_id, {})[row.judge] = row.verdict
    codes = {verdict: float(code) for code, verdict in enumerate(CORRECTNESS.verdicts)}
    ratings = [[codes.get(each.get(name, ""), np.nan) for name in names] for each in said.values()]
    return krippendorff_alpha(
        np.array(ratings, dtype=np.float64).reshape(-1, len(names)),
        _codes([clusters[custom_id] for custom_id in said]),
        settings.confidence,
    )


def _judges_of_correctness(settings: JudgementSettings) -> list[str]:
    judges = settings.judges.items()
    return [name for name, judge in judges if judge.measures == CORRECTNESS.name]


def _held(
    predictions: Sequence[Prediction],
    outcomes: Sequence[SampleOutcome],
    metrics: Sequence[Metric],
    labelled: Mapping[str, LabelledResponse],
    items: Mapping[str, Item],
    settings: JudgementSettings,
    rows: Iterable[VerdictRow],
) -> Iterator[Held]:
    """Each level in each comparison."""
    scores = {row.custom_id: row for row in outcomes}
    gold = [row for row in predictions if TASKS[row.type].shown(items[row.item_key])["answers"]]
    lengths = {row.custom_id: max(1, len(final_answer(row.response_text))) for row in gold}
    levels = [each for each in metrics if each.level]
    by_judges = _judges_of_correctness(settings)
    otherwise = next((each.name for each in levels if each.level in _CONTAINMENT), None)
    if len(by_judges) > 1:
        levels, by_judges = [PANEL, *levels], [PANEL.name]
    judging = by_judges[0] if by_judges else otherwise
    said = Verdicts(settings.judges, rows)
    for level, treatment in itertools.product(levels, settings.arms):
        if treatment == CONTROL:
            continue
        decides = _decides(level, metrics, judging)
        by_votes = level.name == PANEL.name or (decides and level.name in by_judges)
        values = {
            row.custom_id: _by_votes(scores[row.custom_id], said, otherwise)
            if by_votes
            else scores[row.custom_id].number(level.name)
            for row in gold
        }
        known = {name: value for name, value in values.items() if value is not None}
        for part in judged_items(gold, known, labelled, items, CONTROL, treatment):
            doubled = _by_arm(gold, lengths, part, treatment)
            yield _one(level, treatment, part, doubled, decides=decides, settings=settings)


def _by_votes(scores: SampleOutcome, said: Verdicts, otherwise: str | None) -> float | None:
    """Whether a response is correct by most judges; ``otherwise`` decides where they do not.

    So the judges that decide count here as they do for the metric `correct`.
    """
    verdict = said.by_judges(scores.custom_id)
    if verdict is not None:
        return float(verdict == "correct")
    return None if otherwise is None else scores.number(otherwise)


def _decides(level: Metric, metrics: Iterable[Metric], judging: str | None) -> bool:
    """Whether the leading number rests on a level: on ``judging`` where judges or labels decide.

    Without a judge, containment decides about what has no label.
    """
    words = " ".join(each.decided_by for each in metrics)
    if "judge" in words or "label" in words:
        return level.name == judging
    return level.level in words


def _one(
    level: Metric,
    treatment: str,
    part: JudgedItems,
    lengths: np.ndarray[Any, np.dtype[np.float64]],
    *,
    decides: bool,
    settings: JudgementSettings,
) -> Held:
    judged, confidence = part.judged, settings.confidence
    errors = np.stack(
        [judged.control - judged.control_labels, judged.treatment - judged.treatment_labels], axis=1
    )
    verdicts = np.stack([judged.control, judged.treatment], axis=1)
    labelled = not np.isnan(errors).all()
    held = _agreement(judged, confidence) if labelled else None
    corrected = compare_judged(judged, confidence) if labelled else None
    believed = None
    if settings.bar is not None and held is not None:
        believed = held.kappa is not None and held.kappa.value >= settings.bar
    return Held(
        metric=level.name,
        label=level.label,
        level=level.level,
        decides=decides,
        treatment=treatment,
        temp=part.temp,
        type=part.type,
        n_items=len(part.item_keys),
        agreement=held,
        errors=errors_by_arm(judged, confidence) if labelled else None,
        length=length_slope(errors if labelled else verdicts, lengths, judged.clusters, confidence),
        corrected=corrected,
        rogan_gladen=rogan_gladen(judged, confidence) if labelled else None,
        believed=believed,
        labels_for_half_width=_labels_needed(corrected, confidence),
    )


def _agreement(judged: Judged, confidence: float) -> Agreement:
    """Agreement over the responses of both arms; samples that are split count by their majority."""
    verdicts = np.round(np.concatenate([judged.control, judged.treatment]))
    labels = np.round(np.concatenate([judged.control_labels, judged.treatment_labels]))
    clusters = np.concatenate([judged.clusters, judged.clusters])
    chance = judged.probability
    twice = None if chance is None else np.concatenate([chance, chance])
    return agreement(verdicts, labels, clusters, confidence, twice)


def _labels_needed(
    corrected: CorrectedComparison | None, confidence: float
) -> dict[str, int | None]:
    if corrected is None or corrected.difference is None:
        return {}
    design = LabelDesign.measured(corrected.difference)
    if design is None:
        return {}
    return {str(half): design.labels_for_half_width(half, confidence) for half in _HALF_WIDTHS}


def _by_arm(
    gold: Iterable[Prediction], lengths: Mapping[str, int], part: JudgedItems, treatment: str
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Mean length of an item's final answers under both arms, in characters."""
    found: dict[tuple[str, str], list[int]] = {}
    for row in gold:
        if (row.type, row.temp) == (part.type, part.temp):
            found.setdefault((row.item_key, row.condition), []).append(lengths[row.custom_id])
    return np.array(
        [
            [float(np.mean(found[key, condition])) for condition in (CONTROL, treatment)]
            for key in part.item_keys
        ]
    ).reshape(-1, 2)


def _codes(names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.unique(np.array(names, dtype=np.str_), return_inverse=True)[1].astype(np.int64)


@command
def main() -> None:
    """Parse arguments and write the file."""
    parser = argparse.ArgumentParser(description="Hold verdicts against people's labels.")
    parser.add_argument("--predictions", type=Path, required=True, help="predictions.csv")
    parser.add_argument("--outcomes", type=Path, required=True, help="outcomes.csv")
    parser.add_argument("--verdicts", type=Path, required=True, help="verdicts.csv")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--settings", type=Path, required=True, help="JudgementSettings as JSON")
    parser.add_argument("--output", type=Path, required=True, help="judgements.json")
    add_seal_argument(parser)
    arguments = parser.parse_args()

    settings = read_settings(arguments.settings, JudgementSettings)
    read = [arguments.predictions, arguments.outcomes, arguments.verdicts, *arguments.items]
    read += [Path(path) for asked in settings.asked.values() for path in asked.raw]
    seal = SealWriter(arguments.seal, [*read, *([settings.labels] if settings.labels else [])])
    declared = arguments.outcomes.with_name("metrics.json")
    found = judgements(
        list(read_csv(arguments.predictions, Prediction)),
        list(read_outcomes(arguments.outcomes)),
        read_settings(declared, MetricsFile).metrics,
        list(read_csv(arguments.verdicts, VerdictRow)),
        read_items(arguments.items),
        settings,
    )
    write_record(arguments.output, found)
    seal.seal(arguments.output)


if __name__ == "__main__":
    main()
