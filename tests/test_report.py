"""The report: what it says, what it shows in a real browser, and what it must never run."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from workflow_scripts.config.stages import FrontSettings
from workflow_scripts.config.trials import Trial
from workflow_scripts.files import write_csv, write_json, write_jsonl
from workflow_scripts.records import ErrorRow, Item, ItemScores, Prediction, custom_id
from workflow_scripts.report import front, trial

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
]

METRICS = ("em", "f1", "abstain_rate", "false_answer_rate", "unsupported_rate")
CITIES = ("Lyon", "Bremen", "Porto", "Gdańsk", "Turin")


def make_items(n: int, task: str, injected: list[str]) -> list[Item]:
    """``n`` items, every fourth unanswerable; the first ones carry the injected texts."""
    items = []
    for number in range(n):
        text = injected[number] if number < len(injected) else ""
        unanswerable = number % 4 == 3
        city = CITIES[number % len(CITIES)]
        items.append(
            Item(
                id=f"{task}-{number}",
                dataset="demo" if number % 2 else "other",
                question=f"Where does person {number} live? {text}",
                answers=[] if unanswerable else [f"{city} {text}".strip()],
                context=f"Passage {number // 5}. {text}" if task == "open_book" else None,
                is_unanswerable=unanswerable,
                cluster_id=f"passage-{number // 5}",
            )
        )
    return items


def estimate(before: list[float], after: list[float]) -> dict[str, float]:
    """The numbers of one metric; a normal interval stands in for the bootstrap."""
    changes = [b - a for a, b in zip(before, after, strict=True)]
    n = len(changes)
    mean = sum(changes) / n
    half = 1.96 * (sum((c - mean) ** 2 for c in changes) / (n - 1) / n) ** 0.5
    p = 0.0002 if abs(mean) > half else 0.41
    return {
        "control_mean": sum(before) / n,
        "treatment_mean": sum(after) / n,
        "difference": mean,
        "ci_low": mean - half,
        "ci_high": mean + half,
        "naive_ci_low": mean - 0.8 * half,
        "naive_ci_high": mean + 0.8 * half,
        "permutation_p": p,
        "wilcoxon_p": p,
        "hodges_lehmann": mean,
        "cohens_d": mean,
        "cliffs_delta": mean,
        "q_value": p,
    }


def compare(rows: list[tuple[Item, ItemScores, ItemScores]], treatment: str) -> dict[str, Any]:
    """One comparison as significance.json has it."""

    def metrics(chosen: list[tuple[Item, ItemScores, ItemScores]]) -> dict[str, Any]:
        found = {}
        for name in METRICS:
            pairs = [(getattr(a, name), getattr(b, name)) for _, a, b in chosen]
            if all(None not in pair for pair in pairs):
                found[name] = estimate([a for a, _ in pairs], [b for _, b in pairs])
        return found

    mcnemar = {}
    for name in ("em", "abstain_rate", "false_answer_rate"):
        pairs = [(getattr(a, name) >= 0.5, getattr(b, name) >= 0.5) for _, a, b in rows]
        mcnemar[name] = {
            "both": pairs.count((True, True)),
            "only_control": pairs.count((True, False)),
            "only_treatment": pairs.count((False, True)),
            "neither": pairs.count((False, False)),
            "p_value": 0.012,
            "mid_p": 0.009,
            "odds_ratio": None,
        }
    groups = {
        "dataset=demo": [row for row in rows if row[0].dataset == "demo"],
        "dataset=other": [row for row in rows if row[0].dataset == "other"],
        "answerable": [row for row in rows if not row[0].is_unanswerable],
        "unanswerable": [row for row in rows if row[0].is_unanswerable],
    }
    return {
        "n_items": len(rows),
        "meta": {
            "n_clusters": len({item.cluster_id for item, *_ in rows}),
            "n_unpaired": 1,
            "n_unanswerable": len(groups["unanswerable"]),
            "confidence": 0.95,
            "bootstrap_samples": 2000,
            "permutation_samples": 5000,
            "random_seed": 20260101,
            "warnings": [],
        },
        "mcnemar": mcnemar,
        "metrics": metrics(rows),
        "selective_risk": {
            "control": {"coverage": 1.0, "risk": 0.4, "meets": {"0.1": False}},
            treatment: {"coverage": 0.7, "risk": 0.08, "meets": {"0.1": True}},
        },
        "subgroups": {
            name: {"n_items": len(group), "n_clusters": 9, "metrics": metrics(group)}
            for name, group in groups.items()
        },
        "tost": {"em": {"margin": 0.05, "p_value": 0.2, "equivalent": False}},
    }


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
) -> Trial:
    """Write all files of a trial whose treatment abstains where the control makes things up."""
    injected = injected or []
    draw = random.Random(seed)
    text = injected[1] if injected else ""
    arms = {"control": {"prompt": "control", "text": f"Answer every question. {text}"}}
    for name in treatments:
        arms[name] = {
            "prompt": "careful" if name == "treatment" else name,
            "text": f"Answer only if you are sure. If you do not know, say so. {name} {text}",
        }
    settings = Trial.model_validate(
        {
            "experiment": "demo",
            "title": f"Demo {text}" if injected else None,
            "note": f"The embedded model is a demonstration. {text}",
            "backend": "llama_cpp",
            "engine": "llama_cpp",
            "model": model,
            "decoding_name": "default",
            "decoding": {
                "max_new_tokens": {"closed_book": 32, "open_book": 32},
                "top_p": None,
                "top_k": None,
                "stop": ["\n", *injected[:1]],
            },
            "prompt_set": prompt_set,
            "arms": arms,
            "temps": list(temps),
            "folder": folder.as_posix(),
        }
    )
    predictions, scores, errors = [], [], []
    results: dict[str, Any] = {name: {temp: {} for temp in temps} for name in treatments}
    for task in ("open_book", "closed_book"):
        items = make_items(n, task, injected)
        write_jsonl(folder / f"{task}.jsonl", items)
        for temp in temps:
            by_arm: dict[str, list[ItemScores]] = {}
            for condition in arms:
                rows = by_arm.setdefault(condition, [])
                for number, item in enumerate(items):
                    identity = (item.dataset, item.id, condition, temp, 0, task)
                    shared = {
                        "custom_id": custom_id(*identity),
                        "dataset": item.dataset,
                        "item_id": item.id,
                        "condition": condition,
                        "temp": temp,
                        "sample_index": 0,
                        "type": task,
                    }
                    if number == n - 1 and condition != "control":
                        errors.append(
                            ErrorRow(
                                **shared, error_type="timeout", error_message=f"no answer {text}"
                            )
                        )
                        continue
                    knows = draw.random() < (0.75 if task == "open_book" else 0.3)
                    abstains = condition != "control" and draw.random() < (0.1 if knows else 0.7)
                    right = knows and not item.is_unanswerable and not abstains
                    response = "Paris"
                    if abstains:
                        response = "I don't know."
                    elif right:
                        response = item.answers[0]
                    if number < len(injected):
                        response = f"{response} {injected[number]}"
                    em = float(right or (abstains and item.is_unanswerable))
                    false = float(not right and not abstains)
                    predictions.append(
                        Prediction(
                            **shared,
                            request_id=f"r{number}",
                            finish_reason="stop",
                            response_text=response,
                            prompt_tokens=50,
                            completion_tokens=4,
                            total_tokens=54,
                        )
                    )
                    values = {
                        "em": em,
                        "f1": em,
                        "abstain_rate": float(abstains),
                        "false_answer_rate": false,
                        "unsupported_rate": false if task == "open_book" else None,
                    }
                    rows.append(
                        ItemScores(
                            item_key=item.key,
                            type=task,
                            condition=condition,
                            temp=temp,
                            **values,
                            **{
                                f"{name}_std": None if value is None else 0.0
                                for name, value in values.items()
                            },
                        )
                    )
                scores.extend(rows)
            for name in treatments:
                pairs = zip(items[:-1], by_arm["control"], by_arm[name], strict=False)
                results[name][temp][task] = compare(list(pairs), name)
    write_json(folder / "trial.json", settings.model_dump(mode="json"))
    write_csv(folder / "predictions.csv", Prediction, predictions)
    write_csv(folder / "per_item_scores.csv", ItemScores, scores)
    write_csv(folder / "errors.csv", ErrorRow, errors)
    write_json(
        folder / "significance.json",
        {"schema_version": 1, "control": "control", "results": results},
    )
    cost = {
        "requests": 2 * n,
        "failed": 0,
        "truncated": 3,
        "prompt_tokens": 100 * n,
        "completion_tokens": 8 * n,
        "total_tokens": 108 * n,
        "latency_s": {"mean": 0.031, "p50": 0.03, "p95": 0.05},
        "total_latency_s": 0.062 * n,
        "cost_usd": None,
    }
    write_json(
        folder / "local_costs.json",
        {"schema_version": 1, "by_condition": {condition: cost for condition in arms}},
    )
    lengths = {
        "system_tokens": 12,
        "prompt_tokens": {"mean": 50.2, "p50": 50, "p95": 61, "max": 70},
    }
    write_json(
        folder / "audit.json",
        {
            "schema_version": 1,
            "tokenizer": "assay-demo.gguf",
            "n_ctx": 512,
            "exceeds_context": 0,
            "prompts": {
                task: {condition: lengths for condition in arms}
                for task in ("open_book", "closed_book")
            },
        },
    )
    return settings


def run_trial(folder: Path, output: str = "report.html") -> Path:
    """Make a trial's report as the rule does."""
    files = {
        "trial": "trial.json",
        "predictions": "predictions.csv",
        "scores": "per_item_scores.csv",
        "significance": "significance.json",
        "costs": "local_costs.json",
        "audit": "audit.json",
        "errors": "errors.csv",
        "output": output,
    }
    arguments = [part for name, file in files.items() for part in (f"--{name}", str(folder / file))]
    items = [str(folder / f"{task}.jsonl") for task in ("open_book", "closed_book")]
    run_module("trial", *arguments, "--items", *items)
    return folder / output


def run_module(name: str, *arguments: str) -> None:
    command = [sys.executable, "-m", f"workflow_scripts.report.{name}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
