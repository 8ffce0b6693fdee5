"""Formats of answers made elsewhere: what one is, as a declaration, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from ..core.errors import UserError
from ..core.recorded import AnswersFile, RecordedAnswer
from ..core.registry import Registry
from .source import Source

_SHOWN = 5


@dataclass(frozen=True)
class AnswerFormat:
    """How files of answers are written.

    Attributes:
        name: its name in configs.
        description: what it is, in one line.
        read: yields the answers of a file. It raises `Source.error` where a record does not fit,
            and leaves none out.
        suffixes: of file names that are in this format where the config names none.
        has_columns: whether a config can name its columns.
    """

    name: str
    description: str
    read: Callable[[Source], Iterator[RecordedAnswer]]
    suffixes: tuple[str, ...] = ()
    has_columns: bool = False


ANSWER_FORMATS: Registry[AnswerFormat] = Registry(
    "format of answers",
    "assay.answer_formats",
    {
        "jsonl": "workflow_scripts.datasets.answer_rows:JSONL",
        "csv": "workflow_scripts.datasets.answer_rows:CSV",
        "inspect": "workflow_scripts.datasets.answers_inspect:INSPECT",
        "lm_eval": "workflow_scripts.datasets.answers_lm_eval:LM_EVAL",
        "promptfoo": "workflow_scripts.datasets.answers_promptfoo:PROMPTFOO",
        "every_eval_ever": "workflow_scripts.datasets.answers_every_eval_ever:EVERY_EVAL_EVER",
        "helm": "workflow_scripts.datasets.answers_helm:HELM",
        "alpaca_eval": "workflow_scripts.datasets.answers_alpaca_eval:ALPACA_EVAL",
    },
)
"""A format is one module with its declaration, and one line here; see docs/extending.md."""


def format_of(path: str) -> str | None:
    """Return the format that a file's name shows, if it shows one."""
    name = PurePath(path).name.lower().removesuffix(".gz")
    for known, each in ANSWER_FORMATS.items():
        if name.endswith(each.suffixes):
            return known
    return None


def read_answers(file: AnswersFile, path: str | None = None, arm: str = "") -> list[RecordedAnswer]:
    """Read the answers of a file that its ``where`` chooses.

    Args:
        file: the file, and how it is read.
        path: where it lies, if not where the config says.
        arm: the arm that reads it, for messages.

    Raises:
        UserError: the file cannot be read, a record does not fit, or none is chosen.
    """
    source = Source(
        arm,
        Path(path or file.path),
        file.member,
        columns=file.columns,
        where=file.where,
        used_by="arm",
    )
    found = list(ANSWER_FORMATS[file.format].read(source))
    if not found:
        raise UserError(f"{source}: there are no answers in this file (arm '{arm}')")
    return list(chosen(source, found))


def chosen(source: Source, found: list[RecordedAnswer]) -> Iterator[RecordedAnswer]:
    """Yield the answers with the labels that ``where`` names.

    Raises:
        UserError: none has them.
    """
    wanted = source.where
    kept = [each for each in found if all(each.labels.get(k) == v for k, v in wanted.items())]
    if not kept:
        values = {
            name: list(dict.fromkeys(each.labels.get(name, "nothing") for each in found))[:_SHOWN]
            for name in wanted
        }
        raise UserError(f"{source}: no record has {dict(wanted)}; there are {values}")
    yield from kept
