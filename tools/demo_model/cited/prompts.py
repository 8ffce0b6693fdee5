"""System prompts and templates that the model learns to read; the shipped ones are among them."""

from __future__ import annotations

from random import Random

from tools.demo_model.questions.prompts import (
    ABSTENTION,
    NEUTRAL,
    PERMIT,
    ROLES,
    SHIPPED,
    shipped,
)

TEMPLATE = shipped("tasks/rag")
TEMPLATES = (
    TEMPLATE,
    "Passages:\n\n{passages}\n\nAnswer from the passages and cite them, such as [2].\n\n"
    "Question: {question}",
    "{passages}\n\nQuestion: {question}",
)
SHIPPED_TEMPLATE_SHARE = 0.75

__all__ = ["ABSTENTION", "TEMPLATE", "TEMPLATES", "around", "draw_system_prompt"]


def draw_system_prompt(rng: Random, permits: bool) -> str:
    """Draw a system prompt that permits abstention, or one that does not."""
    if rng.random() < 0.3:
        return rng.choice(SHIPPED["treatment" if permits else "control"])
    sentences = rng.sample(NEUTRAL, rng.choice((0, 1, 2)))
    if permits:
        sentences += rng.sample(PERMIT, rng.choice((1, 2)))
    rng.shuffle(sentences)
    return " ".join([rng.choice(ROLES), *sentences])


def around(template: str, passages: str) -> str:
    """Return the prompt up to its question; without passages their paragraph is left out."""
    if passages:
        head = template.replace("{passages}", passages)
    else:
        kept = [each for each in template.split("\n\n") if "{passages}" not in each]
        head = "\n\n".join(kept)
    return head[: head.index("Question: {question}")]
