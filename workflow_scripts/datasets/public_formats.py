"""Readers of published data sets: SQuAD 2.0, NQ-open and TriviaQA, in their official files."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator

from pydantic import Field

from ..core.values import ItemId, Text
from ..tasks.task import Task
from .checks import (
    Located,
    PublicRecord,
    distinct,
    make_item,
    read_document,
    read_lines,
)
from .formats import DataFormat
from .source import Source


class _SquadAnswer(PublicRecord):
    text: Text


class _SquadQuestion(PublicRecord):
    id: ItemId
    question: Text
    answers: list[_SquadAnswer]
    is_impossible: bool = False  # absent in SQuAD 1.1, where every question has an answer


class _SquadParagraph(PublicRecord):
    context: Text
    qas: list[_SquadQuestion]


class _SquadArticle(PublicRecord):
    title: Text
    paragraphs: list[_SquadParagraph]


class _SquadFile(PublicRecord):
    data: list[_SquadArticle]


def read_squad_v2(source: Source, task: Task) -> Iterator[Located]:
    """Yield the questions of a SQuAD 2.0 (or 1.1) file.

    The questions about one passage form a cluster, named by the article's title and the number of
    the passage in it.
    """
    document = read_document(source, _SquadFile)
    passages_seen: Counter[str] = Counter()
    for a, article in enumerate(document.data):
        title = re.sub(r"[\s|]+", "_", article.title.strip())
        for p, paragraph in enumerate(article.paragraphs):
            # Counted by title, because nothing forbids two articles of the same title.
            cluster_id = f"{title}-{passages_seen[title]}"
            passages_seen[title] += 1
            for q, question in enumerate(paragraph.qas):
                place = f"data[{a}].paragraphs[{p}].qas[{q}]"
                item = make_item(
                    source,
                    place,
                    task,
                    id=question.id,
                    question=question.question,
                    answers=distinct(answer.text for answer in question.answers),
                    context=paragraph.context,
                    is_unanswerable=question.is_impossible,
                    cluster_id=cluster_id,
                )
                yield place, item


class _NqOpenLine(PublicRecord):
    question: Text
    answer: list[Text]


def read_nq_open(source: Source, task: Task) -> Iterator[Located]:
    """Yield the questions of an NQ-open file.

    The file has no ids. A digest of the question serves: unlike a line number it stays the same
    when lines are added, removed or reordered, so a sample stays the same too. Should a question
    occur again, its later items get a number, and all of them form one cluster.
    """
    occurrences: Counter[str] = Counter()
    for place, line in read_lines(source, _NqOpenLine):
        cluster_id = f"nq-{hashlib.sha256(line.question.encode()).hexdigest()[:16]}"
        occurrences[cluster_id] += 1
        count = occurrences[cluster_id]
        item = make_item(
            source,
            place,
            task,
            id=cluster_id if count == 1 else f"{cluster_id}-{count}",
            question=line.question,
            answers=distinct(line.answer),
            cluster_id=cluster_id,
        )
        yield place, item


class _TriviaAnswer(PublicRecord):
    value: Text = Field(alias="Value")
    aliases: list[str] = Field([], alias="Aliases")
    human_answers: list[str] = Field([], alias="HumanAnswers")


class _TriviaQuestion(PublicRecord):
    id: ItemId = Field(alias="QuestionId")
    question: Text = Field(alias="Question")
    answer: _TriviaAnswer = Field(alias="Answer")


class _TriviaFile(PublicRecord):
    data: list[_TriviaQuestion] = Field(alias="Data")


def read_triviaqa(source: Source, task: Task) -> Iterator[Located]:
    """Yield the questions of a TriviaQA file (rc or unfiltered), without their evidence.

    Gold answers are the value, its aliases and, in the verified subsets, the annotators' answers.
    A blank alias is left out: it would count an empty response as right.
    """
    for number, record in enumerate(read_document(source, _TriviaFile).data):
        place = f"Data[{number}]"
        answer = record.answer
        spellings = [answer.value, *answer.aliases, *answer.human_answers]
        item = make_item(
            source,
            place,
            task,
            id=record.id,
            question=record.question,
            answers=distinct(spelling for spelling in spellings if spelling.strip()),
            cluster_id=record.id,
        )
        yield place, item


SQUAD_V2 = DataFormat(
    name="squad_v2",
    description="SQuAD 2.0 or 1.1",
    read=read_squad_v2,
    task="open_book",
    evaluation="squad_v2",
)
NQ_OPEN = DataFormat(
    name="nq_open",
    description="Natural Questions Open",
    read=read_nq_open,
    task="closed_book",
    evaluation="nq_open",
)
TRIVIAQA = DataFormat(
    name="triviaqa",
    description="TriviaQA, without its evidence",
    read=read_triviaqa,
    task="closed_book",
    evaluation="triviaqa",
)
