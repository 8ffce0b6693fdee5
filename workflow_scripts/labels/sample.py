"""Draw the responses that people label: a key file, and a page that is blind to the arms.

    python -m workflow_scripts.labels.sample --answers answers.csv --outcomes outcomes.csv \
        --items items/open_book.jsonl --disagree COLUMN COLUMN --size 100 \
        --key labels/pilot.key.csv --page labels/pilot.html

Both arms of each drawn item are labelled. The same arguments give the same files.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config.trials import Trial
from ..core.errors import UserError, command
from ..core.files import read_csv, read_settings, write_csv, write_text
from ..core.prompts import CONTROL
from ..core.records import Answer, Item, SampleOutcome
from ..stats.intervals import mean_difference
from ..stats.label_design import LabelDesign
from ..tasks.items import read_items
from ..tasks.registry import TASKS
from ..tasks.score_tables import read_outcomes
from .drawing import draw
from .keys import KeyRow, sample_digest
from .page import Shown, label_page
from .records import response_digest

CORRECT = {"correct", "rightly_abstained"}
"""Outcomes that count as correct when the differences between arms are guessed beforehand."""

SIZES = (25, 50, 100, 200, 400, 800)
CORRELATIONS = (0.0, 0.6, 0.9)
"""Of a judge's difference with the true one, before anybody knows it: none, fair and good."""

SUFFIX = ".key.csv"


@dataclass(frozen=True)
class Unit:
    """An item that both arms answered: its responses under the two conditions."""

    item_key: str
    responses: tuple[Answer, Answer]

    @property
    def task(self) -> str:
        """The name of its task."""
        return self.responses[0].type


def units_of(
    answers: Iterable[Answer], conditions: Sequence[str], temp: float | None
) -> list[Unit]:
    """Return the items that both conditions answered, sorted by task and key.

    Of several samples all are returned, one unit each. Items with a failed request are left out.

    Raises:
        UserError: there are none, or several temperatures and no choice.
    """
    rows = [row for row in answers if row.condition in conditions and not row.failed]
    temps = sorted({row.temp for row in rows})
    if temp is None and len(temps) > 1:
        raise UserError(f"the answers have the temperatures {temps}; choose one with --temp")
    found: dict[tuple[str, str, int], dict[str, Answer]] = defaultdict(dict)
    for row in rows:
        if temp in (None, float(row.temp)):
            found[row.type, row.item_key, row.sample_index][row.condition] = row
    one, other = conditions
    units = [
        Unit(key, (arms[one], arms[other]))
        for (_, key, _), arms in sorted(found.items())
        if len(arms) == 2
    ]
    if not units:
        raise UserError(
            f"no item has an answer under both {one!r} and {other!r}"
            + (f" at temperature {temp}" if temp is not None else "")
        )
    return units


def one_sample_each(units: Sequence[Unit], seed: int) -> list[Unit]:
    """Return one unit per task and item: of several samples a random one."""
    by_item: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    for unit in units:
        by_item[unit.task, unit.item_key].append(unit)
    rng = np.random.default_rng([seed, 1])
    return [samples[int(rng.integers(len(samples)))] for samples in by_item.values()]


def differing(
    units: Sequence[Unit], outcomes: Mapping[str, SampleOutcome], columns: Sequence[str]
) -> list[bool]:
    """Return for each unit whether two verdict columns differ under one of the arms.

    Raises:
        UserError: a column is not in outcomes.csv.
    """
    known = {name for row in outcomes.values() for name in type(row).model_fields}
    for column in columns:
        if column not in known:
            raise UserError(f"--disagree {column}: outcomes.csv has no such column")
    first, second = columns

    def differ(answer: Answer) -> bool:
        row = outcomes.get(answer.custom_id)
        return row is not None and row.column(first) != row.column(second)

    return [any(map(differ, unit.responses)) for unit in units]


def key_and_page(
    units: Sequence[Unit],
    strata: Sequence[bool],
    items: Mapping[str, Item],
    arms: Mapping[str, str],
    *,
    size: int,
    share: float,
    seed: int,
) -> tuple[list[KeyRow], list[Shown]]:
    """Draw the sample: the rows of its key file, and the responses in the page's order.

    The responses of an item follow each other, in random order, so that its passage is read once.
    ``arms``: names of conditions; one without a name is called by itself.

    Raises:
        UserError: an item is not in the item files.
    """
    rng = np.random.default_rng([seed, 2])
    rows: list[KeyRow] = []
    shown: list[Shown] = []
    for drawn in draw(strata, size, share, seed):
        unit = units[drawn.unit]
        item = items.get(unit.item_key)
        if item is None:
            raise UserError(f"item {unit.item_key!r} is not in the item files; give all of them")
        texts: dict[str, str] = {}
        for place in rng.permutation(2):
            answer = unit.responses[int(place)]
            if answer.response_text not in texts:
                texts[answer.response_text] = f"r{len(shown) + 1:04d}"
                shown.append(_shown(texts[answer.response_text], answer, item))
            rows.append(
                KeyRow(
                    id=texts[answer.response_text],
                    dataset=answer.dataset,
                    item_id=answer.item_id,
                    arm=arms.get(answer.condition, answer.condition),
                    type=answer.type,
                    temp=answer.temp,
                    sample_index=answer.sample_index,
                    response_sha256=response_digest(answer.response_text),
                    probability=drawn.probability,
                    stratum="differing" if strata[drawn.unit] else "other",
                )
            )
    return rows, shown


def _shown(opaque: str, answer: Answer, item: Item) -> Shown:
    task = TASKS[answer.type]
    texts = task.shown(item)
    return Shown(
        id=opaque,
        dataset=answer.dataset,
        question=texts["question"],
        answers=texts["answers"],
        answers_label=task.answers_label,
        no_answers=task.no_answers,
        context=texts["context"],
        context_label=task.context_label,
        response=answer.response_text,
    )


def width_table(
    units: Sequence[Unit],
    outcomes: Mapping[str, SampleOutcome],
    items: Mapping[str, Item],
    confidence: float,
) -> str:
    """Return a table: labelled items, and the half-width of the difference's interval in points.

    ``units`` are of one task: each task has a difference of its own. The spread of the differences
    is that of the scores at hand; without them, that of arms that differ on a quarter of items.
    """
    differences, names = [], []
    for unit in units:
        pair = [outcomes.get(answer.custom_id) for answer in unit.responses]
        if pair[0] is not None and pair[1] is not None:
            differences.append(
                float(pair[1].outcome in CORRECT) - float(pair[0].outcome in CORRECT)
            )
            item = items[unit.item_key]
            names.append(f"{item.dataset}|{item.cluster_id}")
    deviation, effect = 0.5, 1.0
    if len(differences) > 1 and any(differences):
        clusters = np.unique(names, return_inverse=True)[1].astype(np.int64)
        mean = mean_difference(np.array(differences), clusters)
        deviation = math.sqrt(float(np.var(differences, ddof=1)))
        effect = max(1.0, mean.design_effect or 1.0)
    sizes = [size for size in SIZES if size < len(units)] + [len(units)]
    lines = [
        f"{TASKS[units[0].task].label}: half-width of the {confidence:.0%} interval of the "
        "difference, in points",
        "items labelled   " + "   ".join(("no judge", "fair judge", "good judge")),
    ]
    for size in sizes:
        widths = (
            LabelDesign.assumed(deviation, each, len(units), effect).half_width(size, confidence)
            for each in CORRELATIONS
        )
        cells = (f"{100 * width:>{n}.1f}" for width, n in zip(widths, (8, 12, 12), strict=True))
        lines.append(f"{size:>14}   {' '.join(cells)}")
    return "\n".join(lines)


@command
def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Draw the responses that people label.")
    parser.add_argument("--answers", type=Path, required=True, help="answers.csv of a trial")
    parser.add_argument("--outcomes", type=Path, help="outcomes.csv: the verdicts at hand")
    parser.add_argument("--trial", type=Path, help="the trial's settings: labels name its arms")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument(
        "--conditions", nargs=2, default=[CONTROL, "treatment"], metavar="CONDITION",
        help="the two arms to compare",
    )  # fmt: skip
    parser.add_argument("--temp", type=float, help="temperature, if there are several")
    parser.add_argument("--size", type=int, default=100, help="items to label, both arms of each")
    parser.add_argument(
        "--disagree", nargs=2, metavar="COLUMN",
        help="columns of outcomes.csv; items on which they differ are drawn more often",
    )  # fmt: skip
    parser.add_argument(
        "--share", type=float, default=0.5, help="share of the sample that is drawn from these"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--key", type=Path, required=True, help=f"NAME{SUFFIX}: keep it secret")
    parser.add_argument("--page", type=Path, required=True, help="the page for the labellers")
    arguments = parser.parse_args()

    if arguments.size < 1 or not 0 <= arguments.share <= 1:
        raise UserError("--size must be at least 1, and --share from 0 to 1")
    if not arguments.key.name.endswith(SUFFIX):
        raise UserError(f"--key {arguments.key}: the name must end in {SUFFIX}")
    if arguments.disagree and arguments.outcomes is None:
        raise UserError("--disagree needs --outcomes")
    items = read_items(arguments.items)
    tasks = {path.stem for path in arguments.items}
    asked = (row for row in read_csv(arguments.answers, Answer) if row.type in tasks)
    units = units_of(asked, arguments.conditions, arguments.temp)
    units = one_sample_each(units, arguments.seed)
    outcomes = (
        {row.custom_id: row for row in read_outcomes(arguments.outcomes)}
        if arguments.outcomes
        else {}
    )
    strata = [False] * len(units)
    if arguments.disagree:
        strata = differing(units, outcomes, arguments.disagree)
    trial = read_settings(arguments.trial, Trial) if arguments.trial else None
    arms = {condition: arm.name for condition, arm in trial.arms.items()} if trial else {}
    rows, shown = key_and_page(
        units, strata, items, arms, size=arguments.size, share=arguments.share, seed=arguments.seed
    )
    name = arguments.key.name.removesuffix(SUFFIX)
    write_csv(arguments.key, KeyRow, rows)
    write_text(arguments.page, label_page(name, sample_digest(rows), shown))
    for task in sorted(tasks):
        if of_task := [unit for unit in units if unit.task == task]:
            print(width_table(of_task, outcomes, items, arguments.confidence), end="\n\n")
    n_items = len({(row.type, row.dataset, row.item_id) for row in rows})
    print(
        f"{arguments.page}: {len(shown)} responses to {n_items} items. "
        f"Keep {arguments.key} from the labellers: it says which arm gave which response."
    )


if __name__ == "__main__":
    main()
