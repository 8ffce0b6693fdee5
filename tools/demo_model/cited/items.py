"""Write the notes of the demonstration and the questions on them.

    python -m tools.demo_model.cited.items --out-dir resources/demo

110 notes of eight lines, each about three people whose full names the model never met, and 300
questions. Three of ten have no answer: nothing says it of this person, or nobody has this name.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from tools.demo_model.cited import notes
from tools.demo_model.questions import language

SEED = 7
NOTES = 110
PEOPLE = 3  # in a note
LINES = 8
QUESTIONS = 300
KINDS = ("stated",) * 7 + ("unstated", "unstated", "absent")  # over and over


def every_name() -> list[str]:
    """Return the names that belong to the demonstration, shuffled."""
    names = [
        f"{first} {surname}"
        for first in language.FIRST_NAMES
        for surname in language.SURNAMES
        if language.split_of(first, surname) == "test"
    ]
    language.seeded(f"assay-cited-names-{SEED}").shuffle(names)
    return names


def draw_notes() -> dict[str, list[notes.Line]]:
    """Return the lines of each note, by its path."""
    rng = language.seeded(f"assay-cited-notes-{SEED}")
    names = every_name()
    return {
        f"notes/{number + 1:03d}.txt": notes.draw_lines(
            rng, names[PEOPLE * number : PEOPLE * (number + 1)], LINES
        )
        for number in range(NOTES)
    }


def questions() -> Iterator[tuple[dict, str]]:
    """Yield each item with its kind (see `notes.draw_question`)."""
    rng = language.seeded(f"assay-cited-questions-{SEED}")
    written = draw_notes()
    strangers = every_name()[PEOPLE * NOTES :]
    asked: set[str] = set()
    while len(asked) < QUESTIONS:
        kind = KINDS[len(asked) % len(KINDS)]
        path, lines = rng.choice(list(written.items()))
        told = {(line.name, line.relation.name) for line in lines}
        line = rng.choice(lines)
        name, relation = line.name, line.relation
        if kind == "absent":
            name = rng.choice(strangers)
        elif kind == "unstated":
            relation = rng.choice(language.RELATIONS)
            if (name, relation.name) in told:
                continue
        text = rng.choice(relation.questions).format(name=name)
        if text in asked:
            continue
        asked.add(text)
        stated = kind == "stated"
        number = len(asked)
        item = {
            "id": f"note-{number:03d}",
            "question": text,
            "answers": [line.value] if stated else [],
            "relevant": [f"{path}:L{lines.index(line) + 1}"] if stated else [],
            "is_unanswerable": not stated,
            "cluster_id": name,
        }
        yield item, kind


def main() -> None:
    """Write the notes and the questions into ``--out-dir``."""
    parser = argparse.ArgumentParser(description="Write the notes and the questions on them.")
    parser.add_argument("--out-dir", type=Path, required=True)
    folder = parser.parse_args().out_dir
    for path, lines in draw_notes().items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{line.text}\n" for line in lines)
        file.write_text(text, encoding="utf-8", newline="\n")
    texts = [json.dumps(item, ensure_ascii=False) + "\n" for item, _ in questions()]
    (folder / "cited.jsonl").write_text("".join(texts), encoding="utf-8", newline="\n")
    print(f"{folder}: {NOTES} notes, {len(texts)} questions")


if __name__ == "__main__":
    main()
