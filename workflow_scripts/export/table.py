"""The results as a table for papers: table.md and table.tex, of one trial or of all.

Run as ``python -m workflow_scripts.export.table --settings trials.json --markdown table.md
--latex table.tex``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..comparisons.records import Significance
from ..comparisons.sequential import Decision, SequentialTest
from ..config.trial import FrontSettings, Trial
from ..core.errors import command
from ..core.files import read_settings, write_text
from ..core.metric import Metric
from ..core.wording import counted
from ..report.contrast import AnyEstimate, Contrast, contrasts
from ..report.wording import among, count, p_value, points, ratio, sentence_case, significant
from ..stats.amounts import AmountEstimate
from ..stats.estimates import Estimate
from ..tasks.score_tables import score_columns
from ..verify.files import require_unchanged

COLUMNS = ("Metric", "Control", "Treatment", "Difference", "q")

NOTHING_TO_COMPARE = "no item has answers under both arms"

NOT_TRUSTED = "†"
AT_ANY_TIME = "‡"

_INTERVALS = {"score": "score intervals", "cluster_t": "cluster-robust t intervals"}


@dataclass(frozen=True)
class Group:
    """One comparison: what sets it apart from the others, and its rows, one cell per column."""

    label: str
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Table:
    """A table as plain text; who writes it in a markup language escapes it.

    ``name`` is made of what stands in paths, and so of letters, digits, ``.``, ``_``, ``-``.
    """

    name: str
    caption: str
    groups: list[Group]
    notes: list[str]


@dataclass(frozen=True)
class _Results:
    trial: Trial
    significance: Significance
    contrasts: list[Contrast]

    @property
    def facts(self) -> list[str]:
        """What may set a trial apart from the others of its experiment."""
        trial = self.trial
        return [trial.backend, trial.model, trial.decoding_name, trial.prompt_set]

    def at_any_time(
        self, contrast: Contrast, metric: str, subgroup: str | None
    ) -> SequentialTest | None:
        """The test that holds for a primary metric that was looked at after each wave."""
        decision = self.significance.sequential
        if decision is None or (metric, subgroup) != (decision.primary, decision.subgroup):
            return None
        place = (contrast.treatment, contrast.temp, contrast.task.name)
        for test in decision.comparisons:
            if (test.treatment, test.temp, test.task) == place:
                return test
        return None


def table_of(settings: FrontSettings) -> Table:
    """The table of some trials, read from the significance.json in their folders."""
    trials = []
    for trial in settings.trials:
        folder = Path(trial.folder)
        read = read_settings(folder / "significance.json", Significance)
        metrics = score_columns(folder / "per_item_scores.csv")
        trials.append(_Results(trial, read, contrasts(trial, read, metrics)))
    groups = [
        Group(_label(results, contrast, trials), list(_rows(results, contrast)))
        for results in trials
        for contrast in results.contrasts
    ]
    return Table(_name(settings), _caption(settings), groups, list(_notes(trials)))


def _name(settings: FrontSettings) -> str:
    first = settings.trials[0]
    if len(settings.trials) > 1:
        return first.experiment
    facts = (first.experiment, first.backend, first.model, first.decoding_name, first.prompt_set)
    return "-".join(facts)


def _caption(settings: FrontSettings) -> str:
    first = settings.trials[0]
    name = (settings.title or f"Experiment “{first.experiment}”").strip()
    if not name.endswith((".", "?", "!")):
        name += "."
    if len(settings.trials) > 1:
        return f"{name} Effect of the treatment prompts in {len(settings.trials)} trials."
    if not first.asks:
        return f"{name} Answers from files, compared in the prompt set “{first.prompt_set}”."
    return (
        f"{name} Effect of the prompt set “{first.prompt_set}” on the answers of {first.model} "
        f"({first.backend}, decoding {first.decoding_name})."
    )


def _label(results: _Results, contrast: Contrast, trials: Sequence[_Results]) -> str:
    varying = [
        fact
        for number, fact in enumerate(results.facts)
        if len({other.facts[number] for other in trials}) > 1
    ]
    arm = results.trial.arms.get(contrast.treatment)
    prompt = arm.name if arm else contrast.treatment
    parts = [
        *varying,
        contrast.task.label,
        f"prompt “{prompt}”",
        f"temperature {results.trial.temperature(contrast.temp)}",
    ]
    label, n_items = ", ".join(parts), contrast.result.n_items
    return f"{label} (n = {count(n_items)})" if n_items else f"{label}: {NOTHING_TO_COMPARE}"


def _rows(results: _Results, contrast: Contrast) -> Iterable[tuple[str, ...]]:
    for metric, subgroup, estimate in _shares(results, contrast):
        test = results.at_any_time(contrast, metric.name, subgroup)
        if test is None:
            difference, p = estimate.difference, estimate.q_value
            low, high = estimate.ci_low, estimate.ci_high
            mark = "" if estimate.ci_trusted else NOT_TRUSTED
        else:
            adjusted, p = test.adjusted_estimate, test.p_value
            difference = test.estimate if adjusted is None else adjusted
            low, high = test.ci_low, test.ci_high
            mark = AT_ANY_TIME
        interval = "–" if low is None or high is None else f"{_signed(low)}, {_signed(high)}"
        yield (
            sentence_case(metric.label) + among(subgroup),
            points(estimate.control_mean),
            points(estimate.treatment_mean),
            f"{_signed(difference)} [{interval}]{mark}",
            f"{p_value(p)}{mark if test else ''}",
        )
    yield from _amounts(contrast)


def _shares(results: _Results, contrast: Contrast) -> Iterable[tuple[Metric, str | None, Estimate]]:
    """The shares; behind the primary one that of the declared subgroup, where there is one."""
    registered = results.significance.registration
    subgroup = registered.declaration["registration"].get("subgroup", "") if registered else ""
    part = contrast.result.subgroups.get(subgroup)
    for metric in contrast.shares:
        yield metric, None, contrast.result.metrics[metric.name]
        estimate = part.metrics.get(metric.name) if part else None
        if estimate is not None and estimate.family == "primary":
            yield metric, subgroup, estimate


def _amounts(contrast: Contrast) -> Iterable[tuple[str, ...]]:
    for metric in contrast.amounts:
        amount = contrast.result.amounts[metric.name]
        unit = f" ({metric.unit})" if metric.unit else ""
        low, high = (ratio(each).removeprefix("×") for each in (amount.ci_low, amount.ci_high))
        interval = "–" if amount.ci_low is None or amount.ci_high is None else f"{low}, {high}"
        mark = "" if amount.ci_trusted else NOT_TRUSTED
        yield (
            f"{sentence_case(metric.label)}{unit}",
            significant(amount.control_mean),
            significant(amount.treatment_mean),
            f"{ratio(amount.ratio)} [{interval}]{mark}",
            p_value(amount.q_value),
        )


def _signed(share: float) -> str:
    return points(share, signed=True)


def _notes(trials: Sequence[_Results]) -> Iterable[str]:
    """How the numbers were computed, and what a reader must know before trusting them."""
    filled = [
        (results, contrast)
        for results in trials
        for contrast in results.contrasts
        if contrast.result.n_items
    ]
    if not filled:
        return
    metas = [contrast.result.meta for _, contrast in filled]
    estimates: list[AnyEstimate] = []
    for results, contrast in filled:
        estimates += [estimate for _, _, estimate in _shares(results, contrast)]
        estimates += contrast.result.amounts.values()
    level = _range(f"{100 * meta.confidence:g}" for meta in metas)
    yield (
        "Control and treatment: means over the same items in percent. Difference: treatment minus "
        f"control in percentage points [{level}% confidence interval]."
    )
    if any(isinstance(each, AmountEstimate) for each in estimates):
        yield (
            "Amounts: geometric means in their unit, and × the ratio of treatment to control "
            f"[{level}% confidence interval]."
        )
    yield from _sizes(filled)
    methods = dict.fromkeys(
        each.ci_method for each in estimates if isinstance(each, Estimate) and each.ci_method
    )
    if methods:
        named = " and ".join(_INTERVALS[method] for method in methods)
        yield f"Intervals: {named}, taking whole clusters as independent."
    yield _test(trials, estimates)
    n_unpaired = sum(meta.n_unpaired for meta in metas)
    if n_unpaired:
        yield f"{counted(n_unpaired, 'item')} without scores under both arms left out."
    if any(not each.ci_trusted for each in estimates):
        yield f"{NOT_TRUSTED} Too few clusters or differing items: an interval of doubtful level."
    decisions = [each.significance.sequential for each in trials if each.significance.sequential]
    if decisions:
        asked = _range(str(each.waves) for each in decisions)
        planned = _range(str(each.waves_planned) for each in decisions)
        levels = _range(f"{100 * (1 - t.alpha):g}" for each in decisions for t in each.comparisons)
        yield (
            f"{AT_ANY_TIME} Primary metric, looked at after each of {asked} of {planned} planned "
            f"waves: its difference over complete clusters{_kind(decisions)}, with a {levels}% "
            "interval and a p value (in place of q) that take the looks into account."
        )


def _kind(decisions: Sequence[Decision]) -> str:
    """Return what kind of estimate the differences of runs in waves are."""
    tests = [test for each in decisions for test in each.comparisons]
    if all(test.adjusted_estimate is None for test in tests):
        return ""
    return " (median-unbiased estimate)"


def _sizes(filled: Sequence[tuple[_Results, Contrast]]) -> Iterable[str]:
    for task in dict.fromkeys(contrast.task.label for _, contrast in filled):
        results = [contrast.result for _, contrast in filled if contrast.task.label == task]
        n_items = _range(count(each.n_items) for each in results)
        n_clusters = _range(count(each.meta.n_clusters) for each in results)
        samples = _range(str(each.meta.samples_per_item) for each in results)
        sampled = "" if samples == "1" else f", {samples} samples per item"
        yield f"{task}: n = {n_items} items in {n_clusters} clusters{sampled}."


def _test(trials: Sequence[_Results], estimates: Sequence[AnyEstimate]) -> str:
    test = "paired permutation test of the mean difference over whole clusters"
    corrections = [each.significance.multiplicity for each in trials]
    used = {each.family for each in estimates if each.q_value is not None}
    methods = dict.fromkeys(each.method for each in corrections if each)
    if not methods or not used:
        return f"q: not computed ({test}; p values in significance.json)."
    families: dict[str, list[int]] = {}
    for each in corrections:
        for family, size in each.families.items() if each else ():
            if family in used:
                families.setdefault(family, []).append(size)
    sizes = ", ".join(
        f"{_range(counted(size, 'test') for size in sizes)} ({family})"
        for family, sizes in families.items()
    )
    within = " in each trial" if len(trials) > 1 else ""
    return f"q: {test}, {' or '.join(methods)} over {sizes}{within}."


def _range(values: Iterable[str]) -> str:
    """Values that are mostly all the same: the one, or all of them."""
    return " or ".join(dict.fromkeys(values))


@command
def main() -> None:
    """Read the trials' comparisons and write both tables."""
    from .latex import latex
    from .markdown import markdown

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="FrontSettings as JSON")
    parser.add_argument("--markdown", type=Path, required=True, help="table.md, to be written")
    parser.add_argument("--latex", type=Path, required=True, help="table.tex, to be written")
    arguments = parser.parse_args()
    settings = read_settings(arguments.settings, FrontSettings)
    require_unchanged(Path(each.folder) / "significance.json" for each in settings.trials)
    table = table_of(settings)
    write_text(arguments.markdown, markdown(table))
    write_text(arguments.latex, latex(table))


if __name__ == "__main__":
    main()
