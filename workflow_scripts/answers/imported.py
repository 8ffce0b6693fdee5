"""Make the raw parts of an arm whose answers were made elsewhere, from the file that holds them.

Run as ``python -m workflow_scripts.answers.imported --answers FILE --items … --settings …``. Nobody
is asked. A raw line's ``request_id`` says where in the file its answer is. In the place of
requests there are lines that name the item and the sample alone: what was sent is not known.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.block import Block
from ..core.errors import UserError, command
from ..core.files import atomic_writer, read_settings
from ..core.logs import log_to
from ..core.recorded import AnswersFile, RecordedAnswer
from ..core.records import (
    NOT_IN_FILE,
    Completion,
    Failure,
    Item,
    RawLine,
    RequestMeta,
    TaskName,
    Usage,
    custom_id,
)
from ..core.seals import SealWriter, seal_beside
from ..datasets.answer_formats import ANSWER_FORMATS, read_answers
from ..datasets.slices import cut, shuffled
from ..tasks.items import each_item
from ..tasks.registry import TASKS

log = logging.getLogger(__name__)

_NAMED_AT_MOST = 5

ItemsByTask = Mapping[str, Sequence[Item]]


class ImportSettings(Block):
    """Whose answers are read: those of one arm to the items of one task.

    ``parts`` and ``shuffle_seed`` cut the items as those of the arms that are asked.
    """

    arm: str
    task: TaskName
    temp: str
    parts: list[str]
    file: AnswersFile
    shuffle_seed: int | None = None


@dataclass
class Matched:
    """The answers of a file by the key of their item.

    ``unknown``: answers to items that no data set has, such as items that were not sampled.
    """

    answers: dict[str, list[RecordedAnswer]] = field(default_factory=dict)
    unknown: list[RecordedAnswer] = field(default_factory=list)


class Items:
    """Finds the item that an answer of a file belongs to."""

    def __init__(self, items: ItemsByTask, file: AnswersFile) -> None:
        self._file = file
        # Many tools number their records, so that one's id 1 is another's 2.
        self._users_ids = ANSWER_FORMATS[file.format].has_columns
        self._question: dict[str, str] = {}
        self._by_id: dict[str, list[str]] = defaultdict(list)
        self._by_question: dict[str, list[str]] = defaultdict(list)
        for task, of_task in items.items():
            for item in of_task:
                question = _plain(TASKS[task].shown(item)["question"])
                self._question[item.key] = question
                self._by_id[item.id].append(item.key)
                self._by_question[question].append(item.key)

    @property
    def examples(self) -> list[str]:
        """The ids of a few items."""
        return list(itertools.islice(self._by_id, _NAMED_AT_MOST))

    def key(self, answer: RecordedAnswer) -> str | None:
        """Return the key of the item that was answered; ``None`` if there is no such item.

        Raises:
            UserError: several items could be meant, or the answer is to another question.
        """
        found = self._by_id.get(answer.item_id or "", [])
        if answer.item_id in self._question:  # the key that Assay's own logs name an item by
            found = [answer.item_id]
        if answer.dataset is not None:
            found = [key for key in found if key == f"{answer.dataset}|{answer.item_id}"]
        if not self._users_ids:
            found = [key for key in found if self._fits(answer, key)]
        if not found and answer.question is not None:
            found = self._by_question.get(_plain(answer.question), [])
            if answer.dataset is not None:
                found = [key for key in found if key.startswith(f"{answer.dataset}|")]
        if len(found) > 1:
            raise self._error(
                answer,
                f"{len(found)} items have this {'question' if not answer.item_id else 'id'} "
                f"({', '.join(found[:_NAMED_AT_MOST])}); add a column 'dataset' or 'item_id' that "
                "says which",
            )
        if not found:
            return None
        self._check_question(answer, found[0])
        return found[0]

    def _fits(self, answer: RecordedAnswer, key: str) -> bool:
        """Whether an answer is to an item's question, which a prompt may surround."""
        asked, known = _plain(answer.question or ""), self._question[key]
        return not asked or known in asked or asked in known

    def _check_question(self, answer: RecordedAnswer, key: str) -> None:
        if not self._fits(answer, key):
            asked, known = _plain(answer.question or ""), self._question[key]
            raise self._error(
                answer,
                f"item {key!r} has another question in the data set ({known[:60]!r}) than here "
                f"({asked[:60]!r}), so its id is another one's; use the data set's ids, or leave "
                "them out to have answers found by their questions",
            )

    def _error(self, answer: RecordedAnswer, problem: str) -> UserError:
        return UserError(f"{self._file.path}, {answer.place}: {problem}")


def _plain(text: str) -> str:
    return " ".join(text.split())


def match(found: Sequence[RecordedAnswer], items: ItemsByTask, file: AnswersFile) -> Matched:
    """Find the item of each answer of a file.

    Raises:
        UserError: an answer fits several items or another question, two answers have the same
            sample of an item, or no answer fits any item.
    """
    known = Items(items, file)
    matched = Matched()
    for answer in found:
        key = known.key(answer)
        if key is None:
            matched.unknown.append(answer)
        else:
            matched.answers.setdefault(key, []).append(answer)
    if not matched.answers:
        theirs = [each.item_id or each.question or "" for each in found[:_NAMED_AT_MOST]]
        raise UserError(
            f"{file.path}: none of its {len(found):,} answers is to an item of the data sets. It "
            f"has the items {theirs}, the data sets have {known.examples}. Use the same ids "
            "or questions"
        )
    for key, answers in matched.answers.items():
        _check_samples(key, answers, file)
    return matched


def _check_samples(key: str, answers: list[RecordedAnswer], file: AnswersFile) -> None:
    """Sort the answers to one item by sample, of which each must be there once."""
    if len(answers) == 1:
        return
    places: dict[int, str] = {}
    for answer in answers:
        sample = answer.sample_index or 0
        if sample in places:
            told = "" if answer.sample_index is None else f", sample {sample},"
            raise UserError(
                f"{file.path}, {answer.place}: item {key!r}{told} was answered before, at "
                f"{places[sample]}. Number several answers to one item in a column 'sample_index' "
                "(0, 1, 2 …), or choose the answers of one model with 'where'"
            )
        places[sample] = answer.place
    answers.sort(key=lambda answer: answer.sample_index or 0)


def completion(answer: RecordedAnswer, file: AnswersFile) -> Completion | None:
    """Return an answer of a file as every backend's; ``None`` where the file holds an error."""
    if answer.response_text is None:
        return None
    counted, total = (answer.prompt_tokens, answer.completion_tokens), answer.total_tokens
    if total is None and None not in counted:
        total = sum(each or 0 for each in counted)
    return Completion(
        response_text=answer.response_text,
        finish_reason=answer.finish_reason,
        request_id=answer.place,
        usage=Usage(
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            total_tokens=total,
            cached_tokens=answer.cached_tokens,
            cache_write_tokens=answer.cache_write_tokens,
        ),
        latency_s=answer.latency_s,
        served_by={"file": file.shown},
    )


def digest_of(meta: RequestMeta) -> str:
    """Return the digest that identifies an imported answer, in place of a request's."""
    return hashlib.sha256(f"imported\n{meta.custom_id}".encode()).hexdigest()


def lines(
    items: Iterable[Item], answers: Mapping[str, Sequence[RecordedAnswer]], settings: ImportSettings
) -> Iterator[tuple[RequestMeta, RawLine]]:
    """Yield what stands for a request, and its raw line, for each answer to these items.

    An item that the file does not have gets one line with an error.
    """
    for item in items:
        for answer in answers.get(item.key, (None,)):
            sample = 0 if answer is None else answer.sample_index or 0
            # Both lines are made of checked items and answers; to check them again takes the time.
            meta = RequestMeta.model_construct(
                custom_id=custom_id(
                    item.dataset, item.id, settings.arm, settings.temp, sample, settings.task
                ),
                dataset=item.dataset,
                item_id=item.id,
                prompt=settings.arm,
                temp=settings.temp,
                sample_index=sample,
                type=settings.task,
            )
            yield meta, _raw_line(meta, answer, settings.file)


def _raw_line(meta: RequestMeta, answer: RecordedAnswer | None, file: AnswersFile) -> RawLine:
    digest, echoed = digest_of(meta), dict(meta)
    given = None if answer is None else completion(answer, file)
    if given is None:
        failure = Failure(type=NOT_IN_FILE, message=f"{file.shown} has no answer to this item")
        if answer is not None:
            message = f"{file.shown}, {answer.place}: {answer.error or 'no answer'}"
            failure = Failure(type="FailedElsewhere", message=message)
        return RawLine.model_construct(**echoed, request_digest=digest, error=failure)
    return RawLine.model_construct(
        **echoed, request_digest=digest, answer_checksum=given.checksum(digest), **dict(given)
    )


def _report(found: Matched, items: Sequence[Item], settings: ImportSettings) -> None:
    """Say in the log what was found, and what was not."""
    missing = [item.key for item in items if item.key not in found.answers]
    file = settings.file.path
    log.info(
        "%s: %d of %d %s items have answers in %s",
        settings.arm, len(items) - len(missing), len(items), settings.task, file,
    )  # fmt: skip
    for what, named in (
        ("items have no answer", missing),
        ("answers are to items that no data set has", [each.place for each in found.unknown]),
    ):
        if named:
            shown = ", ".join(named[:_NAMED_AT_MOST])
            log.warning("%s: %d %s: %s …", file, len(named), what, shown)


def write_parts(
    items: Sequence[Item],
    answers: Mapping[str, Sequence[RecordedAnswer]],
    settings: ImportSettings,
    requests: Path,
    raw: Path,
) -> None:
    """Write the parts of both folders, and their seals."""
    stem = f"{settings.task}.{settings.arm}.t{settings.temp}"
    ordered = list(items)
    if settings.shuffle_seed is not None:
        ordered = shuffled(ordered, settings.shuffle_seed)
    names = [f"{stem}.p{part}.jsonl" for part in settings.parts]
    for name, of_part in zip(names, cut(ordered, len(names)), strict=True):
        with atomic_writer(requests / name) as asked, atomic_writer(raw / name) as given:
            for meta, line in lines(of_part, answers, settings):
                asked.write(meta.model_dump_json(exclude_none=True) + "\n")
                given.write(line.model_dump_json(exclude_none=True) + "\n")
    for folder, inputs in ((requests, []), (raw, [requests / name for name in names])):
        SealWriter(seal_beside(folder / stem, stem), inputs).seal(
            *(folder / each for each in names)
        )


@command
def main() -> None:
    """Write the parts of an arm from its file of answers."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--answers", type=Path, required=True, help="the file of answers")
    parser.add_argument("--items", type=Path, nargs="+", required=True, help="of all tasks")
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--requests", type=Path, required=True, help="folder for what was asked")
    parser.add_argument("--raw", type=Path, required=True, help="folder for the raw parts")
    args = parser.parse_args()

    log_to(None)
    settings = read_settings(args.settings, ImportSettings)
    items = {path.stem: list(each_item([path])) for path in args.items}
    found = read_answers(settings.file, str(args.answers), settings.arm)
    matched = match(found, items, settings.file)
    _report(matched, items[settings.task], settings)
    write_parts(items[settings.task], matched.answers, settings, args.requests, args.raw)


if __name__ == "__main__":
    main()
