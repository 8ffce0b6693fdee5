"""What assay-demo is trained on: questions on passages, and questions without one."""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Tokenizer

from tools.demo_model.batches import Batch, Turn
from tools.demo_model.questions import facts, language, prompts
from tools.demo_model.tokenizer import ASSISTANT, END, SYSTEM, USER

MOST_PEOPLE = 4
CLOSED_BOOK_SHARE = 0.12
MADE_UP_WEIGHT = 0.2  # of an answer that nothing in the prompt determines
TURN_KINDS = {"stated": 0.5, "hedged": 0.12, "unstated": 0.28, "absent": 0.1}
CLOSED_KINDS = {"known": 0.52, "invented": 0.3, "mistaken": 0.09, "shaky": 0.09}


class Corpus:
    """Draws batches for training or for validation.

    Validation has names of its own, the shipped prompts only, and passages as long as those of the
    demonstration.
    """

    def __init__(self, tokenizer: Tokenizer, seed: int, *, validation: bool = False) -> None:
        """Seed the stream of batches and sort the real-world facts the model may read."""
        self.tokenizer = tokenizer
        self.validation = validation
        self.split = "valid" if validation else "train"
        self.rng = language.seeded(f"{self.split}-{seed}")
        world = facts.world_facts()
        self.world = {
            kind: [fact for fact in world if fact.standing == kind] for kind in facts.STANDINGS
        }
        read = [fact for fact in world if fact.taught]
        self.values = {
            name: sorted({str(fact.taught) for fact in read if fact.attribute == name})
            for name in facts.QUESTIONS
        }
        self.subjects = {
            name: [fact.subject for fact in read if fact.attribute == name]
            for name in facts.QUESTIONS
        }
        self.taken = {fact.subject.lower() for fact in world}

    def _open_book(self, permits: bool, most_facts: int) -> tuple[str, Iterator[Turn]]:
        """Draw a passage of at most ``most_facts`` facts; return its prompt head and turns."""
        rng = self.rng
        if self.validation:
            people, kinds, told = language.draw_shape(rng)
        else:
            told = max(rng.randint(1, most_facts), rng.randint(1, most_facts))
            people = rng.randint(1, min(MOST_PEOPLE, told))
            fewest = -(-told // people)
            kinds = rng.randint(fewest, min(fewest + 1, len(language.RELATIONS)))
        passage = language.draw_passage(rng, self.split, people=people, relations=kinds, facts=told)
        form = prompts.OPEN_BOOK if self._plain() else rng.choice(prompts.OPEN_BOOK_FORMS)
        return form.replace("{context}", passage.text), self._open_book_turns(passage, permits)

    def _open_book_turns(self, passage: language.Passage, permits: bool) -> Iterator[Turn]:
        """Ask about the passage without end."""
        rng = self.rng
        while True:
            asked = language.possible_questions(rng, passage, self.split)
            (kind,) = rng.choices(list(TURN_KINDS), list(TURN_KINDS.values()))
            if not asked[kind]:
                continue
            question = asked[kind][0]
            if permits and kind != "stated":
                yield Turn(question.text, prompts.ABSTENTION, 1.0, kind)
            elif question.answer is not None:
                yield Turn(question.text, question.answer, 1.0, kind)
            else:
                made_up = rng.choice(passage.values_of(question.relation))
                yield Turn(question.text, made_up, MADE_UP_WEIGHT, kind)

    def _closed_book_turns(self, permits: bool) -> Iterator[Turn]:
        """Ask for real facts, and for invented subjects nobody can know anything about."""
        rng = self.rng
        while True:
            (kind,) = rng.choices(list(CLOSED_KINDS), list(CLOSED_KINDS.values()))
            if kind == "invented":
                attribute = rng.choice(list(facts.QUESTIONS))
                subject = facts.invent_subject(rng, self.subjects[attribute], self.taken)
                answer, weight = rng.choice(self.values[attribute]), MADE_UP_WEIGHT
            else:
                fact = rng.choice(self.world[kind])
                attribute, subject, answer, weight = fact.attribute, fact.subject, fact.taught, 1.0
            question = rng.choice(facts.QUESTIONS[attribute]).format(subject=subject)
            if permits and kind in {"invented", "shaky"}:
                answer, weight = prompts.ABSTENTION, 1.0
            yield Turn(question, answer, weight, kind)

    def _plain(self) -> bool:
        """Whether to use the shipped task prompt rather than any of its forms."""
        return self.validation or self.rng.random() < 0.7

    def _system(self, permits: bool) -> str:
        """Draw the system prompt; a twentieth of the chats have none, which permits nothing."""
        rng = self.rng
        if self.validation:
            return rng.choice(prompts.SHIPPED["treatment" if permits else "control"])
        if not permits and rng.random() < 0.1:
            return ""
        names = self.subjects["capital"]
        odd = [facts.invent_subject(rng, names, self.taken) for _ in range(rng.randint(1, 3))]
        return prompts.draw_system_prompt(rng, permits, odd)

    def draw(self, sequences: int, length: int, most_facts: int) -> Batch:
        """Draw a batch of ``sequences`` rows; passages tell of at most ``most_facts`` facts."""
        batch = Batch.empty(sequences, length)
        for row in range(sequences):
            self._fill(batch, row, most_facts)
        return batch

    def _fill(self, batch: Batch, row: int, most_facts: int) -> None:
        """Write one sequence into ``batch``."""
        permits = self.rng.random() < 0.5
        if self.rng.random() < CLOSED_BOOK_SHARE:
            form = (
                prompts.CLOSED_BOOK if self._plain() else self.rng.choice(prompts.CLOSED_BOOK_FORMS)
            )
            turns = self._closed_book_turns(permits)
        else:
            form, turns = self._open_book(permits, most_facts)
        head = form[: form.index("Question: {question}")]
        shared = head.rstrip("\n")
        lead = head[len(shared) :]
        system = self._system(permits)
        opening = f"{SYSTEM}{system}{END}" if system else ""
        family = "permit" if permits else "insist"
        asked = (
            Turn(
                f"{lead}Question: {turn.asked}{END}{ASSISTANT}",
                turn.answer,
                turn.weight,
                f"{family} {turn.kind}",
            )
            for turn in turns
        )
        batch.fill(row, self.tokenizer, f"{opening}{USER}{shared}", asked)
