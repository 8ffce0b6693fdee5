"""How often the detectors of abstentions and refusals are right on labelled responses.

``python -m workflow_scripts.scoring.accuracy --labelled tests/data/abstention.csv`` makes the table
of docs/scoring.md. Label some of your own model's responses in the same way (columns ``answer,
question, label, kind, half``) to see how far the detectors can be trusted with its wording.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from scipy import stats

from ..core.errors import command
from ..core.files import read_csv
from ..core.records import Record
from ..metrics.abstention import AbstentionDetector
from ..metrics.final_answer import final_answer
from ..metrics.normalisation import is_blank
from ..metrics.refusal import refuses

Label = Literal["answered", "abstained", "refused", "empty"]


class LabelledAnswer(Record):
    """One row of a labelled set: what a person says that the response does.

    ``half`` is the part of the set: patterns may be tuned on ``tuning``, never on ``held_out``.
    """

    answer: str
    question: str
    label: Label
    kind: str
    half: str


class Accuracy(NamedTuple):
    """How often a detector is right on one label: counts of responses."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """Share of the detected responses that have the label."""
        return self.true_positives / (self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the responses with the label that are detected."""
        return self.true_positives / (self.true_positives + self.false_negatives)


def detected(response: str, detector: AbstentionDetector) -> Label:
    """What the detectors say that the final answer of a response does."""
    answer = final_answer(response)
    if is_blank(answer):
        return "empty"
    if detector(answer):
        return "abstained"
    return "refused" if refuses(answer) else "answered"


def accuracy(
    rows: Iterable[LabelledAnswer], label: Label, detector: AbstentionDetector
) -> Accuracy:
    """Count how the detectors do on one label."""
    counts = Counter((row.label == label, detected(row.answer, detector) == label) for row in rows)
    return Accuracy(counts[True, True], counts[False, True], counts[True, False])


def table(rows: Iterable[LabelledAnswer], detector: AbstentionDetector) -> str:
    """Precision and recall by half and label, with exact 95% intervals, as Markdown."""
    rows = list(rows)
    lines = ["| half | label | responses | precision | recall |", "|---|---|---|---|---|"]
    labels: tuple[Label, ...] = ("abstained", "refused", "empty")
    for half in dict.fromkeys(row.half for row in rows):
        of_half = [row for row in rows if row.half == half]
        for label in labels:
            found = accuracy(of_half, label, detector)
            lines.append(
                f"| {half} | {label} "
                f"| {found.true_positives + found.false_negatives} of {len(of_half)} "
                f"| {_share(found.true_positives, found.false_positives)} "
                f"| {_share(found.true_positives, found.false_negatives)} |"
            )
    return "\n".join(lines)


def _share(right: int, wrong: int) -> str:
    """A share with its exact (Clopper & Pearson 1934) interval."""
    if right + wrong == 0:
        return "–"
    low, high = stats.binomtest(right, right + wrong).proportion_ci(0.95, method="exact")
    return f"{right / (right + wrong):.3f} ({low:.3f} to {high:.3f})"


@command
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Check the detectors against labelled responses.")
    parser.add_argument("--labelled", type=Path, required=True, help="CSV of labelled responses")
    parser.add_argument("--phrases", nargs="*", default=[], help="further abstention phrases")
    arguments = parser.parse_args()
    rows = read_csv(arguments.labelled, LabelledAnswer)
    print(table(rows, AbstentionDetector(arguments.phrases)))


if __name__ == "__main__":
    main()
