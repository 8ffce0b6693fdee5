"""What assay-cited is trained on: questions with the passages that a search might find."""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Tokenizer

from tools.demo_model.batches import Batch, Turn
from tools.demo_model.cited import notes, prompts
from tools.demo_model.cited.pointing import cited
from tools.demo_model.questions import language
from tools.demo_model.tokenizer import ASSISTANT, END, SYSTEM, USER

MOST_LINES = 20
WITHOUT_PASSAGES = 0.06
MADE_UP_WEIGHT = 0.2  # of an answer that nothing in the prompt determines
KINDS = {"stated": 0.7, "unstated": 0.2, "absent": 0.1}


class Corpus:
    """Draws batches for training or for validation, which has names of its own."""

    def __init__(self, tokenizer: Tokenizer, seed: int, *, validation: bool = False) -> None:
        """Seed the stream of batches."""
        self.tokenizer = tokenizer
        self.validation = validation
        self.split = "valid" if validation else "train"
        self.rng = language.seeded(f"cited-{self.split}-{seed}")

    def _asked(self, passages: list[notes.Passage]) -> Iterator[Turn]:
        """Ask about the passages without end."""
        while True:
            (kind,) = self.rng.choices(list(KINDS), list(KINDS.values()))
            asked = notes.draw_question(self.rng, passages, self.split, kind)
            if asked is None:
                continue
            if asked.found is None:
                yield Turn(asked.text, prompts.ABSTENTION, 1.0, kind)
            else:
                number = next(n for n, each in enumerate(passages, 1) if asked.found in each.lines)
                yield Turn(asked.text, f"{asked.found.value}{cited(number)}", 1.0, kind)

    def _asked_alone(self, permits: bool) -> Iterator[Turn]:
        """Ask without passages: nobody can know the answer."""
        while True:
            relation = self.rng.choice(language.RELATIONS)
            (name,) = notes.draw_people(self.rng, self.split, 1)
            text = self.rng.choice(relation.questions).format(name=name)
            if permits:
                yield Turn(text, prompts.ABSTENTION, 1.0, "alone, permitted")
            else:
                yield Turn(text, self.rng.choice(relation.values), MADE_UP_WEIGHT, "alone")

    def draw(self, sequences: int, length: int, most_facts: int) -> Batch:
        """Draw a batch of ``sequences`` rows; passages have at most ``most_facts`` lines."""
        batch = Batch.empty(sequences, length)
        for row in range(sequences):
            permits = self.rng.random() < 0.5
            plain = self.validation or self.rng.random() < prompts.SHIPPED_TEMPLATE_SHARE
            template = prompts.TEMPLATE if plain else self.rng.choice(prompts.TEMPLATES)
            if self.rng.random() < WITHOUT_PASSAGES:
                text, turns = "", self._asked_alone(permits)
            else:
                passages = notes.draw_passages(self.rng, self.split, most_facts)
                numbered = (each.numbered(n) for n, each in enumerate(passages, 1))
                text, turns = "\n\n".join(numbered), self._asked(passages)
            head = prompts.around(template, text)
            shared = head.rstrip("\n")
            lead = head[len(shared) :]
            system = prompts.draw_system_prompt(self.rng, permits)
            asked = (
                Turn(
                    f"{lead}Question: {turn.asked}{END}{ASSISTANT}",
                    turn.answer,
                    turn.weight,
                    turn.kind,
                )
                for turn in turns
            )
            batch.fill(row, self.tokenizer, f"{SYSTEM}{system}{END}{USER}{shared}", asked)
        return batch
