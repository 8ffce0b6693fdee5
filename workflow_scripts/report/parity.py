"""Backends against each other: how often does the same model answer the same?"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config.trial import Trial
from ..core.files import csv_rows


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
