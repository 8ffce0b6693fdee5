"""Trials against each other, on the items they share: what models, prompts or engines change.

A trial compares two arms of its own; here the same arm of two trials is compared. Differences are
paired by item and their intervals take whole clusters as independent, as everywhere in Assay. They
are not adjusted for the number of pairs: they explore, they confirm nothing.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..comparisons.score_files import read_scores, read_table
from ..config.trials import Trial
from ..core.files import csv_rows
from ..core.prompts import CONTROL
from ..stats.estimates import is_binary
from ..stats.intervals import Method, headline, intervals_of, mean_difference
from ..stats.pairs import Pairs, pair
from ..stats.scores import ArmScores, Group, ItemTable, Scores
from .contrast import foremost

MAX_PAIRS = 435
"""All pairs of 30 trials. Of more, those that differ in one thing come first."""

FACTS = ("backend", "model", "decoding_name", "prompt_set")
"""What trials differ in."""


@dataclass(frozen=True)
class Difference:
    """Second trial minus first, in one metric: shares of 0 to 1. ``None`` ends: no interval."""

    first: float
    second: float
    difference: float
    ci_low: float | None
    ci_high: float | None
    ci_method: Method
    ci_trusted: bool


@dataclass(frozen=True)
class ArmDifference:
    """An arm of one trial against an arm of another, at one temperature and in one task.

    ``same_answers``: both trials share their raw answers, so that nothing can differ.
    """

    task: str
    temp: str
    first_arm: str
    second_arm: str
    n_items: int
    n_clusters: int
    same_answers: bool
    metrics: dict[str, Difference]


@dataclass(frozen=True)
class Pairing:
    """Two trials, by their position, and what they differ by."""

    first: int
    second: int
    arms: list[ArmDifference]


@dataclass(frozen=True)
class Parity:
    """Two trials that differ in nothing but who answers: how often did they answer the same?

    ``equal`` of ``compared`` requests got the same text, by condition.
    """

    first: int
    second: int
    same_name: bool
    compared: dict[str, int]
    equal: dict[str, int]


def chosen_pairs(trials: Sequence[Trial]) -> tuple[list[tuple[int, int]], int]:
    """The pairs to compare, in order of the trials, and how many there are in all.

    Of more than `MAX_PAIRS`, those that differ in fewer things are preferred.
    """
    every = list(itertools.combinations(range(len(trials)), 2))
    ranked = sorted(every, key=lambda pair: _differing(trials[pair[0]], trials[pair[1]]))
    return sorted(ranked[:MAX_PAIRS]), len(every)


def _differing(one: Trial, other: Trial) -> int:
    return sum(getattr(one, name) != getattr(other, name) for name in FACTS)


def pairings(
    trials: Sequence[Trial], items: Sequence[Path], confidence: float
) -> tuple[list[Pairing], int]:
    """Compare trials pair by pair, from the per_item_scores.csv in their folders.

    Args:
        trials: in the order of the page.
        items: the item files of the experiment.
        confidence: of the intervals, 0.95 for 95%.

    Returns:
        The comparisons, and the number of pairs there are.
    """
    table = read_table(items)
    pairs, n_pairs = chosen_pairs(trials)
    needed = {position for each in pairs for position in each}
    scores = {
        position: read_scores([Path(trials[position].folder) / "per_item_scores.csv"], table)
        for position in sorted(needed)
    }
    found = [
        Pairing(
            one,
            other,
            list(
                _arms((trials[one], scores[one]), (trials[other], scores[other]), table, confidence)
            ),
        )
        for one, other in pairs
    ]
    return found, n_pairs


def arm_pairs(one: Trial, other: Trial) -> list[tuple[str, str]]:
    """Which arms of two trials are compared: those of one name, else each treatment with each."""
    shared = [condition for condition in one.arms if condition in other.arms]
    if len(shared) > 1:
        return [(condition, condition) for condition in shared]
    return [
        (CONTROL, CONTROL),
        *(
            (first, second)
            for first in one.arms
            for second in other.arms
            if CONTROL not in (first, second)
        ),
    ]


def _arms(
    one: tuple[Trial, Scores], other: tuple[Trial, Scores], table: ItemTable, confidence: float
) -> Iterator[ArmDifference]:
    (first, first_scores), (second, second_scores) = one, other
    places = sorted({(group.type, group.temp) for group in (*first_scores, *second_scores)})
    for (task, temp), (arm, other_arm) in itertools.product(places, arm_pairs(first, second)):
        found = (
            first_scores.get(Group(task, arm, temp)),
            second_scores.get(Group(task, other_arm, temp)),
        )
        if found[0] is None or found[1] is None:
            continue
        pairs, _ = pair(*_comparable(found[0], found[1]), table)
        if not pairs.n_items:
            continue
        one_arm, another = first.arms[arm], second.arms[other_arm]
        yield ArmDifference(
            task=task,
            temp=temp,
            first_arm=arm,
            second_arm=other_arm,
            n_items=pairs.n_items,
            n_clusters=pairs.n_clusters,
            same_answers=(one_arm.raw_folder, one_arm.prompt)
            == (another.raw_folder, another.prompt),
            metrics={name: _difference(pairs, name, confidence) for name in pairs.metrics},
        )


def _comparable(one: ArmScores, other: ArmScores) -> tuple[ArmScores, ArmScores]:
    """Reduce the scores of two arms to the shares of overviews that both trials measured."""
    measured = [
        {
            metric.name
            for metric, column in zip(each.metrics, each.scores.T, strict=True)
            if not np.isnan(column).any()
        }
        for each in (one, other)
    ]
    shown = [
        metric.name
        for metric in foremost(one.metrics)
        if metric.kind == "share" and all(metric.name in names for names in measured)
    ]
    return _only(one, shown), _only(other, shown)


def _only(arm: ArmScores, metrics: Sequence[str]) -> ArmScores:
    names = [metric.name for metric in arm.metrics]
    columns = [names.index(metric) for metric in metrics]
    return ArmScores(
        metrics=tuple(arm.metrics[column] for column in columns),
        items=arm.items,
        scores=arm.scores[:, columns],
        deviations=arm.deviations[:, columns],
    )


def _difference(pairs: Pairs, metric: str, confidence: float) -> Difference:
    """The mean paired difference, with the interval that significance.json would lead with."""
    column = pairs.column(metric)
    of_metric = pairs.differences[:, column]
    mean = mean_difference(of_metric, pairs.clusters)
    intervals = intervals_of(of_metric, mean, confidence, binary=is_binary(pairs, metric))
    method = headline(intervals, mean)
    chosen = intervals[method]
    return Difference(
        first=float(np.mean(pairs.control[:, column])),
        second=float(np.mean(pairs.treatment[:, column])),
        difference=mean.mean,
        ci_low=chosen.low,
        ci_high=chosen.high,
        ci_method=method,
        ci_trusted=chosen.trusted,
    )


def parity_pairs(trials: Sequence[Trial]) -> list[tuple[int, int]]:
    """Trials that differ in their backend, and in nothing else but perhaps the model's name.

    Engines call one model by different names. Two names count as one model where each of the two
    backends has one model only; whether they are the same weights, only the reader can know.
    """
    models: dict[str, set[str]] = {}
    for trial in trials:
        models.setdefault(trial.backend, set()).add(trial.model)
    return [
        (i, j)
        for i, j in itertools.combinations(range(len(trials)), 2)
        if (one := trials[i]).backend != (other := trials[j]).backend
        and one.prompt_set == other.prompt_set
        and one.decoding_name == other.decoding_name
        and (
            one.model == other.model or len(models[one.backend]) == len(models[other.backend]) == 1
        )
    ]


def parity(trials: Sequence[Trial]) -> list[Parity]:
    """How often backends gave the same text, from the predictions.csv in the trials' folders."""
    pairs = parity_pairs(trials)
    answers = {
        position: _answers(Path(trials[position].folder) / "predictions.csv")
        for position in sorted({position for each in pairs for position in each})
    }
    found = []
    for i, j in pairs:
        compared: dict[str, int] = {}
        equal: dict[str, int] = {}
        for condition, texts in answers[i].items():
            other = answers[j].get(condition, {})
            shared = texts.keys() & other.keys()
            compared[condition] = len(shared)
            equal[condition] = sum(texts[key] == other[key] for key in shared)
        found.append(Parity(i, j, trials[i].model == trials[j].model, compared, equal))
    return found


def _answers(path: Path) -> dict[str, dict[str, bytes]]:
    """A digest of each response text, by condition and custom_id."""
    rows = (cells for _, cells in csv_rows(path))
    header = next(rows, [])
    names = ("condition", "custom_id", "response_text")
    condition, request, text = (header.index(name) for name in names)
    found: dict[str, dict[str, bytes]] = {}
    for cells in rows:
        digest = hashlib.blake2b(cells[text].strip().encode(), digest_size=8).digest()
        found.setdefault(cells[condition], {})[cells[request]] = digest
    return found
