"""The questions as a task of Inspect AI."""

from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import Sample, json_dataset
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, prompt_template, system_message


def _sample(row: dict[str, Any]) -> Sample:
    return Sample(id=row["id"], input=row["question"], target=row["answers"])


@task
def capitals(system: str) -> Task:
    """Ask under a system prompt."""
    return Task(
        dataset=json_dataset("questions.jsonl", _sample),
        solver=[
            system_message(system),
            prompt_template("Answer the question in a few words.\n\nQuestion: {prompt}"),
            generate(),
        ],
        scorer=includes(),
    )
