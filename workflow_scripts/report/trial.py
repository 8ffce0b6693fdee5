"""Make the report of one trial: the verdict, the numbers and every item.

Run as ``python -m workflow_scripts.report.trial --trial trial.json … --output report.html``.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config.trials import Trial
from ..costs.settings import CostSettings
from ..errors import command
from ..files import read_csv, read_settings, write_text
from ..items import read_items
from ..records import ErrorRow, ItemScores
from ..stats.comparison import FEW_CLUSTERS
from .explorer import OUTCOMES, SCORES, explorer_data, pack, request_data, transitions
from .figures.collection import TrialFigures, trial_figures
from .figures.distributions import spreads
from .inputs import Audit, CostEffectivenessFile, TrialResults, read_companions, read_results
from .page import render
from .verdict import STANDING_LABELS, Contrast, contrasts, effect, sentence, standing
from .wording import METRICS, of, sentence_case

SMALL_SAMPLE = 50
"""Fewer items than this cannot show differences of a usual size."""

_SHOWN_ERRORS = 200


@command
def main() -> None:
    """Read a trial's files and write its report."""
    parser = argparse.ArgumentParser(description="Write the report of one trial.")
    for name, what in (
        ("trial", "trial.json: what was compared"),
        ("parts", "CostSettings as JSON: where the trial's requests and raw lines lie"),
        ("scores", "per_item_scores.csv"),
        ("significance", "significance.json"),
        ("local-costs", "local_costs.json: tokens and times"),
        ("costs", "costs.json: money"),
        ("selective-risk", "selective_risk.json: risk-coverage curves"),
        ("power", "power.json: what the trial can detect"),
        ("cost-effectiveness", "cost_effectiveness.json: what an avoided false answer costs"),
        ("audit", "audit.json: prompt lengths"),
        ("errors", "errors.csv: requests without an answer"),
        ("output", "the page to write"),
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
    companions = read_companions(
        arguments.selective_risk, arguments.power, arguments.cost_effectiveness
    )
    errors = list(read_csv(arguments.errors, ErrorRow))
    scores = list(read_csv(arguments.scores, ItemScores))
    parts = read_settings(arguments.parts, CostSettings).parts
    data = explorer_data(read_items(arguments.items), parts.raw_lines(), scores)
    page = trial_page(
        results,
        companions.cost_effectiveness,
        read_settings(arguments.audit, Audit),
        errors,
        data,
        request_data(data, parts),
        trial_figures(
            results, companions, arm_names(results.trial), scores, spreads(parts.raw_lines())
        ),
    )
    write_text(arguments.output, page)


def arm_names(trial: Trial) -> dict[str, str]:
    """What the arms are called on the page, by condition."""
    return {condition: f"“{arm.prompt}”" for condition, arm in trial.arms.items()}


def trial_page(
    results: TrialResults,
    cost_effectiveness: CostEffectivenessFile,
    audit: Audit,
    errors: Sequence[ErrorRow],
    data: dict[str, Any],
    requests: dict[str, Any],
    figures: TrialFigures,
) -> str:
    """The report of a trial as one HTML page."""
    trial, significance = results.trial, results.significance
    names = arm_names(trial)
    control = significance.control
    treatments = [condition for condition in trial.arms if condition != control]
    found = contrasts(significance)
    return render(
        "trial.html.j2",
        styles=["style.css", "figures.css", "explorer.css"],
        scripts=["figures.js", "explorer.js"],
        title=trial.title or _question(trial.arms[control].prompt, treatments, names),
        question=_question(trial.arms[control].prompt, treatments, names),
        trial=trial,
        stop=[json.dumps(text, ensure_ascii=False) for text in trial.decoding.stop],
        control=control,
        treatments=treatments,
        names=names,
        tasks={contrast.task: contrast.result.n_items for contrast in found},
        warnings=warnings(results, audit, errors),
        contrasts=[_contrast(contrast, control, names, data) for contrast in found],
        figures=figures,
        cost_effectiveness=cost_effectiveness,
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
        item_blocks={
            "items-data": pack(
                {
                    **data,
                    "control": control,
                    "treatments": treatments,
                    "names": names,
                    "temps": trial.temps,
                    "outcomes": OUTCOMES,
                    "scores": {name: sentence_case(METRICS[name].name) for name in SCORES},
                }
            ),
            "requests-data": pack(requests),
        },
    )


def _question(control: str, treatments: Sequence[str], names: dict[str, str]) -> str:
    listed = " or ".join(names[treatment] for treatment in treatments)
    return (
        f"Does the system prompt {listed} change accuracy and hallucination compared with "
        f"“{control}”?"
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
    return {
        "contrast": contrast,
        "result": result,
        "standing": stand,
        "standing_label": STANDING_LABELS[stand],
        "sentence": sentence(result, f"Prompt {treatment}"),
        "metrics": [
            (name, metrics[name], effect(name, metrics[name], confidence)) for name in metrics
        ],
        "transitions": transitions(data, contrast.task, contrast.temp, control, contrast.treatment),
    }


def warnings(results: TrialResults, audit: Audit, errors: Sequence[ErrorRow]) -> list[str]:
    """What a reader must know before believing the numbers."""
    found: list[str] = []
    if errors:
        by_arm = Counter(error.condition for error in errors)
        found.append(
            f"{of(len(errors), 'request')} got no answer "
            f"({', '.join(f'{arm}: {n:,}' for arm, n in sorted(by_arm.items()))}). "
            "They are left out of the scores and listed under “How it was done”."
        )
    for condition, cost in sorted(results.local_costs.by_condition.items()):
        if cost.truncated:
            found.append(
                f"{of(cost.truncated, 'answer')} of {cost.requests:,} of the {condition} arm "
                f"{'was' if cost.truncated == 1 else 'were'} cut off at the token limit."
            )
    if audit.exceeds_context:
        found.append(
            f"{of(audit.exceeds_context, 'prompt')} did not fit the context of {audit.n_ctx} "
            "tokens."
        )
    for contrast in contrasts(results.significance):
        where = contrast.task_name
        if len(results.trial.temps) > 1:
            where += f", temperature {contrast.temp}"
        if len(results.trial.arms) > 2:
            where += f", {contrast.treatment}"
        result = contrast.result
        if result.n_items < SMALL_SAMPLE:
            found.append(
                f"{where}: only {of(result.n_items, 'item')}. Fewer than {SMALL_SAMPLE} cannot "
                "show differences of a usual size."
            )
        elif result.meta.n_clusters < FEW_CLUSTERS:
            found.append(
                f"{where}: the items belong to only {result.meta.n_clusters} passages. With fewer "
                f"than about {FEW_CLUSTERS}, intervals are too narrow."
            )
        if result.meta.n_unpaired:
            found.append(
                f"{where}: {of(result.meta.n_unpaired, 'item')} answered under one arm only, left "
                "out of the comparison."
            )
    return found


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
