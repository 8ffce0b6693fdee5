"""Write the items of one task, from one or more data sets, and their questions apart.

    python -m workflow_scripts.datasets.items --task open_book --settings settings.json \
        --source squad=dev-v2.0.json --output items.jsonl --questions questions.jsonl

Requests are made from the questions, scores from the items: a changed gold answer sends nothing.
Data sets follow each other in the settings' order, the items of each in their file's order.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from pydantic import Field

from ..core.block import Block
from ..core.errors import UserError, command
from ..core.files import read_settings, write_jsonl
from ..core.logs import log_to
from ..core.records import Item
from ..core.seals import SealWriter, seal_beside
from ..core.values import Name
from ..tasks.registry import TASKS
from ..tasks.task import Task
from .checks import warn_of_control_tokens
from .formats import FORMATS
from .sampling import sample
from .settings import FormatName
from .source import Source

LOG = logging.getLogger(__name__)


class DatasetSettings(Block):
    """How one data set is read."""

    format: FormatName
    limit: int | None = Field(None, ge=1, description="Items to sample; None is all.")
    member: str | None = Field(None, description="The file inside, when the source is an archive.")
    columns: dict[str, str] = Field(default_factory=dict, exclude_if=lambda columns: not columns)


class PrepareSettings(Block):
    """The data sets of one task, in the order in which they are written."""

    datasets: dict[Name, DatasetSettings] = Field(min_length=1)
    sample_seed: int = 0


def read_items(source: Source, file_format: str, task: Task) -> list[Item]:
    """Read all items of a data set; a repeated id is an error that names both places."""
    data_format = FORMATS[file_format]
    if data_format.task not in (None, task.name):
        raise UserError(
            f"data set '{source.dataset}': format '{file_format}' is always task "
            f"'{data_format.task}', not '{task.name}'"
        )
    places: dict[str, str] = {}
    items = []
    for place, item in data_format.read(source, task):
        if item.id in places:
            raise source.error(
                place, f"the id '{item.id}' was used before, at {places[item.id]}; make it unique"
            )
        places[item.id] = place
        items.append(item)
    if not items:
        raise UserError(f"{source}: there are no items in data set '{source.dataset}'")
    return items


def prepare(task: Task, settings: PrepareSettings, files: dict[str, Path]) -> list[Item]:
    """Read and sample the items of ``task`` from ``files`` (data set -> file)."""
    if files.keys() != settings.datasets.keys():
        raise UserError(
            f"--source gives {sorted(files)}, but the settings name {sorted(settings.datasets)}"
        )
    prepared = []
    for name, dataset in settings.datasets.items():
        source = Source(name, files[name], dataset.member, columns=dataset.columns)
        items = read_items(source, dataset.format, task)
        chosen = sample(items, dataset.limit, settings.sample_seed)
        LOG.info("%s: %d of %d items from %s", name, len(chosen), len(items), source)
        warn_of_control_tokens(source, task, chosen)
        prepared += chosen
    return prepared


def _named_files(arguments: list[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not (name and equals and path):
            raise UserError(f"--source {argument}: write NAME=FILE")
        if name in files:
            raise UserError(f"--source {argument}: there is another file for '{name}'")
        files[name] = Path(path)
    return files


@command
def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Write the items of one task.")
    parser.add_argument("--task", choices=list(TASKS), required=True)
    parser.add_argument("--settings", type=Path, required=True, help="JSON file: PrepareSettings.")
    parser.add_argument(
        "--source",
        action="extend",
        nargs="+",
        required=True,
        metavar="NAME=FILE",
        help="Each data set with its file (plain, gzipped or an archive).",
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON Lines of items.")
    parser.add_argument(
        "--questions", type=Path, required=True, help="JSON Lines of the items without answers."
    )
    arguments = parser.parse_args()
    log_to(None)
    settings = read_settings(arguments.settings, PrepareSettings)
    task = TASKS[arguments.task]
    items = prepare(task, settings, _named_files(arguments.source))
    write_jsonl(arguments.output, items)
    write_jsonl(arguments.questions, (task.questions_of(item) for item in items))
    for written in (arguments.output, arguments.questions):
        SealWriter(seal_beside(written, arguments.task), []).seal(written)


if __name__ == "__main__":
    main()
