"""Make the report of one trial: the verdict, the numbers and every item.

Run as ``python -m workflow_scripts.report.trial --trial trial.json … --output report.html``.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..answers.parts import ParseSettings
from ..answers.predictions import errors as errors_of
from ..comparisons.differences import Differences
from ..comparisons.records import content_of
from ..config.trial import Trial
from ..core.errors import command
from ..core.files import read_csv, read_settings, write_json, write_text
from ..core.prompts import CONTROL
from ..core.records import Answer, ErrorRow
from ..core.seals import SealWriter, add_seal_argument
from ..core.usage import THOUGHTS, USAGE
from ..costs.records import Audit
from ..retrieval.retrieved import RetrievedOnDisk, add_retrieved_argument
from ..tasks.items import ItemsOnDisk
from ..tasks.score_tables import read_item_scores, read_outcomes
from ..verify.files import require_unchanged
from ..verify.trial import PAGE_FILES, Verification
from . import judging
from .arms import Differing, arm_names, called, differing, instructions, sources
from .contrast import Contrast, contrasts, leading_first, tasks_of
from .explorer import declarations, explorer_data, pack, request_data
from .fields import SHOWN, FieldMarks, fields
from .figures.collection import TrialFigures, trial_figures
from .figures.distributions import Spreads
from .inputs import Companions, Rows, TrialResults, read_companions, read_results
from .outcomes import MOST_RESPONSES, OUTCOMES, ItemOutcomes
from .overview import OutcomeTally, Overview, SchemaTally, overview
from .page import render
from .passages import ArmPassages, Rewritten
from .provenance import Provenance
from .rulegraph import rule_graph
from .splits import TaskSplit, splits
from .summary import summary
from .verdict import effect, findings, sentence, standing
from .wording import STANDING_LABELS

_SHOWN_ERRORS = 200


@command
def main() -> None:
    """Read a trial's files and write its report."""
    parser = argparse.ArgumentParser(description="Write the report of one trial.")
    add_argument = partial(parser.add_argument, type=Path, required=True)
    add_argument("--trial", help="trial.json: what was compared")
    add_argument("--parts", help="ParseSettings as JSON: where the trial's requests lie")
    add_argument("--output", help="the page to write, in the trial's folder")
    add_argument("--json", help="the same for programs: report.json")
    add_argument("--items", nargs="+", help="item files (JSONL)")
    parser.add_argument("--judgements", type=Path, nargs="?", help="judgements.json, if any")
    parser.add_argument("--retest", type=Path, nargs="?", help="retest.json, if any")
    add_retrieved_argument(parser)
    add_seal_argument(parser)
    arguments = parser.parse_args()
    folder = arguments.output.parent
    judged = arguments.judgements
    further = [path for path in (judged, arguments.retest) if path]
    shown = [*(folder / name for name in PAGE_FILES), *further]
    require_unchanged(shown)
    found = dict.fromkeys(each.path for each in arguments.retrieved)
    seal = SealWriter(arguments.seal, [*shown, *arguments.items, *found])
    results = read_results(
        read_settings(arguments.trial, Trial),
        folder / "per_item_scores.csv",
        folder / "significance.json",
        folder / "local_costs.json",
        folder / "costs.json",
        judged,
    )
    companions = read_companions(folder, arguments.retest)
    answers = Rows(partial(read_csv, folder / "answers.csv", Answer))
    scores = Rows(partial(read_item_scores, folder / "per_item_scores.csv"))
    outcome_rows = Rows(partial(read_outcomes, folder / "outcomes.csv"))
    parts = read_settings(arguments.parts, ParseSettings).parts
    tasks = tasks_of(results.trial)
    metrics = [metric.name for metric in results.metrics]
    tally, schemas, spreads, marks = OutcomeTally(), SchemaTally(), Spreads(), FieldMarks()
    errors: list[ErrorRow] = []
    texts = [folder / "answers.csv", *arguments.items, *found]
    size = sum(path.stat().st_size for path in texts)
    outcomes = ItemOutcomes(tally.adding(outcome_rows), MOST_RESPONSES, size)

    def counted() -> Iterator[Answer]:
        for answer in answers:
            schemas.add(answer)
            spreads.add(answer)
            errors.extend(errors_of([answer]))
            yield answer

    passages = ArmPassages(RetrievedOnDisk(arguments.retrieved), results.trial.arms)
    items = ItemsOnDisk(arguments.items)
    data = explorer_data(items, counted(), scores, outcomes, tasks, metrics, passages, marks)
    audit = read_settings(folder / "audit.json", Audit)
    provenance = read_settings(folder / "provenance.json", Provenance)
    verification = read_settings(folder / "verification.json", Verification)
    differences = read_settings(folder / "differences.json", Differences)
    over = overview(
        results,
        audit,
        errors,
        tally.counts,
        schemas.counts(),
        tally.undecided,
        provenance,
        verification,
    )
    page = trial_page(
        results,
        companions,
        audit,
        errors,
        outcomes,
        marks,
        data,
        request_data(data, parts, answers, results.trial.arms),
        trial_figures(
            results,
            companions,
            arm_names(results.trial),
            scores,
            outcome_rows,
            spreads.found(tasks),
        ),
        over,
        differing(results.trial, differences),
        splits(outcome_rows, tasks.values(), list(results.trial.arms)),
        passages.rewritten(),
    )
    write_text(arguments.output, page)
    write_json(arguments.json, summary(results, companions, audit, errors, over))
    seal.seal(arguments.output, arguments.json)


def trial_page(
    results: TrialResults,
    companions: Companions,
    audit: Audit,
    errors: Sequence[ErrorRow],
    item_outcomes: ItemOutcomes,
    marks: FieldMarks,
    data: dict[str, Any],
    requests: dict[str, Any],
    figures: TrialFigures,
    over: Overview,
    differences: Sequence[Differing],
    splits: Sequence[TaskSplit],
    rewritten: Sequence[Rewritten] = (),
) -> str:
    """The report of a trial as one HTML page."""
    trial, significance = results.trial, results.significance
    names = arm_names(trial)
    control = significance.control
    treatments = [condition for condition in trial.arms if condition != control]
    tasks, metrics = tasks_of(trial), leading_first(results.metrics)
    found = contrasts(trial, significance, results.metrics)
    return render(
        "trial.html.j2",
        styles=["style.css", "figures.css", "explorer.css"],
        scripts=["figures.js", "explorer.js"],
        title=trial.title or over.question,
        overview=over,
        rule_graph=rule_graph(over.provenance.steps),
        trial=trial,
        differences=differences,
        instructions=instructions(trial),
        sources=sources(trial),
        stop=[json.dumps(text, ensure_ascii=False) for text in trial.decoding.stop],
        control=control,
        treatments=treatments,
        names=names,
        tasks=tasks,
        metrics=metrics,
        n_items={contrast.task.label: contrast.result.n_items for contrast in found},
        contrasts=[
            _contrast(contrast, results, item_outcomes, marks, companions) for contrast in found
        ],
        judgements=results.judgements,
        judging=judging,
        figures=figures,
        splits=splits,
        rewritten=rewritten,
        cost_effectiveness=companions.cost_effectiveness,
        several=len(treatments) > 1,
        meta=found[0].result.meta if found else None,
        multiplicity=significance.multiplicity,
        sequential=significance.sequential,
        retest=companions.retest,
        local_costs=results.local_costs,
        costs=results.costs,
        audit=audit,
        prompt_diffs={
            condition: prompt_diff(
                trial.arms[control].prompt_text, trial.arms[condition].prompt_text
            )
            for condition in treatments
        },
        errors=errors[:_SHOWN_ERRORS],
        n_errors=len(errors),
        outcomes=OUTCOMES,
        selection=item_outcomes.selection,
        item_blocks={
            "items-data": pack(
                {
                    **data,
                    **declarations(data, tasks, metrics),
                    "control": control,
                    "treatments": treatments,
                    "names": names,
                    "temps": trial.temps,
                    "outcomes": OUTCOMES,
                }
            ),
            "requests-data": pack(requests),
        },
    )


def _contrast(
    contrast: Contrast,
    results: TrialResults,
    outcomes: ItemOutcomes,
    marks: FieldMarks,
    companions: Companions,
) -> dict[str, Any]:
    """What the template shows of one comparison."""
    trial, held = results.trial, judging.held_of(results.judgements, contrast)
    led = judging.led_by_labels(held)
    key = contrast.treatment, contrast.temp, contrast.task.name
    used = companions.usage.of(*key)
    label_power = next(iter((content_of(companions.power.labels, *key) or {}).values()), None)
    confidence = contrast.result.meta.confidence
    task, result = contrast.task, contrast.result
    stand = standing(contrast)
    return {
        "contrast": contrast,
        "result": result,
        "standing": stand,
        "standing_label": STANDING_LABELS[stand],
        "sentence": sentence(contrast, called(trial, contrast.treatment)),
        "held": held,
        "by_labels": judging.labels_sentence(*led, confidence, label_power) if led else "",
        "shares": findings(contrast, contrast.shares),
        "amounts": findings(contrast, contrast.amounts),
        "usage": [
            (metric, estimate, effect(metric, estimate, confidence))
            for metric in (*USAGE, *THOUGHTS)
            if (estimate := used.ratios.get(metric.name)) is not None
        ],
        "zeros": [
            (each, used.zeros[each.name])
            for each in (*USAGE, *THOUGHTS)
            if each.name in used.zeros and (each in USAGE or each.name in used.ratios)
        ],
        "declined": task.selective_risk.declined if task.selective_risk else "",
        "fields": fields(marks, contrast),
        "most_fields": SHOWN,
        "transitions": outcomes.transitions(task.name, contrast.temp, CONTROL, contrast.treatment),
    }


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
