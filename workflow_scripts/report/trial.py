"""Make the report of one trial: the verdict, the numbers and every item.

Run as ``python -m workflow_scripts.report.trial --trial trial.json … --output report.html``.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..config.trials import Trial
from ..errors import command
from ..files import read_csv, read_settings, write_json, write_text
from ..items import read_items
from ..records import ErrorRow, ItemScores, Prediction
from .charts import Row, forest, row
from .explorer import OUTCOMES, SCORES, explorer_data, transitions
from .inputs import Audit, TrialResults, read_results
from .overview import SHOWN_OUTCOMES, Overview, overview, read_outcomes
from .page import render
from .provenance import Provenance
from .rulegraph import rule_graph
from .summary import summary
from .verdict import STANDING_LABELS, Contrast, contrasts, effect, sentence, standing
from .wording import METRICS, sentence_case

_SHOWN_ERRORS = 200


@command
def main() -> None:
    """Read a trial's files and write its report."""
    parser = argparse.ArgumentParser(description="Write the report of one trial.")
    for name, what in (
        ("trial", "trial.json: what was compared"),
        ("predictions", "predictions.csv"),
        ("scores", "per_item_scores.csv"),
        ("significance", "significance.json"),
        ("local-costs", "local_costs.json: tokens and times"),
        ("costs", "costs.json: money"),
        ("audit", "audit.json: prompt lengths"),
        ("errors", "errors.csv: requests without an answer"),
        ("outcomes", "outcomes.csv: what became of each request"),
        ("provenance", "provenance.json: where the numbers come from"),
        ("output", "the page to write"),
        ("json", "the same for programs: report.json"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=what)
    parser.add_argument("--items", type=Path, nargs="+", required=True, help="item files (JSONL)")
    arguments = parser.parse_args()
    results = read_results(
        read_settings(arguments.trial, Trial),
        arguments.significance,
        arguments.local_costs,
        arguments.costs,
    )
    errors = list(read_csv(arguments.errors, ErrorRow))
    data = explorer_data(
        read_items(arguments.items),
        read_csv(arguments.predictions, Prediction),
        read_csv(arguments.scores, ItemScores),
        errors,
    )
    audit = read_settings(arguments.audit, Audit)
    outcomes = read_outcomes(arguments.outcomes)
    provenance = read_settings(arguments.provenance, Provenance)
    over = overview(results, audit, errors, outcomes, provenance)
    write_text(arguments.output, trial_page(results, audit, errors, data, over))
    write_json(arguments.json, summary(results, audit, errors, over))


def trial_page(
    results: TrialResults,
    audit: Audit,
    errors: Sequence[ErrorRow],
    data: dict[str, Any],
    over: Overview,
) -> str:
    """The report of a trial as one HTML page."""
    trial, significance = results.trial, results.significance
    names = {condition: f"“{arm.prompt}”" for condition, arm in trial.arms.items()}
    control = significance.control
    treatments = [condition for condition in trial.arms if condition != control]
    found = contrasts(significance)
    return render(
        "trial.html.j2",
        styles=["style.css", "figures.css", "explorer.css"],
        scripts=["page.js", "explorer.js"],
        title=trial.title or over.question,
        overview=over,
        rule_graph=rule_graph(over.provenance.steps),
        shown_outcomes=SHOWN_OUTCOMES,
        trial=trial,
        stop=[json.dumps(text, ensure_ascii=False) for text in trial.decoding.stop],
        control=control,
        treatments=treatments,
        names=names,
        tasks={contrast.task: contrast.result.n_items for contrast in found},
        contrasts=[_contrast(contrast, control, names, data) for contrast in found],
        several=len(treatments) > 1,
        meta=found[0].result.meta if found else None,
        multiplicity=significance.multiplicity,
        sequential=significance.sequential,
        local_costs=results.local_costs,
        costs=results.costs,
        audit=audit,
        prompt_diffs={
            condition: prompt_diff(trial.arms[control].text, trial.arms[condition].text)
            for condition in treatments
        },
        errors=errors[:_SHOWN_ERRORS],
        n_errors=len(errors),
        outcomes=OUTCOMES,
        data={
            **data,
            "control": control,
            "treatments": treatments,
            "names": names,
            "temps": trial.temps,
            "outcomes": OUTCOMES,
            "scores": [sentence_case(METRICS[name].name) for name in SCORES],
        },
    )


def _contrast(
    contrast: Contrast, control: str, names: dict[str, str], data: dict[str, Any]
) -> dict[str, Any]:
    """What the template shows of one comparison."""
    result = contrast.result
    confidence = result.meta.confidence
    metrics = {name: result.metrics[name] for name in METRICS if name in result.metrics}
    treatment = names.get(contrast.treatment, contrast.treatment)
    stand = standing(result)
    where = f"{treatment} minus {names.get(control, control)}, {contrast.task_name.lower()}"
    return {
        "contrast": contrast,
        "result": result,
        "standing": stand,
        "standing_label": STANDING_LABELS[stand],
        "sentence": sentence(result, f"Prompt {treatment}"),
        "metrics": [
            (name, metrics[name], effect(name, metrics[name], confidence)) for name in metrics
        ],
        "effects_chart": forest(
            [
                row(sentence_case(METRICS[name].name), name, metrics[name], confidence)
                for name in metrics
            ],
            f"Differences in percentage points with intervals: {where}",
        ),
        "subgroups_chart": forest(
            list(_subgroup_rows(contrast)), f"Differences by subgroup: {where}"
        ),
        "transitions": transitions(data, contrast.task, contrast.temp, control, contrast.treatment),
    }


def _subgroup_rows(contrast: Contrast) -> Iterator[Row]:
    result = contrast.result
    for name in ("em", "false_answer_rate", "abstain_rate"):
        rows = [
            row(
                f"{_subgroup_name(group)} ({part.n_items:,})",
                name,
                part.metrics[name],
                result.meta.confidence,
                group,
            )
            for group, part in result.subgroups.items()
            if name in part.metrics
        ]
        if rows:
            yield Row(sentence_case(METRICS[name].name))
            yield from rows


def _subgroup_name(group: str) -> str:
    return group.removeprefix("dataset=") if "=" in group else sentence_case(group)


def prompt_diff(control: str, treatment: str) -> list[tuple[str, str]]:
    """The words of two prompts as pieces marked ``same``, ``removed`` or ``added``, in order."""
    before, after = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (control, treatment))
    pieces: list[tuple[str, str]] = []
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, i, j, k, m in matcher.get_opcodes():
        if kind == "equal":
            pieces.append(("same", "".join(before[i:j])))
            continue
        if i < j:
            pieces.append(("removed", "".join(before[i:j])))
        if k < m:
            pieces.append(("added", "".join(after[k:m])))
    return pieces


if __name__ == "__main__":
    main()
