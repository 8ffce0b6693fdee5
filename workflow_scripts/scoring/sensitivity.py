"""The command that sweeps the threshold of unsupported answers: unsupported_sensitivity.json.

Whether an answer counts as unsupported depends on ``unsupported.threshold``, a choice. The sweep
shows what would have come out at other thresholds: each arm's rate, and the paired difference.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import UserError, command
from ..core.files import read_settings, write_json
from ..core.prompts import CONTROL
from ..core.records import Item, SampleOutcome
from ..core.seals import SealWriter, add_seal_argument
from ..stats.intervals import headline, intervals_of, mean_difference
from ..stats.pairs import DECIMALS
from ..tasks.items import read_items
from ..tasks.registry import TASKS
from ..tasks.score_tables import read_outcomes
from .settings import SensitivitySettings

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SCHEMA_VERSION = 1

_STEPS = 20

Supports = dict[str, list[float]]
"""Item key -> support of each sample; infinite where nothing is answered."""


def sensitivity(
    rows: Iterable[SampleOutcome], items: Mapping[str, Item], settings: SensitivitySettings
) -> dict[str, Any]:
    """The sweep, as the content of unsupported_sensitivity.json.

    Thresholds go from 0.05 to 1 in steps of 0.05, and the configured one is among them. Rates are
    means over items of means over samples, as in per_item_scores.csv: tasks without a passage and
    failed requests are left out, and so are items that only one arm has (``n_unpaired``).
    """
    rule = settings.unsupported
    thresholds = sorted({*(step / _STEPS for step in range(1, _STEPS + 1)), rule.threshold})
    arms = _supports(rows)
    results: dict[str, dict[str, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
    for (task, temp, condition), treatment in sorted(arms.items()):
        if condition == CONTROL:
            continue
        control = arms.get((task, temp, CONTROL))
        if control is None:
            raise UserError(f"outcomes.csv has no rows of the control at temperature {temp}")
        results[condition][temp][task] = _sweep(
            control, treatment, items, thresholds, settings.confidence
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "control": CONTROL,
        "rule": rule.model_dump(mode="json"),
        "confidence": settings.confidence,
        "results": results,
    }


def _supports(rows: Iterable[SampleOutcome]) -> dict[tuple[str, str, str], Supports]:
    """The supports of each task with a passage, temperature and condition."""
    arms: dict[tuple[str, str, str], Supports] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if TASKS[row.type].has_passage and row.outcome != "failed":
            support = row.number("support")
            arms[row.type, row.temp, row.condition][row.item_key].append(
                float("inf") if support is None else support
            )
    return arms


def _sweep(
    control: Supports,
    treatment: Supports,
    items: Mapping[str, Item],
    thresholds: Sequence[float],
    confidence: float,
) -> dict[str, Any]:
    keys = sorted(control.keys() & treatment.keys())
    unknown = [key for key in keys if key not in items]
    if unknown:
        raise UserError(f"item {unknown[0]!r} has outcomes but is not in the item files")
    swept: dict[str, Any] = {
        "n_items": len(keys),
        "n_unpaired": len(control.keys() ^ treatment.keys()),
        "thresholds": [],
    }
    if not keys:
        return swept
    rates = [_rates([arm[key] for key in keys], thresholds) for arm in (control, treatment)]
    differences = rates[1] - rates[0]
    clusters = _clusters([items[key] for key in keys])
    ends = [
        _interval(columns, clusters, confidence)
        for columns in zip(*(each.T for each in rates), strict=True)
    ]
    rows = zip(
        thresholds,
        rates[0].mean(axis=0).tolist(),
        rates[1].mean(axis=0).tolist(),
        differences.mean(axis=0).tolist(),
        *zip(*ends, strict=True),
        strict=True,
    )
    names = ("threshold", "control_rate", "treatment_rate", "difference", "ci_low", "ci_high")
    swept["thresholds"] = [dict(zip(names, row, strict=True)) for row in rows]
    return swept


def _rates(samples: Sequence[Sequence[float]], thresholds: Sequence[float]) -> FloatArray:
    """Share of each item's samples that are unsupported, shape (items, thresholds).

    Vectorised form of `workflow_scripts.metrics.unsupported.is_unsupported`.
    """
    support = np.array([value for item in samples for value in item])[:, np.newaxis]
    unsupported = (support < np.array(thresholds)) | (support == 0)
    counts = np.array([len(item) for item in samples])
    starts = np.cumsum(counts) - counts
    sums = np.add.reduceat(unsupported.astype(np.float64), starts, axis=0)
    rates: FloatArray = sums / counts[:, np.newaxis]
    return rates


def _clusters(items: Sequence[Item]) -> IntArray:
    """Each item's cluster as a number. A cluster's name is unique within its data set only."""
    codes: dict[tuple[str, str], int] = {}
    numbers = [codes.setdefault((item.dataset, item.cluster_id), len(codes)) for item in items]
    return np.array(numbers, dtype=np.int64)


def _interval(
    rates: Sequence[FloatArray], clusters: IntArray, confidence: float
) -> tuple[float | None, float | None]:
    """The interval that significance.json shows of the same difference.

    Args:
        rates: of the items under the control and the treatment.
        clusters: the items' clusters.
        confidence: the level.
    """
    # Imported lazily: SciPy takes 0.4 s, and each call of Snakemake reads this module's settings.

    differences = np.round(rates[1] - rates[0], DECIMALS)
    mean = mean_difference(differences, clusters)
    binary = all(bool(((each == 0) | (each == 1)).all()) for each in rates)
    intervals = intervals_of(differences, mean, confidence, binary=binary)
    chosen = intervals[headline(intervals, mean)]
    return chosen.low, chosen.high


@command
def main() -> None:
    """Parse arguments and write unsupported_sensitivity.json."""
    parser = argparse.ArgumentParser(description="Sweep the threshold of unsupported answers.")
    parser.add_argument("--outcomes", type=Path, required=True, help="outcomes.csv")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--settings", type=Path, required=True, help="SensitivitySettings as JSON")
    parser.add_argument("--output", type=Path, required=True, help="unsupported_sensitivity.json")
    add_seal_argument(parser)
    arguments = parser.parse_args()

    seal = SealWriter(arguments.seal, [arguments.outcomes, *arguments.items])
    settings = read_settings(arguments.settings, SensitivitySettings)
    items = read_items(arguments.items)
    rows = read_outcomes(arguments.outcomes)
    write_json(arguments.output, sensitivity(rows, items, settings))
    seal.seal(arguments.output)


if __name__ == "__main__":
    main()
