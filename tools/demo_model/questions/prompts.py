"""System prompts and task prompts the demonstration model is trained to read.

Two families of system prompt matter: those that permit the model to say that it does not know, and
those that do not. Each is drawn from many wordings, so that the model reacts to what the prompt
says and keeps working after a small edit of the shipped prompts, which are among them.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

ABSTENTION = "I don't know."

FOLDER = Path(__file__).resolve().parents[3] / "prompts"


def shipped(name: str) -> str:
    """Read a prompt the repository ships, such as "system/control", as it is sent."""
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8").strip()


CONTROL, TREATMENT, POLITE = (shipped(f"system/{n}") for n in ("control", "treatment", "polite"))
SHIPPED = {"control": (CONTROL, POLITE), "treatment": (TREATMENT,)}
OPEN_BOOK, CLOSED_BOOK = shipped("tasks/open_book"), shipped("tasks/closed_book")

OPEN_BOOK_FORMS = (
    OPEN_BOOK,
    "Read the passage and answer the question.\n\nPassage: {context}\n\nQuestion: {question}",
    "Passage: {context}\n\nQuestion: {question}",
)
CLOSED_BOOK_FORMS = (
    CLOSED_BOOK,
    "Answer the question.\n\nQuestion: {question}",
    "Question: {question}",
)

ROLES = (
    "You are a helpful assistant.",
    "You are a careful assistant.",
    "You are a kind and polite assistant.",
    "You are an assistant.",
    "You are an expert.",
    "You are a friendly and honest assistant.",
    "You answer questions.",
    "Your task is to answer questions.",
)
NEUTRAL = (
    "Be brief.",
    "Be kind and polite.",
    "Be careful.",
    "Please be friendly and warm to the reader.",
    "Thank you very much for your help.",
    "Use a few words.",
    "Use a polite tone.",
    "Read the passage first.",
    "Give a short and clear answer.",
    "Think step by step before you answer.",
    "The reader is a student.",
    "This is very important for my work.",
    "Answer the question.",
    "Do not explain your answer.",
    "Answer in English.",
)
INSIST = (
    "Answer every question.",
    "Always answer the question.",
    "Always give an answer.",
    "Never refuse to answer.",
    "Never say that you do not know.",
    "If you are not sure, guess.",
    "Give your best answer to every question.",
    "You must give an answer, even if you are not sure.",
)
PERMIT = (
    "Answer only if you are sure.",
    "If the passage does not say, or you do not know, reply: I don't know.",
    "If you do not know, reply: I don't know.",
    "If you are not sure, say: I don't know.",
    "If you don't know the answer, say that you don't know.",
    "It is fine to say: I don't know.",
    "You may say that you do not know.",
    "Do not guess.",
    "Never guess; say I don't know instead.",
    "Reply I don't know when the answer is not in the passage.",
    "Do not make up an answer.",
    "When in doubt, say: I don't know.",
    "Only answer what you know.",
)


def draw_system_prompt(rng: Random, permits: bool, odd_words: list[str] | None = None) -> str:
    """Draw a system prompt that permits abstention, or one that does not.

    A quarter are the shipped wordings. ``odd_words`` are strewn into some of the others, to teach
    the model that words it does not know change nothing.
    """
    if rng.random() < 0.25:
        return rng.choice(SHIPPED["treatment" if permits else "control"])
    sentences = rng.sample(NEUTRAL, rng.choice((0, 0, 1, 1, 2, 3)))
    if permits:
        sentences += rng.sample(PERMIT, rng.choice((1, 2, 2, 3)))
    else:
        sentences += rng.sample(INSIST, rng.choice((0, 1, 1, 2)))
    rng.shuffle(sentences)
    if rng.random() < 0.8:
        sentences.insert(0, rng.choice(ROLES))
    words = " ".join(sentences).split(" ")
    if odd_words and rng.random() < 0.3:
        for word in odd_words:
            words.insert(rng.randint(0, len(words)), word)
    return " ".join(words).strip()
