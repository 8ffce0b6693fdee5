"""The command that scores predictions: per_item_scores.csv and outcomes.csv."""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from ..answers.parts import ParseSettings
from ..core.block import Block
from ..core.errors import UserError, command
from ..core.files import read_csv, read_settings, write_csv
from ..core.items import read_items
from ..core.records import ErrorRow, Item, ItemScores, Outcome, Prediction, SampleOutcome
from ..core.seals import SealWriter, add_seal_argument
from ..metrics.abstention import AbstentionDetector, AbstentionPhrases
from ..metrics.extraction import extract_answer
from ..metrics.normalisation import is_blank
from ..metrics.text import EVALUATIONS, USUAL_EVALUATION, Evaluation, exact_match
from ..metrics.unsupported import Claim, Unsupported, is_unsupported, support_by
from .completeness import asked, check_complete, item_key
from .outcomes import ABSTENTIONS, outcome_of


def _evaluation(name: str) -> str:
    if name not in EVALUATIONS:
        raise ValueError(f"no evaluation {name!r}; there are {', '.join(EVALUATIONS)}")
    return name


class ScoreSettings(Block):
    """What scoring takes from the config.

    ``evaluations`` names the official evaluation of each data set that has one; the others are
    scored as SQuAD 2.0 is.
    """

    unsupported: Unsupported
    abstention_phrases: AbstentionPhrases
    evaluations: dict[str, Annotated[str, AfterValidator(_evaluation)]] = Field(
        default_factory=dict
    )


class Sample(NamedTuple):
    """One scored response: its row of outcomes.csv, and its metrics."""

    row: SampleOutcome
    em: float
    f1: float
    abstain_rate: float
    false_answer_rate: float
    unsupported_rate: float | None


METRICS = Sample._fields[1:]


class _Gold(NamedTuple):
    """An item, and its gold answers as its evaluation normalises them."""

    item: Item
    evaluation: Evaluation
    answers: list[str]

    def scores(self, text: str) -> tuple[float, float]:
        """EM and F1 of a text."""
        normalised = self.evaluation.normalise(text)
        return (
            exact_match(normalised, self.answers),
            self.evaluation.f1(normalised, self.answers),
        )


class _Judged(NamedTuple):
    """A response and all of its scores but support."""

    prediction: Prediction
    outcome: Outcome
    em: float
    f1: float
    extracted: str
    em_extracted: float
    f1_extracted: float

    @property
    def answers(self) -> bool:
        """Whether the response gives an answer: exactly then there is one to extract."""
        return bool(self.extracted)


class Scorer:
    """Scores predictions against their items; prepares each item once."""

    def __init__(self, items: Mapping[str, Item], settings: ScoreSettings) -> None:
        """``items`` by `Item.key`."""
        self._items = items
        self._settings = settings
        self._abstains = lru_cache(maxsize=4096)(AbstentionDetector(settings.abstention_phrases))
        self._support = support_by(settings.unsupported)
        self._golds: dict[str, _Gold] = {}

    def score(self, predictions: Iterable[Prediction]) -> list[Sample]:
        """Score samples; a `UserError` names a prediction without its item or passage."""
        judged: list[_Judged] = []
        claims: dict[int, Claim] = {}
        for number, prediction in enumerate(predictions):
            gold = self._gold(prediction)
            judged.append(self._judge(prediction, gold))
            if prediction.type == "open_book":
                passage = _passage(gold.item)
                if judged[-1].answers:
                    claims[number] = Claim(gold.item.question, prediction.response_text, passage)
        supports = dict(zip(claims, self._support(list(claims.values())), strict=True))
        return [self._sample(each, supports.get(number)) for number, each in enumerate(judged)]

    def _judge(self, prediction: Prediction, gold: _Gold) -> _Judged:
        text = prediction.response_text
        em, f1 = gold.scores(text)
        matches = em == 1 and not gold.item.is_unanswerable
        outcome = outcome_of(
            text,
            prediction.finish_reason,
            matches=matches,
            abstains=not matches and self._abstains(text),
            unanswerable=gold.item.is_unanswerable,
        )
        extracted = ""
        if outcome in ABSTENTIONS:  # SQuAD 2.0's empty prediction
            em = f1 = float(outcome == "rightly_abstained")
        elif outcome == "refused" or (outcome == "truncated" and is_blank(text)):
            em = f1 = 0.0  # nobody said that there is no answer
        elif not is_blank(text):
            extracted = extract_answer(text)
        em_extracted, f1_extracted = gold.scores(extracted) if extracted else (em, f1)
        return _Judged(prediction, outcome, em, f1, extracted, em_extracted, f1_extracted)

    def _sample(self, judged: _Judged, support: float | None) -> Sample:
        prediction = judged.prediction
        unsupported = None
        if prediction.type == "open_book":
            threshold = self._settings.unsupported.threshold
            unsupported = float(support is not None and is_unsupported(support, threshold))
        row = SampleOutcome(
            custom_id=prediction.custom_id,
            item_key=item_key(prediction),
            type=prediction.type,
            condition=prediction.condition,
            temp=prediction.temp,
            sample_index=prediction.sample_index,
            outcome=judged.outcome,
            em=judged.em,
            f1=judged.f1,
            answer_extracted=judged.extracted,
            em_extracted=judged.em_extracted,
            f1_extracted=judged.f1_extracted,
            support=support,
        )
        return Sample(
            row=row,
            em=judged.em,
            f1=judged.f1,
            abstain_rate=float(judged.outcome in ABSTENTIONS),
            false_answer_rate=float(judged.answers and judged.outcome != "correct"),
            unsupported_rate=unsupported,
        )

    def _gold(self, prediction: Prediction) -> _Gold:
        key = item_key(prediction)
        gold = self._golds.get(key)
        if gold is None:
            item = self._items.get(key)
            if item is None:
                raise UserError(
                    f"prediction {prediction.custom_id!r}: its item {key!r} is not in the item "
                    "files"
                )
            evaluation = EVALUATIONS[self._settings.evaluations.get(item.dataset, USUAL_EVALUATION)]
            gold = self._golds[key] = _Gold(item, evaluation, evaluation.golds(item.answers))
        return gold


def _passage(item: Item) -> str:
    if item.context is None:
        raise UserError(f"item {item.key!r} is asked open book but has no context")
    return item.context


def score_items(predictions: Iterable[Prediction], scorer: Scorer) -> list[ItemScores]:
    """Score all predictions and average over samples, sorted by item, type, condition and temp."""
    return averaged(scorer.score(predictions))


def averaged(samples: Iterable[Sample]) -> list[ItemScores]:
    """The scores of items: means over their samples, sorted by item, type, condition and temp."""
    groups: dict[tuple[str, str, str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        row = sample.row
        groups[row.item_key, row.type, row.condition, row.temp].append(sample)
    return [_averaged(group, groups[group]) for group in sorted(groups)]


def _averaged(group: tuple[str, str, str, str], samples: Sequence[Sample]) -> ItemScores:
    values: dict[str, str | float | None] = dict(
        zip(("item_key", "type", "condition", "temp"), group, strict=True)
    )
    for metric in METRICS:
        measured = [value for sample in samples if (value := getattr(sample, metric)) is not None]
        values[metric], values[f"{metric}_std"] = _mean_and_std(measured) or (None, None)
    return ItemScores.model_validate(values)


def _mean_and_std(values: Sequence[float]) -> tuple[float, float] | None:
    """Mean and sample standard deviation (n - 1; 0 for one value); ``None`` without values."""
    n = len(values)
    if n < 2:
        return (values[0], 0.0) if values else None
    mean = math.fsum(values) / n
    squares = math.fsum((value - mean) ** 2 for value in values)
    return mean, math.sqrt(squares / (n - 1))


def outcomes(samples: Iterable[Sample], errors: Iterable[ErrorRow]) -> Iterator[SampleOutcome]:
    """The rows of outcomes.csv: all requests, the answered ones first."""
    for sample in samples:
        yield sample.row
    for error in errors:
        yield SampleOutcome(
            custom_id=error.custom_id,
            item_key=item_key(error),
            type=error.type,
            condition=error.condition,
            temp=error.temp,
            sample_index=error.sample_index,
            outcome="failed",
        )


@command
def main() -> None:
    """Parse arguments and write per_item_scores.csv and outcomes.csv."""
    parser = argparse.ArgumentParser(description="Score predictions against gold answers.")
    parser.add_argument("--predictions", type=Path, required=True, help="predictions.csv")
    parser.add_argument("--errors", type=Path, required=True, help="errors.csv")
    parser.add_argument(
        "--parse-settings", type=Path, required=True, help="ParseSettings as JSON: what was asked"
    )
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--settings", type=Path, required=True, help="ScoreSettings as JSON")
    parser.add_argument("--output", type=Path, required=True, help="per_item_scores.csv")
    parser.add_argument("--outcomes", type=Path, required=True, help="outcomes.csv")
    add_seal_argument(parser)
    arguments = parser.parse_args()

    settings = read_settings(arguments.settings, ScoreSettings)
    parts = read_settings(arguments.parse_settings, ParseSettings).parts
    read = [arguments.predictions, arguments.errors, *arguments.items, *parts.input_files()]
    seal = SealWriter(arguments.seal, read)
    items = read_items(arguments.items)
    predictions = list(read_csv(arguments.predictions, Prediction))
    errors = list(read_csv(arguments.errors, ErrorRow))
    check_complete(asked(parts), predictions, errors, items)
    samples = Scorer(items, settings).score(predictions)
    write_csv(arguments.output, ItemScores, averaged(samples))
    write_csv(arguments.outcomes, SampleOutcome, outcomes(samples, errors))
    seal.seal(arguments.output, arguments.outcomes)


if __name__ == "__main__":
    main()
