"""The command that scores predictions: per_item_scores.csv from predictions.csv and items."""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import field_validator

from ..config.schema import Block, Unsupported
from ..errors import UserError, command
from ..files import read_csv, read_settings, write_csv
from ..items import read_items
from ..records import SEPARATOR, Item, ItemScores, Prediction
from .abstention import AbstentionDetector
from .text import exact_match, f1, normalise, normalised_golds
from .unsupported import Passage, is_unsupported


class ScoreSettings(Block):
    """What scoring takes from the config."""

    unsupported: Unsupported
    abstention_phrases: list[str]

    @field_validator("abstention_phrases")
    @classmethod
    def _can_be_recognised(cls, phrases: list[str]) -> list[str]:
        AbstentionDetector(phrases)
        return phrases


class SampleScores(NamedTuple):
    """The scores of one sample; the metrics are defined in `workflow_scripts.score`."""

    em: float
    f1: float
    abstain_rate: float
    false_answer_rate: float
    unsupported_rate: float | None


class Scorer:
    """Scores predictions against their items; prepares each item and passage once."""

    def __init__(self, items: Mapping[str, Item], settings: ScoreSettings) -> None:
        """``items`` by `Item.key`."""
        self._items = items
        self._unsupported = settings.unsupported
        self._abstains = AbstentionDetector(settings.abstention_phrases)
        self._golds: dict[str, list[str]] = {}
        self._passages: dict[str, Passage] = {}

    def score(self, prediction: Prediction) -> SampleScores:
        """Score one sample; a `UserError` names a prediction without its item or passage."""
        key = item_key(prediction)
        item = self._items.get(key)
        if item is None:
            raise UserError(
                f"prediction {prediction.custom_id!r}: its item {key!r} is not in the item files"
            )
        golds = self._golds.get(key)
        if golds is None:
            golds = self._golds[key] = normalised_golds(item.answers)
        text = normalise(prediction.response_text)
        em = exact_match(text, golds)
        correct = not item.is_unanswerable and em == 1.0
        abstained = not correct and self._abstains(prediction.response_text)
        answered = bool(text) and not abstained
        return SampleScores(
            em=float(item.is_unanswerable) if abstained else em,
            f1=float(item.is_unanswerable) if abstained else f1(text, golds),
            abstain_rate=float(abstained),
            false_answer_rate=float(answered and not correct),
            unsupported_rate=(
                float(answered and is_unsupported(text, self._passage(item), self._unsupported))
                if prediction.type == "open_book"
                else None
            ),
        )

    def _passage(self, item: Item) -> Passage:
        if item.context is None:
            raise UserError(f"item {item.key!r} is asked open book but has no context")
        passage = self._passages.get(item.context)
        if passage is None:
            passage = self._passages[item.context] = Passage.of(item.context)
        return passage


def item_key(prediction: Prediction) -> str:
    """`Item.key` of the item that a prediction answers."""
    return f"{prediction.dataset}{SEPARATOR}{prediction.item_id}"


def score_items(predictions: Iterable[Prediction], scorer: Scorer) -> list[ItemScores]:
    """Score all predictions and average over samples, sorted by item, type, condition and temp."""
    samples: dict[tuple[str, str, str, str], list[SampleScores]] = defaultdict(list)
    for prediction in predictions:
        group = (item_key(prediction), prediction.type, prediction.condition, prediction.temp)
        samples[group].append(scorer.score(prediction))
    return [_averaged(group, samples[group]) for group in sorted(samples)]


def _averaged(group: tuple[str, str, str, str], samples: list[SampleScores]) -> ItemScores:
    values: dict[str, str | float | None] = dict(
        zip(("item_key", "type", "condition", "temp"), group, strict=True)
    )
    for metric, column in zip(SampleScores._fields, zip(*samples, strict=True), strict=True):
        measured = [value for value in column if value is not None]
        values[metric], values[f"{metric}_std"] = _mean_and_std(measured) or (None, None)
    return ItemScores.model_validate(values)


def _mean_and_std(values: Sequence[float]) -> tuple[float, float] | None:
    """Mean and sample standard deviation (n - 1; 0 for one value); ``None`` without values."""
    n = len(values)
    if n == 0:
        return None
    mean = math.fsum(values) / n
    squares = math.fsum((value - mean) ** 2 for value in values)
    return mean, math.sqrt(squares / (n - 1)) if n > 1 else 0.0


@command
def main() -> None:
    """Parse arguments and write per_item_scores.csv."""
    parser = argparse.ArgumentParser(description="Score predictions against gold answers.")
    parser.add_argument("--predictions", type=Path, required=True, help="predictions.csv")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--settings", type=Path, required=True, help="ScoreSettings as JSON")
    parser.add_argument("--output", type=Path, required=True, help="per_item_scores.csv")
    arguments = parser.parse_args()

    settings = read_settings(arguments.settings, ScoreSettings)
    scorer = Scorer(read_items(arguments.items), settings)
    scores = score_items(read_csv(arguments.predictions, Prediction), scorer)
    write_csv(arguments.output, ItemScores, scores)


if __name__ == "__main__":
    main()
