"""Make the front page: every trial of an experiment, compared.

Run as ``python -m workflow_scripts.report.front --settings front.json --output report.html``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..config.trials import FrontSettings, Trial
from ..errors import command
from ..files import read_settings, write_text
from .figures.forest import Row, forest, row
from .inputs import TrialResults, read_results
from .page import render
from .verdict import STANDING_LABELS, Contrast, contrasts, effect, sentence, standing
from .wording import METRICS, TASK_NAMES

MATRIX_METRICS = ("em", "false_answer_rate", "abstain_rate")

_SHORT_LABEL = 28
"""A trial's name of up to so many characters has room beside the numbers in a chart; longer
ones, and trials with several comparisons, get a line of their own."""


@dataclass(frozen=True)
class Entry:
    """One trial with the address of its report."""

    results: TrialResults
    link: str

    @property
    def facts(self) -> dict[str, str]:
        """What sets a trial apart from the others of the experiment."""
        trial = self.results.trial
        return {
            "Backend": trial.backend,
            "Model": trial.model,
            "Prompt set": trial.prompt_set,
            "Decoding": trial.decoding_name,
        }

    @property
    def contrasts(self) -> list[Contrast]:
        """The trial's comparisons."""
        return contrasts(self.results.significance)

    def treatment(self, contrast: Contrast) -> str:
        """The name of the prompt that a comparison is about."""
        arm = self.results.trial.arms.get(contrast.treatment)
        return arm.prompt if arm else contrast.treatment

    def contrast_label(self, contrast: Contrast) -> str:
        """What sets a comparison apart from the others of its trial and task."""
        named = []
        if len({other.treatment for other in self.contrasts}) > 1:
            named.append(f"“{self.treatment(contrast)}”")
        if len({other.temp for other in self.contrasts}) > 1:
            named.append(f"temperature {contrast.temp}")
        return " · ".join(named)


@command
def main() -> None:
    """Read the trials' files and write the front page."""
    parser = argparse.ArgumentParser(description="Write the front page over all trials.")
    parser.add_argument("--settings", type=Path, required=True, help="FrontSettings as JSON")
    parser.add_argument("--output", type=Path, required=True, help="the page to write")
    arguments = parser.parse_args()
    settings = read_settings(arguments.settings, FrontSettings)
    entries = read_entries(settings.trials, arguments.output)
    write_text(arguments.output, front_page(settings.title, settings.note, entries))


def read_entries(trials: Sequence[Trial], output: Path) -> list[Entry]:
    """The results of the trials, with links relative to ``output``."""
    entries = []
    for trial in trials:
        folder = Path(trial.folder)
        results = read_results(
            trial,
            folder / "significance.json",
            folder / "local_costs.json",
            folder / "costs.json",
        )
        link = Path(os.path.relpath(folder / "report.html", output.parent)).as_posix()
        entries.append(Entry(results, quote(link)))
    return entries


def front_page(title: str | None, note: str | None, entries: Sequence[Entry]) -> str:
    """The comparison of all trials as one HTML page."""
    groups = [(entry, label(entry, entries)) for entry in entries]
    rows = [_row(entry, name, each) for entry, name in groups for each in entry.contrasts]
    tasks = dict.fromkeys(each["contrast"].task for each in rows)
    return render(
        "front.html.j2",
        styles=["style.css", "figures.css"],
        scripts=["figures.js", "matrix.js"],
        title=title or "All trials",
        note=note,
        metrics=MATRIX_METRICS,
        facts=list(entries[0].facts) if entries else [],
        groups=[
            {"label": name, "link": entry.link, "rows": [r for r in rows if r["entry"] is entry]}
            for entry, name in groups
        ],
        rows=rows,
        confidence=rows[0]["contrast"].result.meta.confidence if rows else None,
        charts=[_chart(rows, task, name) for task in tasks for name in ("false_answer_rate", "em")],
    )


def label(entry: Entry, entries: Sequence[Entry]) -> str:
    """The trial's name: only what differs between the trials."""
    varying = [
        value
        for name, value in entry.facts.items()
        if len({other.facts[name] for other in entries}) > 1
    ]
    return " · ".join(varying) or entry.results.trial.prompt_set


def _row(entry: Entry, trial_label: str, contrast: Contrast) -> dict[str, Any]:
    """What the template shows of one comparison."""
    result = contrast.result
    confidence = result.meta.confidence
    stand = standing(result)
    return {
        "entry": entry,
        "contrast": contrast,
        "trial_label": trial_label,
        "contrast_label": entry.contrast_label(contrast),
        "treatment": entry.treatment(contrast),
        "standing": stand,
        "standing_label": STANDING_LABELS[stand],
        "sentence": sentence(result, f"Prompt “{entry.treatment(contrast)}”"),
        "estimates": [
            (name, result.metrics[name], effect(name, result.metrics[name], confidence))
            if name in result.metrics
            else None
            for name in MATRIX_METRICS
        ],
        "times": entry.results.local_costs.of(contrast.treatment),
        "control_times": entry.results.local_costs.of(entry.results.significance.control),
        "costs": entry.results.costs.of(contrast.treatment),
        "control_costs": entry.results.costs.of(entry.results.significance.control),
    }


def _chart(rows: Sequence[dict[str, Any]], task: str, name: str) -> dict[str, Any]:
    """One metric over all trials, in one task."""
    chosen = [
        each
        for each in rows
        if each["contrast"].task == task and name in each["contrast"].result.metrics
    ]
    labels = [each["trial_label"] for each in chosen]
    beside = len(set(labels)) == len(labels) and max(map(len, labels), default=0) <= _SHORT_LABEL
    drawn = []
    for trial_label, of_trial in groupby(chosen, key=itemgetter("trial_label")):
        if not beside:
            drawn.append(Row(trial_label))
        for each in of_trial:
            result = each["contrast"].result
            text = trial_label if beside else each["contrast_label"] or f"“{each['treatment']}”"
            drawn.append(row(text, name, result.metrics[name], result.meta.confidence))
    title = f"{TASK_NAMES.get(task, task)}: {METRICS[name].name}"
    return {
        "title": title,
        "better": METRICS[name].better,
        "svg": forest(drawn, f"{title}, differences by trial in percentage points"),
    }


if __name__ == "__main__":
    main()
