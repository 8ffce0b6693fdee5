"""Make an experiment's page: all of its trials, compared.

Run as ``python -m workflow_scripts.report.front --settings front.json --output report.html``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..comparisons.pairings import Comparisons
from ..comparisons.retest import Retest, RetestedModel, by_model
from ..config.trial import FrontSettings, Trial
from ..core.errors import command
from ..core.files import read_settings, write_json, write_text
from ..core.metric import Metric
from ..core.seals import SealWriter, add_seal_argument
from ..tasks.task import Task
from ..verify.files import require_unchanged
from ..verify.trial import Verification
from .analyses import analyses_page, analyses_summary, links
from .arms import asked_about, called
from .comparison_tables import Shown, compared, in_words, pairs_data, tables
from .contrast import (
    Contrast,
    contrasts,
    foremost,
    leading,
    tasks_of,
)
from .figures.forest import Row, forest, row
from .inputs import TrialResults, read_results
from .page import render
from .parity import Parity, parity
from .verdict import findings, sentence, standing
from .wording import STANDING_LABELS

SCHEMA_VERSION = 3

_SHOWN = (
    "significance.json",
    "local_costs.json",
    "costs.json",
    "per_item_scores.csv",
    "predictions.csv",
    "verification.json",
)
"""The files of a trial that are read here, or by `parity`."""

_SHORT_LABEL = 28
"""A trial's name of up to so many characters has room beside the numbers in a chart; longer
ones, and trials with several comparisons, get a line of their own."""


@dataclass(frozen=True)
class Entry:
    """One trial with the address of its report."""

    results: TrialResults
    verification: Verification
    link: str

    @property
    def facts(self) -> dict[str, str]:
        """What sets a trial apart from the others of the experiment."""
        trial = self.results.trial
        return {
            "Backend": trial.backend if trial.asks else "none",
            "Model": trial.model if trial.asks else "answers from files",
            "Prompt set": trial.prompt_set,
            "Decoding": trial.decoding_name if trial.asks else "not known",
        }

    @property
    def contrasts(self) -> list[Contrast]:
        """The trial's comparisons."""
        results = self.results
        return contrasts(results.trial, results.significance, results.metrics)

    def treatment(self, contrast: Contrast) -> str:
        """The name of the arm that a comparison is about."""
        arm = self.results.trial.arms.get(contrast.treatment)
        return arm.name if arm else contrast.treatment

    def contrast_label(self, contrast: Contrast) -> str:
        """What sets a comparison apart from the others of its trial and task."""
        named = []
        if len({other.treatment for other in self.contrasts}) > 1:
            named.append(f"“{self.treatment(contrast)}”")
        if len({other.temp for other in self.contrasts}) > 1:
            named.append(f"temperature {self.results.trial.temperature(contrast.temp)}")
        return " · ".join(named)


@command
def main() -> None:
    """Read the trials' files and write the front page."""
    parser = argparse.ArgumentParser(description="Write the front page over all trials.")
    parser.add_argument("--settings", type=Path, required=True, help="FrontSettings as JSON")
    parser.add_argument("--comparisons", type=Path, nargs="?", help="comparisons.json, if any")
    parser.add_argument("--judgements", type=Path, nargs="*", default=[], help="judgements.json")
    parser.add_argument("--retests", type=Path, nargs="*", default=[], help="retest.json")
    parser.add_argument("--output", type=Path, required=True, help="the page to write")
    parser.add_argument("--json", type=Path, required=True, help="the same for programs")
    add_seal_argument(parser)
    arguments = parser.parse_args()
    settings = read_settings(arguments.settings, FrontSettings)
    pages = [f"{each.folder}/report.html" for each in settings.trials]
    pages += [str(arguments.output.parent / each["link"]) for each in links(settings.analyses)]
    if arguments.comparisons is None:
        seal = SealWriter(arguments.seal, pages)
        write_text(arguments.output, analyses_page(settings))
        name = arguments.output.parent.name
        write_json(arguments.json, analyses_summary(settings, name, SCHEMA_VERSION))
        seal.seal(arguments.output, arguments.json)
        return
    seal = SealWriter(arguments.seal, [*pages, arguments.comparisons])
    require_unchanged([arguments.comparisons, *arguments.retests])
    entries = read_entries(settings.trials, arguments.output, arguments.judgements)
    between = Between(
        read_settings(arguments.comparisons, Comparisons),
        parity([entry.results.trial for entry in entries]),
        _retested(arguments.retests),
    )
    write_text(arguments.output, front_page(settings, entries, between))
    write_json(arguments.json, front_summary(settings, entries, between))
    seal.seal(arguments.output, arguments.json)


@dataclass(frozen=True)
class Between:
    """What the trials say together."""

    comparisons: Comparisons
    parity: list[Parity]
    retested: list[RetestedModel] = field(default_factory=list)


def _retested(files: Iterable[Path]) -> list[RetestedModel]:
    """The requests of all trials that were sent again, by model."""
    found = [read_settings(path, Retest) for path in files]
    parts = [part for each in found for part in each.parts]
    return by_model(parts, found[0].confidence) if found else []


def read_entries(
    trials: Sequence[Trial], output: Path, judgements: Sequence[Path] = ()
) -> list[Entry]:
    """Read the results of the trials, with links relative to ``output``.

    Args:
        trials: which ones.
        output: the page.
        judgements: their judgements.json, where somebody judges.

    Raises:
        UserError: a file cannot be read, or was changed after it was made.
    """
    entries = []
    judged = {path.parent: path for path in judgements}
    for trial in trials:
        folder = Path(trial.folder)
        require_unchanged(folder / name for name in _SHOWN)
        results = read_results(
            trial,
            folder / "per_item_scores.csv",
            folder / "significance.json",
            folder / "local_costs.json",
            folder / "costs.json",
            judged.get(folder),
        )
        link = Path(os.path.relpath(folder / "report.html", output.parent)).as_posix()
        verification = read_settings(folder / "verification.json", Verification)
        entries.append(Entry(results, verification, quote(link)))
    return entries


def front_page(settings: FrontSettings, entries: Sequence[Entry], between: Between) -> str:
    """The comparison of all trials as one HTML page."""
    groups = [(entry, label(entry, entries)) for entry in entries]
    found = [each for entry in entries for each in entry.contrasts]
    metrics = foremost(metric for each in found for metric in each.metrics)
    rows = [_row(entry, name, each, metrics) for entry, name in groups for each in entry.contrasts]
    tasks = {each.task.name: each.task for each in found}
    shares = [each for each in metrics if each.kind == "share"]
    trials = [Shown(entry.results.trial, name, entry.link) for entry, name in groups]
    measured = compared(
        between.comparisons, (each for entry in entries for each in entry.results.metrics)
    )
    charted = [each for each in metrics if each.leads or each.kind == "amount"]
    return render(
        "front.html.j2",
        styles=["style.css", "figures.css", "front.css"],
        scripts=["figures.js", "matrix.js"],
        title=settings.title or "All trials",
        note=settings.note,
        analyses=links(settings.analyses),
        about=asked_about(tasks.values()),
        verification=Verification.together(entry.verification for entry in entries),
        metrics=metrics,
        has_amounts=shares != metrics,
        facts=list(entries[0].facts) if entries else [],
        groups=[
            {"label": name, "link": entry.link, "rows": [r for r in rows if r["entry"] is entry]}
            for entry, name in groups
        ],
        rows=rows,
        confidence=between.comparisons.confidence,
        matrices=_matrices(rows, entries) if len(entries) > 1 else [],
        trial_labels=[name for _, name in groups],
        pairs=pairs_data(between.comparisons, trials, measured),
        families=in_words(between.comparisons.families),
        n_compared=between.comparisons.pairs,
        n_pairs=between.comparisons.pairs_in_all,
        tables=list(tables(between.comparisons, trials, measured)),
        subgroups_left_out=between.comparisons.subgroups_left_out,
        parity=[_parity_row(each, between, entries) for each in between.parity],
        parity_metrics=leading(shares),
        retested=between.retested,
        task_names=_task_names(entries),
        charts=[_chart(rows, task, metric) for task in tasks.values() for metric in charted],
    )


def front_summary(
    settings: FrontSettings, entries: Sequence[Entry], between: Between
) -> dict[str, Any]:
    """The front page for programs; comparisons name trials by their position in ``trials``."""
    return {
        "schema_version": SCHEMA_VERSION,
        "experiment": entries[0].results.trial.experiment,
        "title": settings.title,
        "note": settings.note,
        "analyses": links(settings.analyses),
        "trials": [
            {
                "label": label(entry, entries),
                "report": entry.link,
                **entry.facts,
                "verification": entry.verification.model_dump(mode="json"),
                "comparisons": [
                    {
                        "treatment": each.treatment,
                        "prompt": entry.treatment(each),
                        "temp": each.temp,
                        "temperature": entry.results.trial.temperature(each.temp)
                        if entry.results.trial.asks
                        else None,
                        "task": each.task.name,
                        "task_name": each.task.label,
                        "standing": standing(each),
                        "sentence": sentence(each, called(entry.results.trial, each.treatment)),
                        "n_items": each.result.n_items,
                        "metrics": {
                            name: asdict(each.result.metrics[name]) for name in each.result.metrics
                        },
                        "amounts": {
                            name: asdict(each.result.amounts[name]) for name in each.result.amounts
                        },
                    }
                    for each in entry.contrasts
                ],
                "costs": entry.results.costs.model_dump(mode="json"),
                "local_costs": entry.results.local_costs.model_dump(mode="json"),
            }
            for entry in entries
        ],
        "comparisons": between.comparisons.model_dump(mode="json"),
        "parity": [asdict(each) for each in between.parity],
        "retest": [each.model_dump(mode="json") for each in between.retested],
    }


def label(entry: Entry, entries: Sequence[Entry]) -> str:
    """The trial's name: only what differs between the trials."""
    varying = [
        value
        for name, value in entry.facts.items()
        if len({other.facts[name] for other in entries}) > 1
    ]
    return " · ".join(varying) or entry.results.trial.prompt_set


def _task_names(entries: Iterable[Entry]) -> dict[str, str]:
    """The names of all tasks for readers."""
    return {
        name: task.label
        for entry in entries
        for name, task in tasks_of(entry.results.trial).items()
    }


def _row(
    entry: Entry, trial_label: str, contrast: Contrast, metrics: Iterable[Metric]
) -> dict[str, Any]:
    """What the template shows of one comparison."""
    stand = standing(contrast)
    cells = {each[0]: each for each in findings(contrast, contrast.metrics)}
    return {
        "entry": entry,
        "contrast": contrast,
        "trial_label": trial_label,
        "contrast_label": entry.contrast_label(contrast),
        "treatment": entry.treatment(contrast),
        "standing": stand,
        "standing_label": STANDING_LABELS[stand],
        "sentence": sentence(contrast, called(entry.results.trial, contrast.treatment)),
        "estimates": [cells.get(each) for each in metrics],
        "times": entry.results.local_costs.of(contrast.treatment),
        "control_times": entry.results.local_costs.of(entry.results.significance.control),
        "costs": entry.results.costs.of(contrast.treatment),
        "control_costs": entry.results.costs.of(entry.results.significance.control),
    }


def _matrices(rows: Sequence[dict[str, Any]], entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """For each task and temperature, models (with their backend) against prompt sets."""
    several = {name: len({each.facts[name] for each in entries}) > 1 for name in entries[0].facts}
    several_treatments = any(len(each.results.trial.arms) > 2 for each in entries)
    several_temps = len({each["contrast"].temp for each in rows}) > 1

    def model(entry: Entry) -> tuple[str, str]:
        facts = entry.facts
        beside = [facts[name] for name in ("Backend", "Decoding") if several[name]]
        return facts["Model"], " · ".join(beside)

    def prompts(each: dict[str, Any]) -> tuple[str, str]:
        return each["entry"].facts["Prompt set"], each["treatment"] if several_treatments else ""

    found = []

    def place(each: dict[str, Any]) -> tuple[Task, str]:
        contrast, trial = each["contrast"], each["entry"].results.trial
        return contrast.task, trial.temperature(contrast.temp) if several_temps else ""

    for task, temp in dict.fromkeys(map(place, rows)):
        of_place = [each for each in rows if place(each) == (task, temp)]
        cells = {(model(r["entry"]), prompts(r)): r for r in of_place}
        found.append(
            {
                "title": task.label + (f" · temperature {temp}" if several_temps else ""),
                "columns": list(dict.fromkeys(prompts(r) for r in rows)),
                "models": list(dict.fromkeys(model(r["entry"]) for r in rows)),
                "cells": cells,
            }
        )
    return found


def _parity_row(found: Parity, between: Between, entries: Sequence[Entry]) -> dict[str, Any]:
    """What the template shows of two backends."""
    one, other = entries[found.first], entries[found.second]
    differing = [
        each
        for each in between.comparisons.of_kind("trials")
        if (each.first.trial, each.second.trial) == (found.first, found.second)
    ]
    return {
        "backends": (one.facts["Backend"], other.facts["Backend"]),
        "models": dict.fromkeys((one.facts["Model"], other.facts["Model"])),
        "links": (one.link, other.link),
        "prompt_set": one.facts["Prompt set"],
        "decoding": one.facts["Decoding"],
        "same_name": found.same_name,
        "arms": [
            {
                "name": one.results.trial.arms[condition].name,
                "compared": n,
                "equal": found.equal[condition] / n if n else None,
                "differences": [each for each in differing if each.first.condition == condition],
            }
            for condition, n in found.compared.items()
        ],
    }


def _chart(rows: Sequence[dict[str, Any]], task: Task, metric: Metric) -> dict[str, Any]:
    """One metric over all trials, in one task."""
    chosen = [
        each
        for each in rows
        if each["contrast"].task.name == task.name and metric in each["contrast"].metrics
    ]
    labels = [each["trial_label"] for each in chosen]
    beside = len(set(labels)) == len(labels) and max(map(len, labels), default=0) <= _SHORT_LABEL
    drawn = []
    for trial_label, of_trial in groupby(chosen, key=itemgetter("trial_label")):
        if not beside:
            drawn.append(Row(trial_label))
        for each in of_trial:
            contrast: Contrast = each["contrast"]
            text = trial_label if beside else each["contrast_label"] or f"“{each['treatment']}”"
            confidence = contrast.result.meta.confidence
            drawn.append(row(text, metric, contrast.estimate(metric), confidence))
    title = f"{task.label}: {metric.label}"
    amounts = metric.kind == "amount"
    drawing = "ratios by trial" if amounts else "differences by trial in percentage points"
    return {
        "title": title,
        "better": metric.better,
        "svg": forest(drawn, f"{title}, {drawing}"),
    }


if __name__ == "__main__":
    main()
