"""How the items of a task are cut into parts, whether a model is asked or a file is read."""

from __future__ import annotations

import hashlib
from itertools import groupby
from typing import TypeVar

from ..core.records import Question

AnyQuestion = TypeVar("AnyQuestion", bound=Question)


def cut(questions: list[AnyQuestion], parts: int) -> list[list[AnyQuestion]]:
    """Cut each data set's items into ``parts`` contiguous slices; slice p of each is part p.

    Items keep their order, so questions on one passage stay together and share their prefix.
    With fewer items than parts, some parts are empty.
    """
    slices: list[list[AnyQuestion]] = [[] for _ in range(parts)]
    for _, group in groupby(questions, key=lambda each: each.dataset):
        of_dataset = list(group)
        for part in range(parts):
            start = part * len(of_dataset) // parts
            stop = (part + 1) * len(of_dataset) // parts
            slices[part] += of_dataset[start:stop]
    return slices


def shuffled(questions: list[AnyQuestion], seed: int) -> list[AnyQuestion]:
    """Each data set's clusters in an order that the seed decides; a cluster stays together.

    A cluster's place depends on its own name alone, so other items do not change it.
    """

    def place(question: AnyQuestion) -> tuple[str, bytes]:
        name = f"{seed}|{question.dataset}|{question.cluster_id}"
        return question.dataset, hashlib.sha256(name.encode()).digest()

    return sorted(questions, key=place)
