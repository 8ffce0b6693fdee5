"""Hold all trials against the config's gate: gate.json, gate.xml (JUnit) and gate.md.

Run as ``python -m workflow_scripts.export.gate --settings gate.json --output gate.json
--junit gate.xml --markdown gate.md``. It ends with status 0 whatever it decides, so that the files
are kept; ``snakemake gate`` ends with the report's ``exit_code``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..comparisons.gate import Compared, LookedAt, concerns, judge, overall
from ..comparisons.gate_report import EXIT_CODES, Doubt, GateReport, Judgement
from ..comparisons.judgements import Judgements
from ..comparisons.records import Significance
from ..comparisons.settings import GateSettings
from ..config.trial import Trial
from ..core.errors import UserError, command
from ..core.files import read_settings, write_record, write_text
from ..core.metric import Metric
from ..core.usage import USAGE
from ..costs.usage import UsageFile
from ..stats.settings import GateCheck
from ..tasks.score_tables import score_columns
from ..verify.files import require_unchanged


def gate(settings: GateSettings) -> GateReport:
    """Return what a gate decides of the significance.json of its trials.

    Raises:
        UserError: a check has no margin, or concerns no comparison: then nothing was checked.
    """
    compared = [
        each for trial in settings.trials for each in comparisons(trial, judged=settings.judged)
    ]
    checks = [
        judgement
        for check in settings.checks
        for judgement in _judged(check, compared, settings.power)
    ]
    decision = overall(each.decision for each in checks)
    return GateReport(
        experiment=settings.trials[0].experiment,
        title=settings.title,
        decision=decision,
        exit_code=EXIT_CODES[decision],
        power=settings.power,
        checks=checks,
    )


def comparisons(trial: Trial, *, judged: bool) -> Iterator[Compared]:
    """Yield the comparisons of a trial, read from its folder; ``judged``: with judgements.json."""
    folder = Path(trial.folder)
    read = read_settings(folder / "significance.json", Significance)
    usage = read_settings(folder / "usage.json", UsageFile)
    measured = (*USAGE, *score_columns(folder / "per_item_scores.csv"))
    metrics = {each.name: each for each in measured}
    judgements = read_settings(folder / "judgements.json", Judgements) if judged else None
    for treatment, by_temp in read.results.items():
        arm = trial.arms.get(treatment)
        for temp, by_task in by_temp.items():
            for task, result in by_task.items():
                ratios = usage.of(treatment, temp, task).ratios
                yield Compared(
                    trial=trial,
                    arm=arm.name if arm else treatment,
                    task=task,
                    temp=temp,
                    metrics=metrics,
                    result=replace(result, amounts={**ratios, **result.amounts}),
                    looked_at=_looked_at(read, (treatment, temp, task)),
                    doubted=doubted(judgements, (treatment, temp, task), metrics),
                )


def doubted(
    judgements: Judgements | None, place: tuple[str, str, str], metrics: Mapping[str, Metric]
) -> dict[str, Doubt]:
    """Return the metrics of a comparison that do not reach ``judge_bar``, and why.

    A judge's own, and all that the report's verdict rests on if what decides correctness is one.
    """
    found: dict[str, Doubt] = {}
    if judgements is None or judgements.bar is None:
        return found
    judges = {each.name for each in judgements.judges}
    for held in judgements.held:
        if held.believed or (held.treatment, held.temp, held.type) != place:
            continue
        doubt = Doubt(
            level=held.level,
            labelled=held.agreement is not None,
            kappa=held.kappa,
            bar=judgements.bar,
        )
        if held.metric in judges:
            found[held.metric] = doubt
        if held.decides:
            found |= {name: doubt for name, metric in metrics.items() if metric.leads}
    return found


def _looked_at(read: Significance, place: tuple[str, str, str]) -> LookedAt | None:
    decision = read.sequential
    for test in decision.comparisons if decision else ():
        if decision and (test.treatment, test.temp, test.task) == place:
            return LookedAt(decision.primary, decision.subgroup, test)
    return None


def _judged(check: GateCheck, compared: Sequence[Compared], power: float) -> list[Judgement]:
    if check.margin is None:
        raise UserError(f"gate: the check of {check.metric!r} has no margin")
    found = [judge(check, each, check.margin, power) for each in compared if concerns(check, each)]
    if not found:
        raise UserError(f"gate: {_nothing(check, compared)}")
    return found


def _nothing(check: GateCheck, compared: Sequence[Compared]) -> str:
    """Why a check concerns no comparison."""
    wanted = {
        key: value
        for key, value in check.model_dump(exclude={"margin"}).items()
        if value is not None
    }
    named = ", ".join(f"{key} {value!r}" for key, value in wanted.items())
    parts = sorted({name for each in compared for name in each.result.subgroups})
    there = f"; subgroups with 2 items or more are {parts}" if check.subgroup else ""
    return f"no comparison has {named}, so nothing was checked{there}"


@command
def main() -> None:
    """Read the trials' comparisons and write the three files."""
    from .gate_markdown import gate_markdown
    from .junit import junit

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="GateSettings as JSON")
    parser.add_argument("--output", type=Path, required=True, help="gate.json, to be written")
    parser.add_argument("--junit", type=Path, required=True, help="gate.xml, to be written")
    parser.add_argument("--markdown", type=Path, required=True, help="gate.md, to be written")
    arguments = parser.parse_args()
    settings = read_settings(arguments.settings, GateSettings)
    read = ("significance.json", "usage.json", *(["judgements.json"] if settings.judged else []))
    require_unchanged(Path(each.folder) / name for each in settings.trials for name in read)
    report = gate(settings)
    write_record(arguments.output, report)
    write_text(arguments.junit, junit(report))
    write_text(arguments.markdown, gate_markdown(report))


if __name__ == "__main__":
    main()
