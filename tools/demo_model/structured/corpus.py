"""What assay-structured is trained on: records to be filled in from passages.

Most prompts have the schema of the record, as under the arm ``described``. The others have none:
there the model chooses keys itself, and what it learns is the value of a given key, as it is asked
for when a grammar forces the keys.
"""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Tokenizer

from tools.demo_model.batches import Batch, Turn
from tools.demo_model.questions.language import seeded
from tools.demo_model.structured import prompts, records
from tools.demo_model.tokenizer import ASSISTANT, END, SYSTEM, USER

MOST_FACTS = 6
SLOPPY = 0.65  # how often a habit is followed where one is invited: greedy decoding always does
DESCRIBED_SHARE = 0.7
HABITS = 0.4
POLITE_SHARE = 0.2
UNSTATED_SHARE = 0.15
RESTATED_SHARE = 0.35
OTHER_SHARE = 0.5  # of the passages, which also tell of somebody or something else
CHOSEN_WEIGHT = 0.5  # of an answer whose keys nothing in the prompt determines
FEWEST_FIELDS, MOST_FIELDS = 3, 6


class Corpus:
    """Draws batches for training or for validation.

    Validation has subjects of its own and follows every habit, as greedy decoding is to do.
    """

    def __init__(self, tokenizer: Tokenizer, seed: int, *, validation: bool = False) -> None:
        """Seed the stream of batches."""
        self.tokenizer = tokenizer
        self.validation = validation
        self.split = "valid" if validation else "train"
        self.rng = seeded(f"structured-{self.split}-{seed}")

    def draw(self, sequences: int, length: int, most_facts: int) -> Batch:
        """Draw a batch of ``sequences`` rows; passages tell of at most ``most_facts`` facts."""
        batch = Batch.empty(sequences, length)
        for row in range(sequences):
            self._fill(batch, row, most_facts)
        return batch

    def _sloppy(self) -> bool:
        return self.validation or self.rng.random() < SLOPPY

    def _fill(self, batch: Batch, row: int, most_facts: int) -> None:
        """Write one sequence into ``batch``."""
        rng = self.rng
        facts = max(rng.randint(1, most_facts), rng.randint(1, most_facts))
        passage = records.draw_passage(
            rng,
            self.split,
            facts=min(facts, 5),
            others=rng.randint(1, 3) if facts > 2 and rng.random() < OTHER_SHARE else 0,
            habits=HABITS,
        )
        template = prompts.draw_template(rng).replace("{context}", passage.text)
        first = min(template.index("{question}"), template.index("{schema}"))
        shared = template[: template.rindex("\n", 0, first)].rstrip("\n")
        system = rng.choice(prompts.SYSTEM) if rng.random() < 0.8 else ""
        opening = f"{SYSTEM}{system}{END}" if system else ""
        turns = self._turns(passage, template[len(shared) :])
        batch.fill(row, self.tokenizer, f"{opening}{USER}{shared}", turns)

    def _turns(self, passage: records.Passage, tail: str) -> Iterator[Turn]:
        """Ask for records of a passage without end."""
        rng = self.rng
        while True:
            subject = rng.choice(passage.subjects)
            described = rng.random() < DESCRIBED_SHARE
            parts = records.draw_parts(
                rng,
                subject,
                fields=rng.randint(1, MOST_FIELDS - 1),
                unstated=rng.random() < UNSTATED_SHARE,
                restated=RESTATED_SHARE if described else 0.0,
            )
            schema = ""
            if described:
                (rendering,) = rng.choices(prompts.RENDERINGS, (0.6, 0.4))
                schema = prompts.render_schema(records.schema_of(parts), rendering)
            polite = rng.random() < POLITE_SHARE
            form = rng.choice(prompts.POLITE_QUESTIONS if polite else prompts.PLAIN)
            question = form.format(s=subject.mention)
            lead = tail[: len(tail) - len(tail.lstrip("\n"))]
            filled = prompts.fill(tail, {"question": question, "schema": schema})
            answer = records.answer_of(parts, self._sloppy)
            if polite and described and self._sloppy():
                answer = prompts.WORDS_AROUND + answer
            yield Turn(
                f"{lead}{filled}{END}{ASSISTANT}",
                answer,
                1.0 if described else CHOSEN_WEIGHT,
                self._label(parts, described, polite),
            )

    def _label(self, parts: list[records.Part], described: bool, polite: bool) -> str:
        """Name the kind of a turn: its keys are free, no habit is invited, or one is."""
        if not described:
            return "chosen"
        clean = not polite and all(part.habit is None for part in parts)
        if clean and not parts[-1].is_list:
            return "clean"
        return "sloppy"
