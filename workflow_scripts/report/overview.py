"""The first screen of a trial's page: what was asked, what came out, and how far to trust it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..comparisons.families import PrimaryTest, RegistrationReport
from ..config.trial import Trial
from ..core.metric import Metric
from ..core.records import NOT_IN_FILE, Answer, ErrorRow, SampleOutcome
from ..core.wording import counted
from ..costs.records import Audit
from ..stats.comparison import FEW_CLUSTERS
from ..stats.worst_case import WorstCase
from ..tasks.registry import TASKS
from ..verify.trial import Verification
from .arms import question
from .contrast import Contrast, contrasts, leading, leading_first, tasks_of
from .correctness import decided_by, disagreements
from .inputs import TrialResults
from .judging import judge_remarks
from .provenance import Answered, Provenance, SentTo
from .remark import Remark
from .wording import among, duration, money, p_equation, points

SMALL_SAMPLE = 50
"""Fewer items than this cannot show differences of a usual size."""

IMBALANCE = 0.01
"""Arms whose shares of requests without a usable answer differ by more are told apart."""

OutcomeCounts = Mapping[tuple[str, str], Mapping[str, int]]
"""Requests by outcome, for each task and condition."""


@dataclass(frozen=True)
class SchemaCounts:
    """Answers of an arm by how they were held to a JSON schema."""

    task: str
    condition: str
    exactly: int
    loosened: int
    not_enforced: int


@dataclass(frozen=True)
class Overview:
    """What the first screen and the provenance of a trial's page show."""

    question: str
    facts: dict[str, str]
    primary: list[str]
    outcomes: OutcomeCounts
    schemas: list[SchemaCounts]
    remarks: list[Remark]
    provenance: Provenance
    verification: Verification


def overview(
    results: TrialResults,
    audit: Audit,
    errors: Sequence[ErrorRow],
    outcomes: OutcomeCounts,
    schemas: list[SchemaCounts],
    undecided: int,
    provenance: Provenance,
    verification: Verification,
) -> Overview:
    """Gather the first screen.

    ``undecided``: responses of which neither rules nor a judge say whether they answer.
    """
    answered = provenance.answered
    decided = decided_by(results.metrics)
    return Overview(
        question=question(results.trial),
        facts={
            "Answered": _when_answered(results, answered),
            **_libraries(provenance),
            "Cost": total_cost(results),
            "Time of all requests": total_time(results),
            **({"Correct": f"decided by {decided}"} if decided else {}),
            **sent_facts(provenance.sent, results.trial),
            "Primary question": registration_fact(results.significance.registration),
            "Verified": verification.in_short,
        },
        primary=primary_sentences(results),
        outcomes=outcomes,
        schemas=schemas,
        remarks=[
            *remarks(results, audit, errors, outcomes),
            *_about_undecided(undecided, outcomes),
            *_about_servers(provenance),
            *_about_verification(verification),
        ],
        provenance=provenance,
        verification=verification,
    )


class OutcomeTally:
    """Counts outcomes by task and condition, and the responses that nobody can decide."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], Counter[str]] = {}
        self.undecided = 0

    def adding(self, rows: Iterable[SampleOutcome]) -> Iterator[SampleOutcome]:
        """Yield rows on, and count each."""
        for row in rows:
            self.counts.setdefault((row.type, row.condition), Counter())[row.outcome] += 1
            self.undecided += row.number(TASKS[row.type].undecided) == 1
            yield row


class SchemaTally:
    """Counts answers by task, condition and enforcement."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Counter[str | None]] = {}

    def add(self, answer: Answer) -> None:
        """Take in an answer."""
        if not answer.failed:
            counts = self._found.setdefault((answer.type, answer.condition), Counter())
            counts[answer.schema_enforced] += 1

    def counts(self) -> list[SchemaCounts]:
        """Return the counts; none for tasks without any schema."""
        tasks = {task for (task, _), counts in self._found.items() if counts.keys() - {None}}
        return [
            SchemaCounts(task, condition, counts["exactly"], counts["loosened"], counts[None])
            for (task, condition), counts in self._found.items()
            if task in tasks
        ]


def total_cost(results: TrialResults) -> str:
    """The money that the answers of all arms that were asked cost, and embeddings, in words."""
    paid = [each.paid_usd for each in results.costs.embedders]
    known = [each for each in paid if each is not None]
    answers = _cost_of_answers(results)
    if not paid:
        return answers
    return f"{answers}; embeddings: {money(sum(known)) if len(known) == len(paid) else 'unknown'}"


def _cost_of_answers(results: TrialResults) -> str:
    files = {name for name, arm in results.trial.arms.items() if arm.answers}
    asked = [name for name in results.costs.by_condition if name not in files]
    if not results.trial.asks:
        return "none: nothing was asked"
    costs = [results.costs.of(name) for name in asked]
    if all(arm.price and arm.price.is_free for arm in costs):
        return "free"
    paid = results.costs.usd_of(asked)
    return "unknown" if paid is None or not asked else money(paid)


def sent_facts(found: Sequence[SentTo], trial: Trial) -> dict[str, str]:
    """What was sent of the decoding, and what was not, in words."""
    said = {
        "Sent": [", ".join(_parameters(each.parameters)) for each in found],
        "Not sent": [", ".join(each.not_sent) for each in found],
    }
    facts = {}
    for fact, texts in said.items():
        places: dict[str, list[str]] = {}
        for text, each in zip(texts, found, strict=True):
            if text:
                places.setdefault(text, []).append(_place_of(each, trial))
        alone = len(set(texts)) == 1
        words = (f"{' and '.join(at)}: {text}" for text, at in places.items())
        if places:
            facts[fact] = texts[0] if alone else "; ".join(words)
    return facts


def _parameters(parameters: Mapping[str, Any]) -> Iterator[str]:
    """Parameters in words; of nested ones the innermost names."""
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from _parameters(value)
        elif isinstance(value, float):
            yield f"{name} {value:g}"
        else:
            yield f"{name} {value}"


def _place_of(each: SentTo, trial: Trial) -> str:
    """Where something was sent: the arms, the task and the temperature, if there are others."""
    asked = [condition for condition, arm in trial.arms.items() if arm.answers is None]
    where = [f"“{trial.arms[arm].name}”" for arm in each.arms] if each.arms != asked else []
    tasks = tasks_of(trial)
    if len(tasks) > 1:
        where.append(tasks[each.task].label.lower())
    if len(trial.temps) > 1:
        where.append(f"at temperature {each.temp}")
    return ", ".join(where) or "all"


def _when_answered(results: TrialResults, answered: Answered | None) -> str:
    """The days on which the answers came, in words."""
    if not results.trial.asks:
        return "elsewhere"
    return day_span(answered.first, answered.last) if answered else "never"


def total_time(results: TrialResults) -> str:
    """The time that all requests took, added up, in words."""
    spent = [arm.total_latency_s for arm in results.local_costs.by_condition.values()]
    known = [each for each in spent if each]
    return duration(sum(known)) if known else "unknown"


def day_span(first: datetime, last: datetime) -> str:
    """The day of two times, or both days."""
    one, other = f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}"
    return one if one == other else f"{one} to {other}"


def registration_fact(report: RegistrationReport | None) -> str:
    """Whether the primary question was declared in time, in a few words."""
    if report is None:
        return "not declared"
    if report.before_first_answer is None:
        return "declared, time unknown"
    return f"declared {'before' if report.before_first_answer else 'after'} the first answer"


def primary_sentences(results: TrialResults) -> list[str]:
    """What became of the declared question, one sentence a test."""
    report = results.significance.registration
    if report is None or results.significance.sequential is not None:
        return []  # asked in waves, the test for a fixed number of items does not hold
    declared = report.declaration["registration"]
    return [_primary(test, declared, results) for test in report.tests]


def _primary(test: PrimaryTest, declared: Mapping[str, object], results: TrialResults) -> str:
    trial = results.trial
    what = leading_first(results.metrics)[str(declared["primary"])].label
    expected = {"increase": "an increase", "decrease": "a decrease"}.get(str(declared["direction"]))
    arm = trial.arms.get(test.treatment)
    where = tasks_of(trial)[test.task].label.lower()
    subgroup = declared.get("subgroup")
    said = f"{what} under “{arm.name if arm else test.treatment}”, {where}"
    said += among(str(subgroup) if subgroup else None)
    if len(trial.temps) > 1:
        said += f", temperature {trial.temperature(test.temp)}"
    if expected:
        said += f" (expected: {expected})"
    verdict = "confirmed" if test.confirmed else "not confirmed"
    withheld = bool(results.judgements and results.judgements.doubted)
    if withheld:
        verdict = "no verdict is called"
    level = f"{p_equation('Holm p', test.p_holm)} at α = {float(str(declared['alpha'])):g}"
    text = f"{said}: {verdict}, {points(test.difference, signed=True)} points ({level})"
    for passed, words in ((test.equivalent, "equivalent"), (test.non_inferior, "not inferior")):
        if passed and not withheld:
            text += f"; {words} within the declared margin"
            if not test.margin_trusted:
                text += " (too few items or clusters to rely on)"
    return text[:1].upper() + text[1:] + "."


def _about_undecided(undecided: int, outcomes: OutcomeCounts) -> Iterator[Remark]:
    if undecided:
        n_all = sum(sum(each.values()) for each in outcomes.values())
        yield Remark(
            "note",
            "undecided",
            f"{undecided:,} of {counted(n_all, 'response')} say beside an answer that something is "
            "not known, or are in a language without rules. Without another verdict they count as "
            "answers; with “undecided: judge” a judge decides (docs/judges.md).",
        )


def remarks(
    results: TrialResults, audit: Audit, errors: Sequence[ErrorRow], outcomes: OutcomeCounts
) -> list[Remark]:
    """All that a reader must know, warnings first."""
    found = [
        *_about_requests(results, audit, errors, outcomes),
        *(
            each
            for contrast in contrasts(results.trial, results.significance, results.metrics)
            for each in _of(contrast, results)
        ),
        *judge_remarks(results.judgements),
        *_about_registration(results.significance.registration),
    ]
    return sorted(found, key=lambda each: each.level == "note")


def _about_requests(
    results: TrialResults, audit: Audit, errors: Sequence[ErrorRow], outcomes: OutcomeCounts
) -> Iterator[Remark]:
    missing = Counter(error.condition for error in errors if error.error_type == NOT_IN_FILE)
    for condition, n_missing in sorted(missing.items()):
        arm = results.trial.arms[condition]
        yield Remark(
            "warning",
            "not_in_file",
            f"{counted(n_missing, 'item')} {'has' if n_missing == 1 else 'have'} no answer in the "
            f"file of “{arm.name}”{f' ({arm.answers.shown})' if arm.answers else ''}. They are "
            "left out of its scores, and listed under “How it was done” and in errors.csv.",
        )
    failed = [error for error in errors if error.error_type != NOT_IN_FILE]
    if failed:
        by_arm = Counter(error.condition for error in failed)
        yield Remark(
            "warning",
            "failed",
            f"{counted(len(failed), 'request')} got no answer "
            f"({', '.join(f'{arm}: {n:,}' for arm, n in sorted(by_arm.items()))}). "
            "They are left out of the scores and listed under “How it was done”.",
        )
    for condition, cost in sorted(results.local_costs.by_condition.items()):
        if cost.truncated:
            yield Remark(
                "warning",
                "truncated",
                f"{counted(cost.truncated, 'answer')} of {cost.requests:,} of the {condition} arm "
                f"{'was' if cost.truncated == 1 else 'were'} cut off at the token limit.",
            )
    for condition, cost in sorted(results.local_costs.by_condition.items()):
        if cost.cut_while_thinking:
            yield Remark(
                "warning",
                "cut_while_thinking",
                f"{counted(cost.cut_while_thinking, 'response')} of the {condition} arm "
                f"{'is' if cost.cut_while_thinking == 1 else 'are'} empty because the token limit "
                "was reached while the model thought. Set reasoning, or a larger max_new_tokens.",
            )
    totals: dict[str, Counter[str]] = {}
    for (_, condition), counts in outcomes.items():
        totals.setdefault(condition, Counter()).update(counts)
    for condition, counts in sorted(totals.items()):
        if counts["refused"]:
            yield Remark(
                "warning",
                "refused",
                f"{counted(counts['refused'], 'request')} of {sum(counts.values()):,} of the "
                f"{condition} arm {'was' if counts['refused'] == 1 else 'were'} refused by the "
                "model or the provider.",
            )
    yield from _imbalance(totals, results.significance.control)
    for context in audit.contexts:
        if context.exceeds_context:
            yield Remark(
                "warning",
                "exceeds_context",
                f"{counted(context.exceeds_context, 'prompt')} did not fit the context of "
                f"{context.n_ctx} tokens.",
            )


def _imbalance(totals: Mapping[str, Counter[str]], control: str) -> Iterator[Remark]:
    """Arms that lose requests unequally: what is left may not be alike any more."""
    for name, verb in (("failed", "have no answer"), ("truncated", "were cut off")):
        shares = {arm: counts[name] / sum(counts.values()) for arm, counts in totals.items()}
        for arm, share in sorted(shares.items()):
            if arm != control and abs(share - shares.get(control, share)) > IMBALANCE:
                yield Remark(
                    "warning",
                    "imbalance",
                    f"The arms are not alike: {points(share)}% of the requests of the {arm} arm "
                    f"{verb}, {points(shares[control])}% of the {control} arm. Part of a "
                    "difference may be due to that.",
                )


def _of(contrast: Contrast, results: TrialResults) -> Iterator[Remark]:
    """Remarks on the data of one comparison."""
    trial, result = results.trial, contrast.result
    where = contrast.task.label
    if len(trial.temps) > 1:
        where += f", temperature {trial.temperature(contrast.temp)}"
    if len(trial.arms) > 2:
        where += f", {contrast.treatment}"
    if result.n_items < SMALL_SAMPLE:
        yield Remark(
            "warning",
            "small_sample",
            f"{where}: only {counted(result.n_items, 'item')}. Fewer than {SMALL_SAMPLE} cannot "
            "show differences of a usual size.",
        )
    elif result.meta.n_clusters < FEW_CLUSTERS:
        yield Remark(
            "warning",
            "few_clusters",
            f"{where}: the items belong to only {result.meta.n_clusters} passages. With fewer "
            f"than about {FEW_CLUSTERS}, intervals may not keep their level.",
        )
    if result.meta.n_unpaired:
        yield Remark(
            "warning",
            "unpaired_items",
            f"{where}: {counted(result.meta.n_unpaired, 'item')} answered under one arm only, left "
            "out of the comparison.",
        )
    if result.worst_case is not None:
        metrics = leading_first(results.metrics).values()
        message = f"{where}: {_bounds(result.worst_case, metrics)}"
        yield Remark("warning", "worst_case", message)
    for message in disagreements(contrast):
        yield Remark("warning", "correctness", f"{where}: {message}")
    if FEW_CLUSTERS <= result.meta.n_clusters < result.n_items:
        yield Remark(
            "note",
            "clustered",
            f"{where}: the {result.n_items:,} items belong to {result.meta.n_clusters:,} passages. "
            "Intervals and q values take whole passages as independent, not items.",
        )


def _libraries(provenance: Provenance) -> dict[str, str]:
    """The libraries that answered in this process, with their versions and builds, as a fact."""
    found = {
        f"{told['server']} {told['version']}, build {told['build'].partition(' (')[0]}"
        for told in (server.served_by for server in provenance.servers)
        if "build" in told
    }
    return {"Library": "; ".join(sorted(found))} if found else {}


def _about_servers(provenance: Provenance) -> Iterator[Remark]:
    """A remark on answers of several servers of one's own. Providers change theirs as they like."""
    named = {
        (
            server.asked_of,
            *((name, told) for name, told in server.served_by.items() if name != "context_length"),
        )
        for server in provenance.servers
        if "server" in server.served_by
    }
    if len(named) > len({asked_of for asked_of, *_ in named}):
        yield Remark(
            "warning",
            "several_servers",
            f"The answers came from {len(named)} servers or libraries, or from one that was "
            "restarted with other settings or updated (see “Where the numbers come from”). Part "
            "of a difference may be due to that. To have one server answer all requests, delete "
            "the folder “raw” beside this trial’s folder and run again; answers of servers that "
            "report the same settings stay.",
        )
    unknown = sum(server.answers for server in provenance.servers if not server.served_by)
    if named and unknown:
        yield Remark(
            "note",
            "unknown_servers",
            f"{counted(unknown, 'answer')} came from an earlier version of Assay, which did not "
            "record the server. Another server may have given them.",
        )


def _about_verification(verification: Verification) -> Iterator[Remark]:
    for gap in verification.unchecked:
        yield Remark("note", "not_verified", f"Not verified: {gap}.")


def _bounds(found: WorstCase, metrics: Iterable[Metric]) -> str:
    """What failed requests could hide, for the metrics that lead."""
    failed = found.failed_control + found.failed_treatment
    sizes = [
        f"the difference in {metric.label} lies between {points(each.low, signed=True)} and "
        f"{points(each.high, signed=True)} points"
        for metric in leading(metrics)
        if (each := found.metrics.get(metric.name)) is not None
    ]
    return (
        f"{counted(failed, 'request')} failed. The numbers assume that this happened at random. If "
        f"all of them had been right in one arm and wrong in the other, or the reverse, "
        f"{' and '.join(sizes)}."
    )


def _about_registration(report: RegistrationReport | None) -> Iterator[Remark]:
    if report is None:
        yield Remark(
            "note",
            "not_registered",
            "No primary question was declared before the run (stats.registration), so read every "
            "result as exploratory.",
        )
    elif report.before_first_answer is False:
        yield Remark(
            "warning",
            "declared_late",
            "The primary question was declared after the first answer had arrived: read its test "
            "as exploratory.",
        )
