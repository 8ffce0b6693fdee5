"""Files of a trial as the stages before the report make them, and reports made of them."""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import retrieved
from question_records import QUESTIONS, Item
from trial_parts import trial_parts

from workflow_scripts.answers.parts import ParseSettings
from workflow_scripts.answers.predictions import answers
from workflow_scripts.comparisons import experiment
from workflow_scripts.comparisons.confidences import Confidences
from workflow_scripts.comparisons.contrasts import analyse
from workflow_scripts.comparisons.differences import Difference, Differences
from workflow_scripts.comparisons.registration import RegistrationStatus
from workflow_scripts.comparisons.score_files import failures_of, scores_of, table_of
from workflow_scripts.comparisons.settings import ComparisonsSettings, StatsSettings
from workflow_scripts.config.trial import Arm, FrontSettings, Trial
from workflow_scripts.core import records
from workflow_scripts.core.files import (
    read_settings,
    write_csv,
    write_json,
    write_jsonl,
    write_record,
)
from workflow_scripts.core.metric import Metric
from workflow_scripts.core.records import (
    SEPARATOR,
    Answer,
    Decoding,
    ErrorRow,
    Failure,
    Message,
    Prediction,
    RawLine,
    Request,
    RequestMeta,
    Usage,
    custom_id,
)
from workflow_scripts.core.records import TaskName as Task
from workflow_scripts.costs import cost_effectiveness
from workflow_scripts.metrics.settings import Unsupported
from workflow_scripts.report import front, trial
from workflow_scripts.report.provenance import (
    Answered,
    Commit,
    FileDigest,
    Machine,
    Provenance,
    RecordedStep,
    Server,
)
from workflow_scripts.retrieval.records import Retrieval
from workflow_scripts.scoring.items import TrialScorer
from workflow_scripts.stats.amounts import AmountEstimate
from workflow_scripts.stats.settings import Stats
from workflow_scripts.tasks.question_answering import QuestionAnswering
from workflow_scripts.tasks.rag import RAG, RagOptions
from workflow_scripts.tasks.score_tables import read_item_scores, score_columns, write_metrics
from workflow_scripts.tasks.settings import ScoreSettings
from workflow_scripts.verify.answers import AnswerCounts
from workflow_scripts.verify.trial import RETEST_FILE, Verification

INJECTIONS = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<img src=x onerror='window.hacked = 3'>",
    '"><svg onload="window.hacked = 4">',
    "<!-- <script> window.hacked = 5",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:window.hacked = 6",
    "<iframe srcdoc='<script>parent.hacked = 7</script>'></iframe>",
    "\u2028</style><style>body{display:none}</style>",
    "\u202egnp.exe \u2066over\u2069 \u200fright",  # turn the text round
    "pass\u200bword\u00ad \u200d\ufeff",  # is not seen
    "wide" * 2000,
    "=cmd|' /C calc'!A0",
    "&lt;script&gt;window.hacked = 8&lt;/script&gt; &#60;b&#62;",
    "]]> --> */ \\u003cscript\\u003e ${window.hacked = 9} `",
    "[click](javascript:window.hacked=10) <a href='data:text/html,x'>here</a>",
]

UNTRUSTED = [
    *INJECTIONS,
    "\x1b[31mred\x1b[0m \x1b]8;;https://example.com\x07link\x1b]8;;\x07",
    "nul \x00 bell \x07 delete \x7f",
]
"""With control characters, which answers and passages can hold, but names cannot."""

QUICK = {"bootstrap_samples": 500, "permutation_samples": 500}
"""Statistics that tests of the pages can wait for."""

TEMPLATES = {
    "open_book": "Answer from the passage.\n\nPassage: {context}\n\nQuestion: {question}",
    "closed_book": "Answer the question.\n\nQuestion: {question}",
    "rag": RAG.template,
}

ALL = {**QUESTIONS, "rag": RAG}
"""The tasks that a trial can have."""

CITIES = ("Lyon", "Bremen", "Porto", "Gdańsk", "Turin")


TOKENS = Metric(
    name="answer_tokens",
    label="answer tokens",
    definition="Tokens of the answer.",
    better="lower",
    kind="amount",
    unit="tokens",
)
"""A metric that is compared by ratios."""

AMOUNTS = {
    "open_book": {"ratio": 0.71, "ci_low": 0.66, "ci_high": 0.77, "q_value": 0.0004},
    "closed_book": {"ratio": 1.02, "ci_low": 0.95, "ci_high": 1.1, "q_value": 0.4},
}
"""What is found of it by task."""


def declare_amount(patch: pytest.MonkeyPatch) -> None:
    """Let questions be measured by `TOKENS` too."""
    patch.setattr(QuestionAnswering, "metrics", (*QuestionAnswering.metrics, TOKENS))


def add_amounts(folder: Path, times: float = 1) -> None:
    """Add `AMOUNTS` to the scores and comparisons of a trial; it has to be declared before.

    ``times``: what the amounts of all items are multiplied by.
    """
    path = folder / "per_item_scores.csv"
    record = records.ItemScores.with_metrics(score_columns(path))
    rows = [
        row.model_copy(
            update={TOKENS.name: times * (12.5 if row.condition == "control" else 1234.0)}
        )
        for row in read_item_scores(path)
    ]
    write_csv(path, record, rows)
    path = folder / "significance.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for by_temp in content["results"].values():
        for by_task in by_temp.values():
            for task, result in by_task.items():
                rest = {"permutation_p": 0.001, "n_items": 80, "ci_trusted": task == "open_book"}
                found = amount_estimate(**AMOUNTS[task], **rest)
                result["amounts"] = {TOKENS.name: asdict(found)}
    write_json(path, content)


def make_items(
    n: int, task: str, injected: list[str], passages: Sequence[str] | None = None
) -> list[Item]:
    """``n`` items, every fourth unanswerable; the first ones carry the injected texts.

    Five items at a time share a passage.
    """
    items = []
    for number in range(n):
        text = injected[number] if number < len(injected) else ""
        unanswerable = number % 4 == 3
        city = CITIES[number % len(CITIES)]
        passage = f"Passage {number // 5}. {text}" if passages is None else passages[number // 5]
        items.append(
            Item(
                id=f"{task}-{number}{text.replace(SEPARATOR, '')}",
                dataset="demo" if number % 2 else "other",
                question=f"Where does person {number} live? {text}",
                answers=[] if unanswerable else [f"{city} {text}".strip()],
                context=passage if task == "open_book" else None,
                is_unanswerable=unanswerable,
                cluster_id=f"passage-{number // 5}",
            )
        )
    return items


def amount_estimate(
    ratio: float, ci_low: float | None, ci_high: float | None, **further: Any
) -> AmountEstimate:
    """An amount's estimate of which the ratio and its interval matter."""
    fields = {
        "control_mean": 100.0,
        "treatment_mean": 100.0 * ratio,
        "log_ratio": math.log(ratio) if ratio else -math.inf,
        "permutation_p": 0.01,
        "permutation_p_increase": 0.995,
        "permutation_p_decrease": 0.005,
        "wilcoxon_p": 0.01,
        "n_items": 100,
        "n_unmeasured": 0,
        "n_clusters": 100,
        "ci_method": "cluster_t",
        "ci_trusted": True,
    }
    return AmountEstimate(ratio=ratio, ci_low=ci_low, ci_high=ci_high, **fields | further)


DECODING: dict[str, Any] = {
    "max_new_tokens": {"closed_book": 32, "open_book": 32},
    "top_p": None,
    "top_k": None,
    "stop": ["\n"],
}


def made_arm(name: str, text: str, **changes: Any) -> dict[str, Any]:
    """One arm of a trial, as the settings have it."""
    return {
        "name": name,
        "prompt": name,
        "text": text,
        "templates": {"demo": {"file": None, "sha256": "ab" * 32}},
        "options": {},
        "backend": "llama_cpp",
        "model": "assay-demo",
        "decoding_name": "default",
        "decoding": DECODING,
        "inputs_folder": "inputs",
        "raw_folder": "raw",
        **changes,
    }


def _arms(
    treatments: Sequence[str], text: str, model: str, folder: Path
) -> dict[str, dict[str, Any]]:
    places = {
        "model": model,
        "inputs_folder": (folder / "inputs").as_posix(),
        "raw_folder": (folder.parent / "raw").as_posix(),
    }
    arms = {"control": made_arm("control", f"Answer every question. {text}", **places)}
    for name in treatments:
        arms[name] = made_arm(
            "careful" if name == "treatment" else name,
            f"Answer only if you are sure. If you do not know, say so. {name} {text}",
            **places,
        )
    return arms


def _searching(arms: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Let arms search; how they are decoded."""
    for condition, arm in arms.items():
        arm["options"] = retrieved.OPTIONS[condition]
    return {**DECODING, "max_new_tokens": dict.fromkeys(ALL, 32)}


def _response(
    draw: random.Random, task: Task, golds: Sequence[str], condition: str, number: int
) -> str:
    """A gold answer or a wrong one; a treatment often abstains instead."""
    knows = draw.random() < (0.75 if task == "open_book" else 0.3)
    if condition != "control" and draw.random() < (0.1 if knows else 0.7):
        return "I don't know."
    cited = f" [{number % 4 + 1}]." if task == "rag" else ""
    return (golds[0] if knows and golds else "Paris") + cited


def write_trial(
    folder: Path,
    *,
    n: int = 80,
    injected: list[str] | None = None,
    treatments: tuple[str, ...] = ("treatment",),
    temps: tuple[str, ...] = ("0.0",),
    model: str = "assay-demo",
    prompt_set: str = "careful",
    seed: int = 1,
    tasks: Sequence[Task] = QUESTIONS,
    passages: Sequence[str] | None = None,
    stats: Mapping[str, Any] | None = None,
    declared: RegistrationStatus | None = None,
    likely: bool = False,
) -> Trial:
    """Write all files of a trial whose treatment abstains where the control makes things up.

    ``n`` items of each of ``tasks``; without ``passages`` (one for five items) they are short.
    ``stats``: keys of the config's block; ``declared``: what is known of its declaration.
    ``likely``: the server reports log-probabilities.
    """
    injected = injected or []
    draw = random.Random(seed)
    text = injected[1] if injected else ""
    arms = _arms(treatments, text, model, folder)
    decoding = _searching(arms) if "rag" in tasks else DECODING
    settings = Trial.model_validate(
        {
            "experiment": "demo",
            "title": f"Demo {text}" if injected else None,
            "note": f"The embedded model is a demonstration. {text}",
            "backend": "llama_cpp",
            "engine": "llama_cpp",
            "model": model,
            "decoding_name": "default",
            "decoding": {**decoding, "stop": ["\n", *injected[:1]]},
            "prompt_set": prompt_set,
            "arms": arms,
            "temps": list(temps),
            "folder": folder.as_posix(),
        }
    )
    items: dict[Task, list[Any]] = {
        task: make_items(n if task in tasks else 0, task, injected, passages) for task in QUESTIONS
    }
    items |= {"rag": retrieved.make_items(n, injected)} if "rag" in tasks else {}
    found = retrieved.write_retrieved(folder, items.get("rag", []), list(arms), injected)
    predictions, errors = [], []
    lines: dict[str, list[RawLine]] = {}
    for task, condition, temp in product(items, arms, temps):
        for number, item in enumerate(items[task]):
            shared = {
                "custom_id": custom_id(item.dataset, item.id, condition, temp, 0, task),
                "dataset": item.dataset,
                "item_id": item.id,
                "condition": condition,
                "temp": temp,
                "sample_index": 0,
                "type": task,
            }
            prompt = arms[condition]["prompt"]
            part = lines.setdefault(f"{task}.{prompt}.t{temp}.p000.jsonl", [])
            identity = {name: shared[name] for name in shared if name != "condition"}
            identity |= {
                "custom_id": custom_id(item.dataset, item.id, prompt, temp, 0, task),
                "prompt": prompt,
            }
            if number == n - 1 and condition != "control":
                message = f"no answer within 60 s {text}"
                errors.append(ErrorRow(**shared, error_type="timeout", error_message=message))
                part.append(RawLine(**identity, error=Failure(type="timeout", message=message)))
                continue
            response = _response(draw, task, item.answers, condition, number)
            if number < len(injected):
                response += f" {injected[number]}"
            given = {
                "request_id": f"r{number}{injected[number] if number < len(injected) else ''}",
                "finish_reason": "stop",
                "response_text": response,
            }
            usage = {"prompt_tokens": 50, "completion_tokens": 4, "total_tokens": 54}
            predictions.append(Prediction(**shared, **given, **usage))
            part.append(
                RawLine(**identity, **given, usage=Usage(**usage), latency_s=0.001 * number)
            )
    by_key = {item.key: item for of_task in items.values() for item in of_task}
    rules = ScoreSettings(
        unsupported=Unsupported(),
        abstention_phrases=[],
        options_of_arms={name: arm["options"] for name, arm in arms.items() if arm["options"]},
    )
    sure = {each.custom_id: draw.random() for each in predictions if likely}
    scorer = TrialScorer(items, by_key, rules, likely=sure, retrieved=found)
    requests = list(scorer.outcomes(predictions, errors))
    scores = list(scorer.averaged())
    table = table_of(by_key.values())
    analysed = analyse(
        scores_of(scores, table),
        table,
        StatsSettings(stats=Stats.model_validate({**QUICK, **(stats or {})})),
        declared,
        failures=failures_of(errors, table),
        confidences=Confidences(requests, table),
    )
    for task, of_task in items.items():
        write_jsonl(folder / f"{task}.jsonl", of_task)
    for name, content in vars(analysed).items():
        write_record(folder / f"{name}.json", content)
    write_json(folder / "trial.json", settings.model_dump(mode="json"))
    write_parts(folder, settings, items, lines, found)
    write_csv(folder / "predictions.csv", Prediction, predictions)
    write_metrics(folder / "metrics.json", scorer.metrics)
    write_csv(
        folder / "per_item_scores.csv", records.ItemScores.with_metrics(scorer.metrics), scores
    )
    write_csv(folder / "errors.csv", ErrorRow, errors)
    write_csv(folder / "outcomes.csv", scorer.outcome_record, requests)
    write_provenance(folder, text)
    write_verification(folder, len(predictions))
    write_costs(folder, n, list(arms), text)
    write_differences(folder, treatments, n)
    return settings


def write_verification(folder: Path, n: int) -> None:
    """What a trial says whose ``n`` answers and all files are as they were made."""
    found = Verification(answers=AnswerCounts(requests=n, in_journal=n), files=20)
    write_json(folder / "verification.json", found.model_dump(mode="json"))


def write_provenance(folder: Path, text: str = "") -> Provenance:
    """Where the numbers come from, with ``text`` wherever others may have put it."""
    at = datetime(2026, 11, 20, 23, 59, 30, tzinfo=UTC)
    found = Provenance(
        schema_version=1,
        options=f"--cores 2 {text}".strip(),
        files=[
            FileDigest(path=f"items/{kind}.jsonl{text}", kind=kind, size=1234, sha256="ab" * 32)
            for kind in ("source", "request", "answer", "result")
        ],
        steps=[
            RecordedStep(
                rule=rule,
                after=after,
                files=[f"results/{rule}.json{text}"],
                code="0123456789abcdef",
                command=f"python -m workflow_scripts.{rule} {text}".strip(),
                settings={f"{rule}.json": {"seed": 7, "stats": {"random_seed": 8}, "text": text}},
            )
            for rule, after in (
                ("build", []),
                ("parse", ["build"]),
                ("stats", ["parse"]),
                ("trial_report", ["build", "stats"]),
            )
        ],
        answered=Answered(first=at, last=at.replace(day=21)),
        servers=[
            Server(served_by={}, answers=3, asked_of="llama_cpp/assay-demo"),
            Server(
                served_by={"server": "vllm", "address": f"http://gpu{text}"},
                answers=5,
                asked_of="llama_cpp/assay-demo",
            ),
        ],
        check=f"ok: {text}",
        commit=Commit(id="c0ffee" * 6, changed=True),
        python="CPython 3.11.7",
        packages={"numpy": "2.4.6"},
        machine=Machine(
            system="Linux", cpu=f"CPU {text}", cores=2, memory_bytes=8_000_000_000, gpus=[]
        ),
    )
    write_json(folder / "provenance.json", found.model_dump(mode="json"))
    return found


def write_differences(folder: Path, treatments: Sequence[str], n: int) -> None:
    """Write that the arms differ in their system prompts."""
    differing = Difference(
        requests=2 * n, differing={"system prompt": 2 * n}, declared=["system prompt"]
    )
    differences = Differences(treatments=dict.fromkeys(treatments, differing))
    write_json(folder / "differences.json", differences.model_dump(mode="json"))


def write_costs(folder: Path, n: int, arms: list[str], text: str) -> None:
    """Write tokens, times, money, what it buys, and the lengths of prompts."""
    cost = {
        "requests": 2 * n,
        "failed": 0,
        "truncated": 3,
        "prompt_tokens": 100 * n,
        "completion_tokens": 8 * n,
        "total_tokens": 108 * n,
        "latency_s": {"mean": 0.031, "p50": 0.03, "p95": 0.05},
        "total_latency_s": 0.062 * n,
    }
    write_json(
        folder / "local_costs.json",
        {"schema_version": 1, "by_condition": dict.fromkeys(arms, cost)},
    )
    rates = {"input_per_million": 0.15, "output_per_million": 0.6}
    paid = {
        "model": "m",
        "price": {"rates": rates, "batch_discount": 0.5, "source": text, "date": "2026-10"},
        "note": None,
        "prompt_tokens": {"engine": 100 * n, "estimate": 0},
        "completion_tokens": {"engine": 7 * n, "estimate": n},
        "cached_tokens": None,
        "estimated_by": "estimated as 4 bytes of text a token",
        "from_batch_jobs": 0,
    }
    write_json(
        folder / "costs.json",
        {
            "schema_version": 2,
            "by_condition": {
                arm: {**paid, "cost_usd": 0.0123 * (1 + number)} for number, arm in enumerate(arms)
            },
            "experiment": {"paid_usd": 0.0369, "lost_usd": 0.002, "reserved_usd": 0.001},
        },
    )
    lengths = {
        "system_tokens": 12,
        "prompt_tokens": {"mean": 50.2, "p50": 50, "p95": 61, "max": 70},
    }
    write_json(
        folder / "audit.json",
        {
            "schema_version": 2,
            "arms": {
                arm: {"tokenizer": "assay-demo.gguf", "n_ctx": 512, "exceeds_context": 0}
                for arm in arms
            },
            "prompts": {task: dict.fromkeys(arms, lengths) for task in tasks_in(folder)},
        },
    )
    files = {"significance": "significance.json", "local-costs": "local_costs.json"}
    files |= {"costs": "costs.json", "settings": "settings.json", "answers": "answers.csv"}
    files |= {"output": "cost_effectiveness.json", "usage": "usage.json"}
    files |= {"usage-per-item": "usage_per_item.csv", "stats-settings": "stats.json"}
    write_json(folder / "stats.json", StatsSettings(stats=Stats(**QUICK)).model_dump(mode="json"))
    measured = {
        "system": "",
        "model": "m",
        "tokenizer": {"path": None, "is_own": False},
        "n_ctx": 512,
        "quote": None,
        "note": None,
    }
    parts = read_settings(folder / "parts.json", ParseSettings).parts
    write_json(
        folder / "settings.json",
        {
            "arms": {
                arm: {"parts": of_arm.model_dump(mode="json"), **measured}
                for arm, of_arm in parts.arms.items()
            },
            "spending_folder": (folder / "spending").as_posix(),
        },
    )
    named = [part for name, file in files.items() for part in (f"--{name}", str(folder / file))]
    items = [str(folder / f"{task}.jsonl") for task in tasks_in(folder)]
    run_main(cost_effectiveness, [*named, "--items", *items])


def write_parts(
    folder: Path,
    settings: Trial,
    items: dict[Task, list[Item]],
    raw_lines: dict[str, list[RawLine]],
    found: Mapping[tuple[str, str], Retrieval],
) -> None:
    """Write raw parts, the batch-input parts that they answer, where they lie, and their table."""
    by_key = {item.key: item for of_task in items.values() for item in of_task}
    arms = {arm.prompt: (condition, arm) for condition, arm in settings.arms.items()}
    for name, lines in raw_lines.items():
        write_jsonl(folder / "raw" / name, lines)
        requests = [
            Request(
                **line.model_dump(include=set(RequestMeta.model_fields)),
                messages=_messages(line, by_key[line.item_key], *arms[line.prompt], found),
                decoding=Decoding(temperature=float(line.temp), max_new_tokens=32, seed=7),
            )
            for line in lines
        ]
        write_jsonl(folder / "inputs" / name, requests)
    of_arm = {
        condition: sorted(name for name in raw_lines if name.split(".")[1] == arm.prompt)
        for condition, arm in settings.arms.items()
    }
    parts = trial_parts(folder / "inputs", folder / "raw", of_arm)
    write_csv(folder / "answers.csv", Answer, answers(parts))
    settings_of_parse = ParseSettings(parts=parts, max_failure_share=1)
    write_json(folder / "parts.json", settings_of_parse.model_dump(mode="json"))


def _messages(
    line: RawLine,
    item: Any,
    condition: str,
    arm: Arm,
    found: Mapping[tuple[str, str], Retrieval],
) -> list[Message]:
    task, options = ALL[line.type], None
    if line.type == "rag":
        options = RagOptions.model_validate(arm.options.get("rag", {}))
        retrieval = found.get((condition, item.key))
        item = RAG.with_passages(item, retrieval.passages if retrieval else ())
    turns = [Message(role="system", content=arm.text)]
    return task.messages(item, TEMPLATES[line.type], turns, options)


def tasks_in(folder: Path) -> list[Task]:
    """The tasks of the trial in a folder."""
    return [task for task in ALL if (folder / f"{task}.jsonl").is_file()]


def trial_arguments(folder: Path, output: str) -> list[str]:
    """The arguments that the rule gives to the trial's command."""
    files = {
        "trial": "trial.json",
        "parts": "parts.json",
        "output": output,
        "json": Path(output).with_suffix(".json").name,
    }
    if (folder / "judgements.json").is_file():
        files["judgements"] = "judgements.json"
    if (folder / RETEST_FILE).is_file():
        files["retest"] = RETEST_FILE
    items = [str(folder / f"{task}.jsonl") for task in tasks_in(folder)]
    named = [part for name, file in files.items() for part in (f"--{name}", str(folder / file))]
    return [*named, "--items", *items, *retrieved.arguments(folder)]


def run_main(module: ModuleType, arguments: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["report", *arguments])
        module.main()


def make_report(folder: Path) -> Path:
    run_main(trial, trial_arguments(folder, "report.html"))
    return folder / "report.html"


def make_front(
    output: Path, settings: FrontSettings, stats: Mapping[str, Any] | None = None
) -> Path:
    """The front page at ``output``, of trials that lie in their folders with their items."""
    items = [
        str(Path(each.folder) / f"{task}.jsonl")
        for each in settings.trials
        for task in tasks_in(Path(each.folder))
    ]
    write_json(output.with_name("front.json"), settings.model_dump(mode="json"))
    compared = {"stats": Stats(**{**QUICK, **(stats or {})}), "trials": settings.trials}
    write_json(
        output.with_name("settings.json"),
        ComparisonsSettings.model_validate(compared).model_dump(mode="json"),
    )
    run_main(
        experiment,
        [
            *("--settings", str(output.with_name("settings.json"))),
            *("--items", *items),
            *("--output", str(output.with_name("comparisons.json"))),
        ],
    )
    retests = [Path(each.folder) / RETEST_FILE for each in settings.trials]
    run_main(
        front,
        [
            *("--settings", str(output.with_name("front.json"))),
            *("--comparisons", str(output.with_name("comparisons.json"))),
            *("--retests", *(str(path) for path in retests if path.is_file())),
            *("--output", str(output), "--json", str(output.with_suffix(".json"))),
        ],
    )
    return output


def significance_of(folder: Path) -> dict[str, Any]:
    results = json.loads((folder / "significance.json").read_text(encoding="utf-8"))["results"]
    found: dict[str, Any] = results["treatment"]["0.0"]
    return found


def in_points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")
