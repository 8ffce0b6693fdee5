"""Labels beside a judge's verdicts, as the arrays that the statistics take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..core.errors import UserError
from ..core.records import Item, TrialRow
from ..stats.prediction_powered import Judged
from .matching import LabelledResponse


@dataclass(frozen=True)
class JudgedItems:
    """The items of one task and temperature, in the order of the arrays of ``judged``."""

    type: str
    temp: str
    item_keys: tuple[str, ...]
    judged: Judged


def judged_items(
    responses: Iterable[TrialRow],
    verdicts: Mapping[str, float],
    labelled: Mapping[str, LabelledResponse],
    items: Mapping[str, Item],
    control: str,
    treatment: str,
) -> list[JudgedItems]:
    """Put verdicts and labels side by side, by task and temperature, each sorted.

    An item takes part if the judge gave a verdict on it under both conditions. Verdicts and labels
    of several samples are averaged. Undecided labels are missing.

    Args:
        responses: the trial's responses.
        verdicts: by custom_id, the judge's verdict from 0 (incorrect) to 1 (correct).
        labelled: as `match` gives it.
        items: by `Item.key`.
        control, treatment: the conditions.

    Raises:
        UserError: some labels have a sampling probability and others none.
    """
    judge: _ByArm = defaultdict(lambda: defaultdict(list))
    people: _ByArm = defaultdict(lambda: defaultdict(list))
    chances: dict[_Place, float | None] = {}
    for row in responses:
        if row.custom_id not in verdicts or row.condition not in (control, treatment):
            continue
        place = (row.type, row.temp, row.item_key)
        judge[place][row.condition].append(verdicts[row.custom_id])
        response = labelled.get(row.custom_id)
        if response is not None and response.correct is not None:
            people[place][row.condition].append(response.correct)
            chances[place] = response.probability
    places = sorted(place for place, arms in judge.items() if len(arms) == 2)
    known = {chances[place] is not None for place in places if place in chances}
    if len(known) > 1:
        raise UserError(
            "some labels have a sampling probability and others none; give all of them one, or "
            "remove the column if every item had the same chance to be labelled"
        )
    found = []
    for of_type, temp in sorted({place[:2] for place in places}):
        here = [place for place in places if place[:2] == (of_type, temp)]
        names = [f"{items[key].dataset}|{items[key].cluster_id}" for _, _, key in here]
        verdict, label = (
            {
                condition: np.array([_mean(values[place][condition]) for place in here])
                for condition in (control, treatment)
            }
            for values in (judge, people)
        )
        # Items without a label take no part in what the probabilities weigh.
        probability = np.array([chances.get(place) or 1.0 for place in here])
        judged = Judged(
            control=verdict[control],
            treatment=verdict[treatment],
            control_labels=label[control],
            treatment_labels=label[treatment],
            clusters=np.unique(names, return_inverse=True)[1].astype(np.int64),
            probability=probability if True in known else None,
        )
        found.append(JudgedItems(of_type, temp, tuple(key for *_, key in here), judged))
    return found


_Place = tuple[str, str, str]
_ByArm = defaultdict[_Place, defaultdict[str, list[float]]]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
