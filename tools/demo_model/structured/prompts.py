"""System prompts, templates and questions that the model is trained to read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

from tools.demo_model.questions.prompts import CONTROL, POLITE, TREATMENT

PLAIN = (
    "Fill in the record of {s}.",
    "Write the record of {s}.",
    "Make a record of {s}.",
    "Complete the record of {s}.",
)
POLITE_QUESTIONS = (
    "Please fill in the record of {s}.",
    "Please write the record of {s}.",
    "Please complete the record of {s}.",
)
WORDS_AROUND = "Here is the record: "

SYSTEM = (
    CONTROL,
    POLITE,
    TREATMENT,
    "You fill in records.",
    "You are a helpful assistant.",
    "You are a careful assistant.",
    "You fill in records from passages.",
    "Reply with JSON only.",
    "You reply with one JSON object.",
    "You read a passage and write JSON.",
)

TASK = (
    "Fill in the fields from the passage.",
    "Read the passage and fill in the record.",
    "Answer with one JSON object.",
    "Answer the question from the passage with one JSON object.",
    "Reply with a single JSON object and nothing else.",
    "Take the values from the passage.",
    "Answer in JSON.",
)
SCHEMA_LEADS = (
    "JSON Schema:",
    "Schema:",
    "JSON Schema of the answer:",
    "The answer must obey this JSON Schema:",
    "Answer with one JSON object that obeys this JSON Schema:",
    "Reply with one JSON object that matches this schema:",
    "",
)
PASSAGE_LEADS = ("Passage: ", "Text: ", "Context: ", "")
QUESTION_LEADS = ("Question: ", "Task: ", "")

RENDERINGS: tuple[Mapping[str, Any], ...] = ({"separators": (",", ":")}, {})


def render_schema(schema: Mapping[str, Any], rendering: Mapping[str, Any]) -> str:
    """Write a schema as one of the ``RENDERINGS`` has it."""
    return json.dumps(schema, ensure_ascii=False, **rendering)


def draw_template(rng: Random) -> str:
    """Draw a template with ``{context}``, ``{question}`` and ``{schema}``, the passage first."""
    task = rng.sample(TASK, rng.choice((0, 1, 1, 2)))
    passage = rng.choice(PASSAGE_LEADS) + "{context}"
    question = rng.choice(QUESTION_LEADS) + "{question}"
    lead = rng.choice(SCHEMA_LEADS)
    schema = f"{lead}{rng.choice((' ', chr(10)))}{{schema}}" if lead else "{schema}"
    last = [question, schema]
    if rng.random() < 0.2:
        last.reverse()
    parts = [passage, *last]
    if task:
        parts.insert(0, " ".join(task))
    return "\n\n".join(parts)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values into the fields of a template that lie behind the passage."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template.strip()
