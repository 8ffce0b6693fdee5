"""Draw the responses that people label: of each trial a key file, and a page blind to the arms.

    python -m workflow_scripts.labels.sample --settings results/demo/settings/label-….json

All arms of each drawn item are labelled. The sample follows from the settings, the scores and the
responses. A sample that was drawn before is never replaced, because somebody may be labelling it. A
larger one that begins with it extends it.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import UserError, command
from ..core.files import read_csv, read_settings, write_csv, write_text
from ..core.logs import log_to
from ..core.metric import Metric
from ..core.records import Answer, Item
from ..core.wording import counted
from ..tasks.given import Given
from ..tasks.items import read_items
from ..tasks.registry import TASKS
from ..tasks.score_tables import MetricsFile, read_outcomes
from .drawing import draw
from .keys import KeyRow, is_beginning, read_key, sample_digest
from .page import Shown, label_page
from .passages import pooled
from .records import response_digest
from .settings import LabelledTrial, LabelSettings
from .units import Unit, differing, one_sample_each, units_of
from .widths import width_table

log = logging.getLogger(__name__)


def key_of(
    units: Sequence[Unit],
    strata: Sequence[bool],
    trial: LabelledTrial,
    *,
    size: int,
    share: float,
    seed: int,
) -> list[KeyRow]:
    """Draw the sample: the rows of its key file, in the order of the page.

    The responses of an item follow each other, in random order, so that its passage is read once.
    """
    rng = np.random.default_rng([seed, 2])
    rows: list[KeyRow] = []
    n_ids = 0
    for drawn in draw(strata, size, share, seed):
        unit = units[drawn.unit]
        ids: dict[str, str] = {}
        for place in rng.permutation(len(unit.responses)):
            answer = unit.responses[int(place)]
            if answer.response_text not in ids:
                n_ids += 1
                ids[answer.response_text] = f"r{n_ids:04d}"
            rows.append(
                KeyRow(
                    id=ids[answer.response_text],
                    trial=trial.name,
                    dataset=answer.dataset,
                    item_id=answer.item_id,
                    arm=trial.arms[answer.condition],
                    type=answer.type,
                    temp=answer.temp,
                    sample_index=answer.sample_index,
                    response_sha256=response_digest(answer.response_text),
                    probability=drawn.probability,
                    stratum="differing" if strata[drawn.unit] else "other",
                )
            )
    return rows


def differing_columns(metrics: Iterable[Metric], judges: Sequence[str]) -> list[str]:
    """Return two ways to decide correctness, of which labels say most where they differ.

    The first judge beside the most lenient way without a judge; without judges the strictest and
    the most lenient one. Tasks declare theirs from strict to lenient. Fewer than two: none.
    """
    levels = [each.name for each in metrics if each.level]
    without_judge = [each for each in levels if each not in judges]
    first = [each for each in judges if each in levels][:1] or without_judge[:1]
    pair = dict.fromkeys([*first, *without_judge[-1:]])
    return list(pair) if len(pair) == 2 else []


class Responses:
    """A trial's responses, by what a key file says of them."""

    def __init__(self, answers: Iterable[Answer], trial: LabelledTrial) -> None:
        self._found = {
            (row.type, row.item_key, trial.arms[row.condition], row.temp, row.sample_index): row
            for row in answers
            if row.condition in trial.arms and not row.failed
        }

    def of(self, row: KeyRow) -> Answer | None:
        """The response of a row, if it is still the one that was drawn."""
        key = f"{row.dataset}|{row.item_id}"
        found = self._found.get((row.type, key, row.arm, row.temp, row.sample_index))
        same = found and response_digest(found.response_text) == row.response_sha256
        return found if same else None


def shown_of(
    rows: Iterable[KeyRow],
    responses: Responses,
    items: Mapping[str, Item],
    given: Given | None = None,
) -> Iterator[Shown]:
    """Yield what the page shows of a key file's responses, equal ones of an item once.

    Raises:
        UserError: an arm that searches has no passages for an item.
    """
    given = given or Given()
    of_ids: dict[str, list[Answer]] = defaultdict(list)
    of_items: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    for row in rows:
        if (answer := responses.of(row)) is not None:
            of_ids[row.id].append(answer)
            of_items[answer.type, answer.item_key].append(answer)
    for opaque, answers in of_ids.items():
        answer = answers[0]
        task = TASKS[answer.type]
        texts = task.shown(items[answer.item_key])
        yield Shown(
            id=opaque,
            dataset=answer.dataset,
            question=texts["question"],
            answers=texts["answers"],
            no_answers=task.no_answers,
            context=texts["context"],
            context_label=task.context_label,
            response=answer.response_text,
            passages=pooled(of_items[answer.type, answer.item_key], answers, given),
        )


def draw_trial(trial: LabelledTrial, items: Mapping[str, Item], settings: LabelSettings) -> str:
    """Write a trial's page and key file, and return what there is to say of them.

    A key file that is there is kept, and its page is made again from it; a larger sample that
    begins with it extends it. If responses of it have changed, neither is touched.

    Raises:
        UserError: there is nothing to label, or a setting does not fit the trial.
    """
    labelling = settings.labelling
    answers = list(read_csv(Path(trial.answers), Answer))
    outcomes = {row.custom_id: row for row in read_outcomes(Path(trial.outcomes))}
    units = units_of(answers, items, list(trial.arms), trial.temp)
    units = one_sample_each(units, labelling.seed)
    columns = labelling.disagree
    if columns is None:
        metrics = read_settings(Path(trial.metrics), MetricsFile).metrics
        columns = differing_columns(metrics, settings.judges)
    rows = key_of(
        units, differing(units, outcomes, columns), trial,
        size=labelling.items, share=labelling.share, seed=labelling.seed,
    )  # fmt: skip

    key, page = Path(trial.key), Path(trial.page)
    remark = ""
    responses = Responses(answers, trial)
    if key.exists():
        kept = list(read_key(key))
        if changed := sum(responses.of(row) is None for row in kept):
            return (
                f"{page}: NOT drawn again. {changed} of the {len(kept)} responses of the sample "
                "have changed since it was drawn: labels on these will not count, the others do.\n"
                f"To draw a new sample, collect its labels first. Then delete {page.parent}"
            )
        if is_beginning(kept, rows):
            if len(kept) < len(rows):
                key.rename(key.with_name(f"key.{sample_digest(kept)}.csv"))
                write_csv(key, KeyRow, rows)
                remark = (
                    "It begins with the sample that was drawn before: labels on that count, and "
                    "its annotators go on where they stopped"
                )
        else:
            remark = (
                "It is the sample that was drawn before; with the present settings and scores it "
                f"would be another. To draw that one, collect its labels, and delete {page.parent}"
            )
            rows = kept
    else:
        write_csv(key, KeyRow, rows)
    shown = list(shown_of(rows, responses, items, Given(trial.retrievals)))
    name = f"{settings.experiment}-{trial.name.rsplit('/', 1)[-1]}"
    before = [read_key(each) for each in key.parent.glob("key.*.csv")]
    before = sorted((each for each in before if is_beginning(each, rows)), key=len, reverse=True)
    write_text(page, label_page(name, sample_digest(rows), shown, map(sample_digest, before)))

    of_task = Counter(task for task, *_ in {(row.type, row.dataset, row.item_id) for row in rows})
    n_items = of_task.total()
    to_read = counted(len(shown), "response")
    said = [f"{page}: {counted(n_items, 'item')}, {to_read} to read (equal ones are shown once)."]
    if remark:
        said.append(remark)
    for task, n in sorted(of_task.items()):
        all_of_task = [unit for unit in units if unit.task == task]
        said += ["", width_table(all_of_task, outcomes, items, n, settings.confidence)]
    return "\n".join(said)


@command
def main() -> None:
    """Draw the responses that people label, of each trial."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="LabelSettings as JSON")
    parser.add_argument("--log", type=Path, help="file for the messages shown in the terminal")
    arguments = parser.parse_args()

    log_to(arguments.log)
    settings = read_settings(arguments.settings, LabelSettings)
    items = read_items(Path(each) for each in settings.item_files)
    for trial in settings.trials:
        try:
            log.info("%s\n", draw_trial(trial, items, settings))
        except UserError as error:
            raise UserError(f"{trial.name}: {error}") from error
    log.info(
        "Send a page to each annotator. Keep key.csv beside it to yourself: it says which arm gave "
        "which response.\nPut the exports into labels/ and turn them into a label file:\n"
        "    python -m workflow_scripts.labels.collect --exports labels --output %s",
        settings.output,
    )


if __name__ == "__main__":
    main()
