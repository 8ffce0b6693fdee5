"""Write the demonstration questions.

    python -m tools.demo_model.questions.items --out-dir resources/demo

Open book: 60 passages with five questions each, a third of them unanswerable, about people whose
full names the model never met. Closed book: one question for each real-world fact, whether the
model was trained on it or not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.demo_model.questions import facts, language

SEED = 7
PASSAGES = 60
QUESTIONS = 5  # on each passage
ANSWERABLE = (3, 3, 4)  # of the questions on a passage, over and over
ABSENT_EVERY = 3  # every third unanswerable question is about somebody the passage never names


def open_book() -> Iterator[tuple[dict, str]]:
    """Yield each open-book item with its kind (see ``language.KINDS``)."""
    rng = language.seeded(f"assay-open-{SEED}")
    unanswerable = 0
    for number in range(PASSAGES):
        asked: dict[str, list[language.Question]] = {}
        while len(asked.get("unstated", ())) < QUESTIONS - min(ANSWERABLE):
            people, relations, told = language.draw_shape(rng)
            passage = language.draw_passage(
                rng, "test", people=people, relations=relations, facts=told
            )
            asked = language.possible_questions(rng, passage, "test")
        answerable = asked["stated"] + asked["hedged"]
        rng.shuffle(answerable)
        questions = answerable[: ANSWERABLE[number % len(ANSWERABLE)]]
        while len(questions) < QUESTIONS:
            unanswerable += 1
            kind = "absent" if unanswerable % ABSENT_EVERY == 0 else "unstated"
            questions.append(asked[kind].pop())
        rng.shuffle(questions)
        for index, question in enumerate(questions, start=1):
            item = {
                "id": f"open-{number + 1:02d}-{index}",
                "dataset": "demo_open",
                "question": question.text,
                "answers": [question.answer] if question.answer else [],
                "context": passage.text,
                "is_unanswerable": question.answer is None,
                "cluster_id": f"passage-{number + 1:02d}",
            }
            yield item, question.kind


def closed_book() -> Iterator[tuple[dict, str]]:
    """Yield each closed-book item with the standing of its fact (see ``facts.WorldFact``)."""
    rng = language.seeded(f"assay-closed-{SEED}")
    for fact in facts.world_facts():
        subject = fact.subject.lower()
        form = rng.choice(facts.QUESTIONS[fact.attribute])
        item = {
            "id": f"closed-{subject}-{fact.attribute}",
            "dataset": "demo_closed",
            "question": form.format(subject=fact.subject),
            "answers": [fact.answer],
            "is_unanswerable": False,
            "cluster_id": subject,
        }
        yield item, fact.standing


FILES = {"open_book.jsonl": open_book, "closed_book.jsonl": closed_book}


def to_jsonl(items: Iterable[dict]) -> str:
    """Spell items as JSON Lines."""
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


def main() -> None:
    """Write both files into ``--out-dir``."""
    parser = argparse.ArgumentParser(description="Write the demonstration questions.")
    parser.add_argument("--out-dir", type=Path, required=True)
    folder = parser.parse_args().out_dir
    folder.mkdir(parents=True, exist_ok=True)
    for name, questions in FILES.items():
        items = [item for item, _ in questions()]
        (folder / name).write_text(to_jsonl(items), encoding="utf-8", newline="\n")
        print(f"{folder / name}: {len(items)} questions")


if __name__ == "__main__":
    main()
