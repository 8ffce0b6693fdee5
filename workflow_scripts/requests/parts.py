"""Write the requests of one prompt and task as batch-input parts."""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from ..config.trial import DecodingSettings
from ..core.block import Block
from ..core.chats import Chat, read_chat
from ..core.errors import UserError, command
from ..core.files import read_jsonl, read_settings, write_jsonl
from ..core.logs import log_to
from ..core.records import Message, Question, Request, TaskName, custom_id
from ..core.seals import SealWriter, seal_beside
from ..datasets.slices import cut, shuffled
from ..retrieval.retrieved import RetrievedFile, RetrievedOnDisk
from ..tasks.registry import TASKS, options_of
from ..tasks.task import Task

log = logging.getLogger(__name__)


class BuildSettings(Block):
    """What the requests of one task and temperature have in common.

    ``shuffle_seed``: puts the clusters in random order before they are cut, so that each part is
    a random sample of them; absent: items stay in their order. ``templates``: by data set, the
    file of the text around its items; the task's own text is used where there is no such file.
    ``options`` of the task, as far as they are not at their defaults.
    """

    task: TaskName
    temp: str
    samples_per_item: int
    decoding: DecodingSettings
    seed: int
    parts: list[str]
    templates: dict[str, str]
    shuffle_seed: int | None = None
    options: dict[str, Any] = Field(default_factory=dict)


def requests(
    questions: Iterable[Question],
    prompt: str,
    turns: Sequence[Message],
    templates: Mapping[str, str],
    settings: BuildSettings,
) -> Iterator[Request]:
    """The requests for ``questions`` under one prompt, sample by sample.

    Args:
        questions: of one task.
        prompt: the name that the requests carry.
        turns: what comes before an item: the system prompt, and examples.
        templates: the text around an item, by data set.
        settings: what they have in common.
    """
    task = TASKS[settings.task]
    options = options_of(settings.task, {settings.task: settings.options})
    for question in questions:
        chat = task.messages(question, templates[question.dataset], turns, options)
        schema = task.schema(question, options)
        for sample in range(settings.samples_per_item):
            yield Request(
                custom_id=custom_id(
                    question.dataset, question.id, prompt, settings.temp, sample, settings.task
                ),
                dataset=question.dataset,
                item_id=question.id,
                prompt=prompt,
                temp=settings.temp,
                sample_index=sample,
                type=settings.task,
                messages=chat,
                decoding=settings.decoding.request(
                    settings.task, settings.temp, _seed(settings, question, sample), schema
                ),
            )


def parts(
    questions: list[Question],
    prompt: str,
    system: Path,
    settings: BuildSettings,
    retrieved: Path | None = None,
) -> list[Iterator[Request]]:
    """Return the requests of each part.

    Args:
        questions: of one task.
        prompt: the name that the requests carry.
        system: the prompt's file.
        settings: what they have in common.
        retrieved: the file of their passages; without it, questions have theirs.

    Raises:
        UserError: the prompt, a template or the file cannot be used.
    """
    task = TASKS[settings.task]
    chat = read_chat(system)
    templates = {
        name: _template(task, name, path, chat, system) for name, path in settings.templates.items()
    }
    if settings.shuffle_seed is not None:
        questions = shuffled(questions, settings.shuffle_seed)
    slices: list[Iterable[Question]] = [*cut(questions, len(settings.parts))]
    if retrieved is not None:
        filled = filling(task, retrieved)
        slices = [map(filled, each) for each in slices]
    return [requests(each, prompt, chat.turns, templates, settings) for each in slices]


def filling(task: Task, retrieved: Path) -> Callable[[Question], Question]:
    """Return the function that gives a question its passages, which it reads one by one.

    The function raises a `UserError` where nothing was retrieved for a question.

    Raises:
        UserError: the file is not valid.
    """
    found = RetrievedOnDisk([RetrievedFile("", retrieved)])

    def filled(question: Question) -> Question:
        retrieval = found.get(("", question.key))
        if retrieval is None:
            raise UserError(
                f"{retrieved}: item {question.key!r} is missing; delete the file and run again"
            )
        given = [each for each in retrieval.passages if each.given]
        return task.with_passages(question, given)

    return filled


def _seed(settings: BuildSettings, question: Question, sample: int) -> int:
    """The seed of one sample: the same under every prompt; 0 where nothing is sampled."""
    if float(settings.temp) == 0:
        return 0
    name = f"{settings.seed}|{question.key}|{settings.temp}|{sample}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 1


def _template(task: Task, dataset: str, path: str, chat: Chat, prompt: Path) -> str:
    """Return the text around an item, the prompt's own or a template's, and say which it is."""
    if chat.template is not None:
        task.check_template(prompt, chat.template)
        text, file = chat.template, prompt.as_posix()
    else:
        text = task.read_template(Path(path))
        file = path if Path(path).is_file() else f"the own text of task {task.name}"
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    log.info("data set %s: the instruction is %s, SHA-256 %s", dataset, file, digest)
    return text


@command
def main() -> None:
    """Write one file per part: ``OUTPUT_STEM.p000.jsonl`` and so on."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--system", type=Path, required=True, help="the prompt's file")
    parser.add_argument("--prompt", required=True, help="the name that the requests carry")
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--retrieved", type=Path, nargs="?", help="retrievals of the questions")
    parser.add_argument(
        "--planned",
        type=Path,
        nargs="*",
        default=[],
        help="the parts that the plan counts in the place of these; only their content is sealed",
    )
    parser.add_argument("--output-stem", required=True)
    args = parser.parse_args()

    log_to(None)
    settings = read_settings(args.settings, BuildSettings)
    task = TASKS[settings.task]
    stem = Path(args.output_stem)
    read = [args.questions, *([args.retrieved] if args.retrieved else []), *args.planned]
    seal = SealWriter(seal_beside(stem, stem.name), read)
    questions = list(read_jsonl(args.questions, task.question))
    outputs = [Path(f"{args.output_stem}.p{part}.jsonl") for part in settings.parts]
    made = parts(questions, args.prompt, args.system, settings, args.retrieved)
    for output, of_part in zip(outputs, made, strict=True):
        write_jsonl(output, of_part)
    seal.seal(*outputs)


if __name__ == "__main__":
    main()
