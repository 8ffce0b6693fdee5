"""Write the requests of one prompt and task as batch-input parts."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from ..config.prompts import read_prompt
from ..config.schema import Block, DecodingSettings
from ..errors import command
from ..files import read_jsonl, read_settings, write_jsonl
from ..records import Item, Request, Task, custom_id
from ..seals import SealWriter, seal_beside
from .template import messages


class BuildSettings(Block):
    """What the requests of one task and temperature have in common.

    ``shuffle_seed``: puts the clusters in random order before they are cut, so that each part is
    a random sample of them; absent: items stay in their order.
    """

    task: Task
    temp: str
    samples_per_item: int
    decoding: DecodingSettings
    seed: int
    parts: list[str]
    shuffle_seed: int | None = None


def requests(
    items: list[Item], prompt: str, system: str, template: str, settings: BuildSettings
) -> Iterator[Request]:
    """The requests for ``items`` under one system prompt, sample by sample."""
    for item in items:
        chat = messages(item, template, system)
        for sample in range(settings.samples_per_item):
            yield Request(
                custom_id=custom_id(
                    item.dataset, item.id, prompt, settings.temp, sample, settings.task
                ),
                dataset=item.dataset,
                item_id=item.id,
                prompt=prompt,
                temp=settings.temp,
                sample_index=sample,
                type=settings.task,
                messages=chat,
                decoding=settings.decoding.request(
                    settings.task, settings.temp, _seed(settings, item, sample)
                ),
            )


def cut(items: list[Item], parts: int) -> list[list[Item]]:
    """Cut each data set's items into ``parts`` contiguous slices; slice p of each is part p.

    Items keep their order, so questions on one passage stay together and share their prefix.
    With fewer items than parts, some parts are empty.
    """
    slices: list[list[Item]] = [[] for _ in range(parts)]
    for _, group in groupby(items, key=lambda item: item.dataset):
        of_dataset = list(group)
        for part in range(parts):
            start = part * len(of_dataset) // parts
            stop = (part + 1) * len(of_dataset) // parts
            slices[part] += of_dataset[start:stop]
    return slices


def shuffled(items: list[Item], seed: int) -> list[Item]:
    """Each data set's clusters in an order that the seed decides; a cluster stays together.

    A cluster's place depends on its own name alone, so other items do not change it.
    """

    def place(item: Item) -> tuple[str, bytes]:
        name = f"{seed}|{item.dataset}|{item.cluster_id}"
        return item.dataset, hashlib.sha256(name.encode()).digest()

    return sorted(items, key=place)


def _seed(settings: BuildSettings, item: Item, sample: int) -> int:
    """The seed of one sample: the same under every prompt; 0 where nothing is sampled."""
    if float(settings.temp) == 0:
        return 0
    name = f"{settings.seed}|{item.key}|{settings.temp}|{sample}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 1


@command
def main() -> None:
    """Write one file per part: ``OUTPUT_STEM.p000.jsonl`` and so on."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--system", type=Path, required=True, help="the system prompt's file")
    parser.add_argument("--template", type=Path, required=True, help="the task's instruction")
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--output-stem", required=True)
    args = parser.parse_args()

    settings = read_settings(args.settings, BuildSettings)
    stem = Path(args.output_stem)
    seal = SealWriter(seal_beside(stem, stem.name), [args.items])
    items = list(read_jsonl(args.items, Item))
    system, template = read_prompt(args.system), read_prompt(args.template)
    if settings.shuffle_seed is not None:
        items = shuffled(items, settings.shuffle_seed)
    slices = cut(items, len(settings.parts))
    outputs = [Path(f"{args.output_stem}.p{part}.jsonl") for part in settings.parts]
    for output, of_part in zip(outputs, slices, strict=True):
        write_jsonl(output, requests(of_part, args.system.stem, system, template, settings))
    seal.seal(*outputs)


if __name__ == "__main__":
    main()
