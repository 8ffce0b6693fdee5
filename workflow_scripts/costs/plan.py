"""What a run would ask and what that would cost, before anything is sent: plan.json, plan.md.

Nothing is asked of a model, but for the one token by which vLLM reports its settings.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ..answers.parts import ArmParts, EstimatedParts
from ..answers.predictions import RequestMetaOnly
from ..backends.ledger import Ledger, Spent
from ..backends.tokens import Counter, counter, tokenizer_of
from ..comparisons.planned import PlannedTest, planned_tests
from ..comparisons.score_files import declared_items, read_table
from ..core.errors import command
from ..core.files import read_settings, sha256_of, write_record, write_text
from ..core.prompts import CONTROL
from ..core.records import Message, Request
from ..core.seals import Seal, seal_beside
from .analyses import analysis_row
from .embeddings import estimated_requests
from .plan_records import (
    AnalysisRecord,
    BudgetRecord,
    EmbedderRecord,
    JudgeRecord,
    ModelRecord,
    Plan,
    RewritingRecord,
    RowRecord,
    TrialRecord,
)
from .plan_rows import ModelPlan, Row
from .plan_settings import PlannedRewriting, PlannedTrial, PlanSettings
from .plan_table import table
from .records import EmbedderPlan, EmbeddingsPlan

_SAMPLE = 1000
"""Requests of an arm that are read to see how long they are."""


def make_plan(
    settings: PlanSettings,
    journal_root: Path,
    items: Sequence[Path] = (),
    embeddings: EmbeddingsPlan | None = None,
) -> Plan:
    """Return the whole of plan.json.

    Args:
        settings: of the experiment.
        journal_root: folder of all journals.
        items: the item files, where the declared question is about a subgroup of the items.
        embeddings: what is still to be embedded. Requests whose passages wait for that are
            estimated.
    """
    embeddings = embeddings or EmbeddingsPlan(embedders=[])
    estimated = {
        path: requests
        for search in settings.searches
        if embeddings.waiting.intersection(search.embedders)
        for path, requests in estimated_requests(search)
    }
    trials = [_without_again_of(trial, estimated) for trial in settings.trials]
    planned: dict[str, set[str]] = {}
    ledger = Ledger(Path(settings.spending_folder))
    models: list[ModelRecord] = []
    analyses: dict[str, Row] = {}
    rewrites: list[tuple[PlannedRewriting, Row]] = []
    rows: dict[tuple[tuple[str, str], Path], Row] = {}
    for model in settings.models:
        plan = ModelPlan(model, journal_root, planned, ledger, estimated)
        key = (model.backend, model.model)
        files = dict.fromkeys(
            Path(file)
            for trial in trials
            for parts in (trial.parts.arms, trial.again)
            for condition, arm in parts.items()
            if trial.asked_of.get(condition) == key
            for file in arm.input_files()
        )
        rewriting = [each for each in settings.rewrites if each.asked == key]
        of_rewriting = plan.rows(Path(each.requests) for each in rewriting)
        rewrites += [(each, of_rewriting[Path(each.requests)]) for each in rewriting]
        done = not any(row.to_send or row.submitted for row in of_rewriting.values())
        stand_ins = dict(_stand_ins(trials, key))
        made = {
            path: part
            for path, part in stand_ins.items()
            if done and path not in estimated and _is_made_of(part, path)
        }
        counted = {path: made.get(path, path) for path in files}
        known = plan.rows(
            part for path, part in counted.items() if path in made or path not in stand_ins
        )
        for path, part in counted.items():
            rows[key, path] = known[part] if part in known else plan.stand_in(path)
        for analysis in settings.analyses if settings.analyses_ask == key else ():
            analyses[analysis.name] = analysis_row(plan, analysis)
        models.append(plan.recorded())
    embedded = [(each, _embedder_row(each)) for each in embeddings.embedders]
    further = [*analyses.values(), *(row for _, row in rewrites), *(row for _, row in embedded)]
    total = sum((*rows.values(), *further), Row())

    def sums(trial: PlannedTrial, arms: Mapping[str, ArmParts]) -> dict[str, RowRecord]:
        return {
            condition: sum(
                (rows[trial.asked_of[condition], Path(file)] for file in arm.input_files()), Row()
            ).recorded()
            for condition, arm in arms.items()
            if condition in trial.asked_of
        }

    return Plan(
        experiment=settings.experiment,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        models=models,
        trials=[
            TrialRecord(
                folder=trial.folder,
                arms=sums(trial, trial.parts.arms),
                again=sums(trial, trial.again),
            )
            for trial in trials
        ],
        rewrites=[
            RewritingRecord(
                backend=each.asked[0], model=each.asked[1], task=each.task, **row.numbers()
            )
            for each, row in rewrites
        ],
        analyses=[AnalysisRecord(analysis=name, **row.numbers()) for name, row in analyses.items()],
        embedders=[EmbedderRecord(**dict(each), row=row.recorded()) for each, row in embedded],
        estimated_parts=sorted(path.as_posix() for path in estimated),
        judges=list(_judges(settings, estimated)),
        total=total.recorded(),
        left_out=settings.left_out,
        questions=_questions(trials, items, estimated),
        budget=_budget(settings, total, ledger.spent()),
    )


def _stand_ins(
    trials: Iterable[PlannedTrial], asked: tuple[str, str]
) -> Iterator[tuple[Path, Path]]:
    """Yield planned parts, each with the one that has the passages of rewritten questions."""
    for trial in trials:
        for condition, arm in trial.rewritten.items():
            if trial.asked_of[condition] == asked:
                pairs = [(trial.parts.arms[condition], arm)]
                if condition in trial.again:
                    pairs.append((trial.again[condition], arm.sent_again()))
                for planned, made in pairs:
                    files = zip(planned.input_files(), made.input_files(), strict=True)
                    yield from ((Path(file), Path(part)) for file, part in files)


def _is_made_of(part: Path, planned: Path) -> bool:
    """Whether a part is there, and was made beside a planned one as it is now: its seal says so."""
    of_part, of_all_parts = seal_beside(part, part.stem), seal_beside(part, Path(part.stem).stem)
    seal = of_part if of_part.is_file() else of_all_parts
    if not (part.is_file() and seal.is_file()):
        return False
    named = {(Path(each.path).name, each.sha256) for each in read_settings(seal, Seal).inputs}
    return (planned.name, sha256_of(planned)) in named


def _judges(settings: PlanSettings, estimated: EstimatedParts) -> Iterator[JudgeRecord]:
    """What judges can be asked at most: which responses differ is known when they are there.

    Prompts are counted as their instructions and one request of the trial, whose question and
    passages they have, too, or two of a pair; replies are taken to be as long as they may be.
    """
    models = {(model.backend, model.model): model for model in settings.models}
    for trial in settings.trials:
        for judge in trial.judges:
            model = models[judge.asked]
            count = counter(tokenizer_of(model.settings))
            arms = trial.parts.arms.items()
            answers = sum(1 for _, arm in arms for _ in arm.requests(RequestMetaOnly, estimated))
            n = math.ceil(judge.repeats * answers)
            # What was sent is not known of answers made elsewhere.
            asked = (arm for condition, arm in arms if condition in trial.asked_of)
            requests = [request for arm in asked for request in arm.requests(Request, estimated)]
            about = [Message(role="user", content=judge.text)]
            prompt = count.prompt(about) + (1 + judge.pairs) * _mean_tokens(count, requests)
            tokens = round(n * prompt), n * judge.max_new_tokens
            quote = model.quote
            yield JudgeRecord(
                folder=trial.folder,
                judge=judge.name,
                model=model.settings.model,
                requests_at_most=n,
                prompt_tokens=tokens[0],
                at_most_completion_tokens=tokens[1],
                at_most_usd=None
                if quote is None
                else round(quote.usd(*tokens, batch=model.settings.runs_batches), 6),
            )


def _mean_tokens(count: Counter, requests: Sequence[Request]) -> float:
    """Mean tokens of what users ask and of the longest answers, over some of the requests."""
    some = requests[:: max(1, len(requests) // _SAMPLE)]
    sizes = [count.text(r.messages[-1].content) + r.decoding.max_new_tokens for r in some]
    return sum(sizes) / len(sizes) if sizes else 0.0


def _without_again_of(trial: PlannedTrial, estimated: Container[Path]) -> PlannedTrial:
    """Leave out requests that are sent again where the first ones are not made yet."""
    again = {
        condition: parts
        for condition, parts in trial.again.items()
        if not any(Path(file) in estimated for file in trial.parts.arms[condition].input_files())
    }
    return trial.model_copy(update={"again": again})


def _embedder_row(embedder: EmbedderPlan) -> Row:
    to_send = embedder.chunks + embedder.questions
    return Row(
        requests=embedder.texts,
        different=embedder.texts,
        held=embedder.kept,
        to_send=to_send,
        prompt_tokens=embedder.tokens,
        cost_usd=embedder.cost_usd,
        at_most_usd=embedder.at_most_usd,
        seconds=None if to_send else 0.0,
    )


def _questions(
    trials: Iterable[PlannedTrial], item_files: Sequence[Path], estimated: EstimatedParts
) -> list[PlannedTest]:
    """What the trials' declared primary question can find; equal ones once."""
    found: list[PlannedTest] = []
    table = read_table(item_files)
    for trial in trials:
        if trial.question is None:
            continue
        among: Container[str] | None = None
        if item_files:
            members = declared_items(table, trial.question.stats.stats)
            among = {key for key, member in zip(table.keys, members, strict=True) if member}
        items: dict[str, set[str]] = {}
        for request in trial.parts.arms[CONTROL].requests(RequestMetaOnly, estimated):
            if among is None or request.item_key in among:
                items.setdefault(request.type, set()).add(request.item_key)
        n_items = {task: len(keys) for task, keys in items.items()}
        tests = planned_tests(trial.question, n_items)
        found += [test for test in tests if test not in found]
    return found


def _budget(settings: PlanSettings, total: Row, spent: Spent) -> BudgetRecord:
    expected = None if total.cost_usd is None else round(spent.total_usd + total.cost_usd, 6)
    return BudgetRecord(
        budget_usd=settings.budget_usd,
        paid_usd=round(spent.paid_usd, 6),
        lost_usd=round(spent.lost_usd, 6),
        under_way_usd=round(spent.reserved_usd, 6),
        expected_usd=expected,
        is_enough=None
        if settings.budget_usd is None or expected is None
        else expected <= settings.budget_usd,
    )


@command
def main() -> None:
    """Write the plan of an experiment as JSON and as a table, and show the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--journal", type=Path, required=True, help="folder of earlier answers")
    parser.add_argument("--items", type=Path, nargs="*", default=[], help="item files (JSONL)")
    parser.add_argument("--embeddings", type=Path, nargs="?", help="what is to be embedded")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True, help="the same to be read")
    args = parser.parse_args()

    embeddings = args.embeddings and read_settings(args.embeddings, EmbeddingsPlan)
    settings = read_settings(args.settings, PlanSettings)
    plan = make_plan(settings, args.journal, args.items, embeddings)
    text = table(plan)
    write_record(args.output, plan)
    write_text(args.table, text)
    print(text, end="")


if __name__ == "__main__":
    main()
