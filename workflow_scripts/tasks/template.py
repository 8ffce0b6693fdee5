"""The adapter from a question to chat messages."""

from __future__ import annotations

import re
from pathlib import Path

from ..core.errors import UserError
from ..core.prompts import read_prompt
from ..core.records import Message, Question, Task

_FIELDS: dict[Task, set[str]] = {
    "open_book": {"context", "question"},
    "closed_book": {"question"},
}
_FIELD = re.compile(r"\{(\w+)\}")


def task_template(task: Task) -> Path:
    """The file of a task's instruction, with its fields in braces."""
    return Path("prompts/tasks") / f"{task}.txt"


def check_template(task: Task, path: Path) -> None:
    """Check that a task template has each of its fields exactly once, and no other.

    Raises:
        UserError: the file is missing, or a field is missing, repeated or unknown.
    """
    if not path.is_file():
        raise UserError(f"{path.as_posix()}: the instruction of task {task} is missing")
    found = sorted(_FIELD.findall(read_prompt(path)))
    wanted = sorted(_FIELDS[task])
    if found != wanted:
        raise UserError(
            f"{path.as_posix()}: the fields are {_braced(found) or 'none'}; "
            f"task {task} needs each of {_braced(wanted)} exactly once"
        )


def messages(question: Question, template: str, system: str) -> list[Message]:
    """The messages for one question: the system prompt, then the filled-in task template.

    Fields are replaced in a single pass, so braces in a question's own text stay as they are. The
    user message depends on the question and the task alone: it is the same under every condition.
    """
    values = {"question": question.question, "context": question.context or ""}
    user = _FIELD.sub(lambda field: values[field.group(1)], template)
    return [Message(role="system", content=system), Message(role="user", content=user)]


def _braced(names: list[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
