"""Prompts: how a config names them, and the one way in which their text is read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from .errors import UserError
from .files import read_text

CONTROL = "control"
"""The condition that every treatment is compared with."""

_SYSTEM_PROMPTS = Path("prompts/system")

FIELD = re.compile(r"\{(\w+)\}")
"""A field of a template: its name in braces."""


def prompt_path(reference: str) -> Path:
    """The file of a system prompt: a path as it is, or a name under prompts/system/."""
    path = Path(reference)
    return path if path.suffix else _SYSTEM_PROMPTS / f"{reference}.txt"


def prompt_name(reference: str) -> str:
    """The name of a system prompt in paths and records."""
    return prompt_path(reference).stem


def read_prompt(path: Path) -> str:
    """The text of a system prompt or task template as the model gets it.

    Without white space around it, and without the byte order mark that some editors write.

    Raises:
        UserError: the file is missing, empty or not UTF-8.
    """
    text = read_text(path).strip()
    if not text:
        raise UserError(f"{path.as_posix()}: the prompt is empty")
    return text


def without_fields(template: str, names: Iterable[str]) -> str:
    """Return a template without the paragraphs that have one of these fields."""
    left_out = set(names)
    paragraphs = template.split("\n\n")
    kept = [each for each in paragraphs if left_out.isdisjoint(FIELD.findall(each))]
    return "\n\n".join(kept)
