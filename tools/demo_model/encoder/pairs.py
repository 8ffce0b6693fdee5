"""What assay-encoder is trained on: questions, and the passages of notes that answer them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tools.demo_model.cited import notes
from tools.demo_model.cited.items import LINES, PEOPLE


@dataclass(frozen=True)
class Pairs:
    """Questions, and passages of which one answers each; ``rows`` has its place for each question.

    The passages of a note are about the same people, and people share first names and surnames. So
    many passages have the name that a question asks about, or half of it.
    """

    passages: list[str]
    questions: list[str]
    rows: list[int]


def draw_pairs(rng: Random, split: str, count: int) -> Pairs:
    """Draw ``count`` notes as the demonstration has them, in passages, and ask for each line."""
    pairs = Pairs([], [], [])
    people = notes.draw_people(rng, split, PEOPLE * count)
    for number in range(count):
        lines = notes.draw_lines(rng, people[PEOPLE * number : PEOPLE * (number + 1)], LINES)
        while lines:
            size = rng.randint(1, notes.MOST_LINES)
            told, lines = lines[:size], lines[size:]
            for line in told:
                text = rng.choice(line.relation.questions).format(name=line.name)
                pairs.questions.append(text)
                pairs.rows.append(len(pairs.passages))
            pairs.passages.append("".join(f"{line.text}\n" for line in told))
    return pairs
