"""Notes about invented people, and the passages that a search finds in them.

The facts are those of `tools.demo_model.questions.language`, a sentence on each line. People share
first names and surnames, and the facts about a person are scattered, so a search for a name finds
passages that do not answer the question.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tools.demo_model.questions.language import (
    FIRST_NAMES,
    RELATIONS,
    SURNAMES,
    Relation,
    split_of,
)

SHARES_A_NAME = 0.4  # of the people: a first name or a surname with somebody before them
MOST_LINES = 3  # of a passage
MOST_PASSAGES = 10


@dataclass(frozen=True)
class Line:
    """The sentence ``text``, which says that ``name`` has ``value`` for ``relation``."""

    name: str
    relation: Relation
    value: str
    text: str


@dataclass(frozen=True)
class Passage:
    """Some lines of a note, as they stand in a prompt under ``heading``."""

    heading: str
    lines: tuple[Line, ...]

    def numbered(self, number: int) -> str:
        """Return the passage as the prompt has it."""
        told = "\n".join(line.text for line in self.lines)
        return f"[{number}] {self.heading}\n{told}"


@dataclass(frozen=True)
class Asked:
    """A question; ``found`` is its line, ``None`` where no passage answers it."""

    text: str
    kind: str
    relation: Relation
    found: Line | None


def heading(path: str, first: int, last: int) -> str:
    """Return the place of a passage as task rag spells it."""
    return f"{path}, line {first}" if first == last else f"{path}, lines {first}–{last}"


def draw_people(rng: Random, split: str, count: int) -> list[str]:
    """Draw full names of one split; some share a first name or a surname."""
    names: list[str] = []
    while len(names) < count:
        first, surname = rng.choice(FIRST_NAMES), rng.choice(SURNAMES)
        if names and rng.random() < SHARES_A_NAME:
            other_first, other_surname = rng.choice(names).split()
            if rng.random() < 0.5:
                first = other_first
            else:
                surname = other_surname
        name = f"{first} {surname}"
        if name not in names and split_of(first, surname) == split:
            names.append(name)
    return names


def draw_lines(rng: Random, people: list[str], count: int) -> list[Line]:
    """Draw ``count`` facts about ``people``, each about another pair of person and relation."""
    pairs = rng.sample([(name, relation) for name in people for relation in RELATIONS], count)
    return [
        Line(name, relation, value, form.format(name=name, value=value))
        for name, relation in pairs
        for value, form in [(rng.choice(relation.values), rng.choice(relation.statements))]
    ]


def draw_passages(rng: Random, split: str, most_lines: int) -> list[Passage]:
    """Draw what a search might find: up to ``MOST_PASSAGES`` with ``most_lines`` lines in all."""
    count = max(rng.randint(1, most_lines), rng.randint(1, most_lines))
    people = draw_people(rng, split, rng.randint(-(-count // len(RELATIONS)), max(2, count // 2)))
    lines = draw_lines(rng, people, count)
    passages = []
    while lines and len(passages) < MOST_PASSAGES:
        size = rng.randint(1, MOST_LINES)
        told, lines = lines[:size], lines[size:]
        first = rng.randint(1, 9)
        path = f"notes/{rng.randint(1, 199):03d}.txt"
        passages.append(Passage(heading(path, first, first + len(told) - 1), tuple(told)))
    return passages


def draw_question(rng: Random, passages: list[Passage], split: str, kind: str) -> Asked | None:
    """Draw a question of a kind; ``None`` where the passages allow none.

    ``stated``: a line answers it. ``unstated``: it asks for what is said of others, but not of this
    person. ``absent``: it asks about a person whom no line mentions.
    """
    lines = [line for passage in passages for line in passage.lines]
    if kind == "stated":
        line = rng.choice(lines)
        return Asked(_question(rng, line.relation, line.name), kind, line.relation, line)
    told = {(line.name, line.relation.name) for line in lines}
    names = sorted({line.name for line in lines})
    if kind == "absent":
        stranger = rng.choice([*draw_people(rng, split, 1), *_crossed(rng, names, split)])
        name = stranger if stranger not in names else ""
    else:
        name = rng.choice(names)
    free = [relation for relation in RELATIONS if (name, relation.name) not in told]
    if not name or not free:
        return None
    relation = rng.choice(free)
    return Asked(_question(rng, relation, name), kind, relation, None)


def _question(rng: Random, relation: Relation, name: str) -> str:
    return rng.choice(relation.questions).format(name=name)


def _crossed(rng: Random, names: list[str], split: str) -> list[str]:
    """Return a name made of two others' halves, if it belongs to the split."""
    first, surname = rng.choice(names).split()[0], rng.choice(names).split()[1]
    return [f"{first} {surname}"] if split_of(first, surname) == split else []
