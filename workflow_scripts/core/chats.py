"""Prompts that are whole chats: turns of system, user and assistant in a YAML or Markdown file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from .errors import UserError
from .prompts import read_prompt
from .records import Message, Role
from .yaml_file import read_yaml

_ROLES = get_args(Role)

_HEADING = re.compile(rf"^#+ *({'|'.join(_ROLES)}) *$", re.MULTILINE | re.IGNORECASE)
"""A heading of a Markdown file that begins a turn."""


class Chat(NamedTuple):
    """A prompt: the turns before the item, and the text around it if the prompt has its own."""

    turns: list[Message]
    template: str | None

    @property
    def system(self) -> str:
        """The system prompt; empty without one."""
        return self.turns[0].content if self.turns and self.turns[0].role == "system" else ""

    @property
    def others(self) -> list[str]:
        """Everything but the system prompt, each turn with its role."""
        found = [f"{each.role}: {each.content}" for each in self.turns if each.role != "system"]
        return found if self.template is None else [*found, f"user: {self.template}"]


def read_chat(path: Path) -> Chat:
    """Return the prompt in a file.

    A text file is a system prompt. A YAML file has ``turns``, a list with the role of each as key.
    In a Markdown file that begins with such a heading, each heading ``# user`` begins a turn. A
    chat may begin with a system turn; user and assistant take turns. A last turn of the user is the
    text around the item; else the task's template follows.

    Raises:
        UserError: the file cannot be read, a turn is empty, or the roles do not take turns.
    """
    if path.suffix.lower() in {".yaml", ".yml"}:
        turns = list(_of_yaml(path))
    else:
        text = read_prompt(path)
        if path.suffix.lower() != ".md" or not _HEADING.match(text):
            return Chat([Message(role="system", content=text)], None)
        turns = list(_of_markdown(text))
    _check(path, turns)
    if turns[-1].role == "user":
        return Chat(turns[:-1], turns[-1].content)
    return Chat(turns, None)


def _of_yaml(path: Path) -> Iterator[Message]:
    listed = read_yaml(path).get("turns")
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{path.as_posix()}: expected turns, a list such as [{{user: …}}]")
    for number, turn in enumerate(listed, start=1):
        role, text = next(iter(turn.items())) if isinstance(turn, dict) and turn else ("", None)
        if role not in _ROLES or len(turn) > 1 or not isinstance(text, str):
            raise UserError(
                f"{path.as_posix()}: turn {number}: expected one role with its text: "
                f"{', '.join(_ROLES)}"
            )
        yield Message.model_validate({"role": role, "content": text.strip()})


def _of_markdown(text: str) -> Iterator[Message]:
    pieces = _HEADING.split(text)[1:]
    for role, content in zip(pieces[::2], pieces[1::2], strict=True):
        yield Message.model_validate({"role": role.lower(), "content": content.strip()})


def _check(path: Path, turns: Sequence[Message]) -> None:
    expected = ["user", "assistant"] * len(turns)
    for number, turn in enumerate(turns, start=1):
        if not turn.content:
            raise UserError(f"{path.as_posix()}: turn {number} ({turn.role}) is empty")
        if number == 1 and turn.role == "system":
            continue
        if turn.role != (role := expected.pop(0)):
            raise UserError(
                f"{path.as_posix()}: turn {number} is the {turn.role}'s, but the {role}'s comes "
                "next. A chat begins with system or user; then user and assistant take turns"
            )
