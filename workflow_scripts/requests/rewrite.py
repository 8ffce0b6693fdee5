"""Write the requests that make search texts of a task's questions, as one batch-input part.

They are requests like all others: sent, journaled, resumed and paid for in the same way.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field

from ..core.block import Block
from ..core.errors import command
from ..core.files import read_jsonl, read_settings, write_jsonl
from ..core.job_prompts import JobText, fill
from ..core.logs import log_to
from ..core.records import Decoding, Message, Question, Reasoning, Request, TaskName, custom_id
from ..core.seals import SealWriter, seal_beside
from ..retrieval.settings import REWRITE
from ..tasks.registry import TASKS

LOG = logging.getLogger(__name__)

TEMP = "0.0"
"""Models rewrite at temperature 0."""

MAX_NEW_TOKENS = 128


class RewriteSettings(Block):
    """How questions are rewritten: the text of a request, where it is from, and ``reasoning``."""

    task: TaskName
    template: str
    template_source: str
    reasoning: Reasoning | None = Field(None, exclude_if=lambda given: given is None)


def requests(questions: Iterable[Question], settings: RewriteSettings) -> Iterator[Request]:
    """Yield one request for each question, whose name has the task in the place of a prompt's."""
    task = TASKS[settings.task]
    for question in questions:
        text = fill(settings.template, {"question": task.search_text(question)}).strip()
        yield Request(
            custom_id=custom_id(question.dataset, question.id, settings.task, TEMP, 0, REWRITE),
            dataset=question.dataset,
            item_id=question.id,
            prompt=settings.task,
            temp=TEMP,
            sample_index=0,
            type=REWRITE,
            messages=[Message(role="user", content=text)],
            decoding=Decoding(
                temperature=float(TEMP),
                max_new_tokens=MAX_NEW_TOKENS,
                seed=0,
                reasoning=settings.reasoning,
            ),
        )


@command
def main() -> None:
    """Write the requests."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--questions", type=Path, required=True, help="of the task (JSONL)")
    parser.add_argument("--settings", type=Path, required=True, help="JSON file: RewriteSettings")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    log_to(None)
    settings = read_settings(args.settings, RewriteSettings)
    LOG.info("the prompt is %s", JobText(settings.template, settings.template_source))
    seal = SealWriter(seal_beside(args.output, args.output.stem), [args.questions])
    questions = read_jsonl(args.questions, TASKS[settings.task].question)
    write_jsonl(args.output, requests(questions, settings))
    seal.seal(args.output)


if __name__ == "__main__":
    main()
