"""Data formats: what one is, as a declaration, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.records import TaskName
from ..core.registry import Registry

if TYPE_CHECKING:
    from ..tasks.task import Task
    from .checks import Located
    from .source import Source


@dataclass(frozen=True)
class DataFormat:
    """How the files of a data set are written.

    Attributes:
        name: its name in configs.
        description: what it is, in one line.
        read: yields the items of a file that are put to a task, each with its place in the file.
            It raises `Source.error` where a record does not fit, and leaves none out.
        task: the task that its items are always put to; ``None`` where the config says it.
        evaluation: the official evaluation of its answers, a name in `metrics.text.EVALUATIONS`;
            ``None`` takes the usual one.
        has_columns: whether a config can name its columns.
    """

    name: str
    description: str
    read: Callable[[Source, Task], Iterator[Located]]
    task: TaskName | None = None
    evaluation: str | None = None
    has_columns: bool = False


FORMATS: Registry[DataFormat] = Registry(
    "data format",
    "assay.formats",
    {
        "squad_v2": "workflow_scripts.datasets.public_formats:SQUAD_V2",
        "nq_open": "workflow_scripts.datasets.public_formats:NQ_OPEN",
        "triviaqa": "workflow_scripts.datasets.public_formats:TRIVIAQA",
        "jsonl": "workflow_scripts.datasets.own_formats:JSONL",
        "csv": "workflow_scripts.datasets.own_formats:CSV",
        "inspect": "workflow_scripts.datasets.answers_inspect:INSPECT_ITEMS",
        "lm_eval": "workflow_scripts.datasets.answers_lm_eval:LM_EVAL_ITEMS",
        "promptfoo": "workflow_scripts.datasets.answers_promptfoo:PROMPTFOO_ITEMS",
        "every_eval_ever": (
            "workflow_scripts.datasets.answers_every_eval_ever:EVERY_EVAL_EVER_ITEMS"
        ),
        "helm": "workflow_scripts.datasets.answers_helm:HELM_ITEMS",
    },
)
"""A format is one module with its declaration, and one line here; see docs/extending.md."""
