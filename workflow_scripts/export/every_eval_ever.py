"""One arm's answers to one task at one temperature in the format Every Eval Ever, version 0.3.

Run as ``python -m workflow_scripts.export.every_eval_ever --settings settings.json --items …
--answers answers.csv --outcomes outcomes.csv --scores per_item_scores.csv
--provenance provenance.json --output FOLDER``.

The folder gets the paths of the format's data store: data/{experiment}/{developer}/{model}/ with
{uuid}.json, the aggregate of each data set and metric, and {uuid}_samples.jsonl, a record for each
response and metric. Reference: the JSON Schemas of github.com/evaleval/every_eval_ever, which the
tests hold (tests/vendor/every_eval_ever).

Every fact of an instance that the format has no field for is text in its ``metadata``, under the
name that it has in our own tables. So a reader can make answers.csv's rows from the records.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..backends.capabilities import sent_values
from ..core.errors import UserError, command
from ..core.files import atomic_writer, read_csv, read_settings, sha256_of, write_json
from ..core.metric import Metric
from ..core.recorded import IMPORTED
from ..core.records import RIGHT, Answer, Item, ItemScores, Request, SampleOutcome
from ..core.values import path_name
from ..report.provenance import Provenance, shortened
from ..retrieval.records import Passage
from ..tasks.given import Given
from ..tasks.items import read_items
from ..tasks.registry import TASKS
from ..tasks.score_tables import read_item_scores, read_outcomes, score_columns
from ..verify.files import require_unchanged
from .inspect_log import answered
from .means import Mean, by_dataset, mean_score
from .settings import EvalSettings

SCHEMA_VERSION = "0.3.0"

_LIBRARY = "assay"
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Identity:
    """What tells an evaluation from all others.

    ``timestamp`` is the Unix time of the last answer: equal inputs give equal files.
    """

    settings: EvalSettings
    timestamp: int

    @property
    def evaluation_id(self) -> str:
        """The id that aggregate and instances share."""
        return f"{self.settings.evaluation_name}/{self.settings.model_id}/{self.timestamp}"

    @property
    def file_uuid(self) -> str:
        """A UUID of version 4 in its form, made from the id instead of by chance."""
        digest = hashlib.sha256(self.evaluation_id.encode("utf-8")).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))

    @property
    def folder(self) -> str:
        """The folder of both files below the root of a data store."""
        developer, name = self.settings.model_id.split("/", maxsplit=1)
        parts = (self.settings.experiment, path_name(developer), path_name(name))
        return "/".join(("data", *(each or _UNKNOWN for each in parts)))


def write_evaluation(
    root: Path,
    settings: EvalSettings,
    items: Mapping[str, Item],
    answers: Iterable[Answer],
    outcomes: Iterable[SampleOutcome],
    scores: Iterable[ItemScores],
    metrics: Sequence[Metric],
    provenance: Provenance,
) -> Path:
    """Write both files below a folder, and return the path of the aggregate.

    Rows of the tables that are not the arm's are ignored.

    Raises:
        UserError: a request without its answer, outcome or item.
    """
    place = (settings.condition, settings.task, settings.temp)
    times = provenance.answered
    identity = Identity(settings, int(times.last.timestamp()) if times else 0)
    of_request = {
        row.custom_id: row for row in outcomes if (row.condition, row.type, row.temp) == place
    }
    own = [row for row in scores if (row.condition, row.type, row.temp) == place]
    folder = root / identity.folder
    samples = folder / f"{identity.file_uuid}_samples.jsonl"
    given = Given(settings.retrievals)
    first: Request | None = None
    n_rows = n_failed = 0
    with atomic_writer(samples) as stream:
        for request, answer in answered(settings, answers):
            first = first or request
            n_failed += answer.failed
            outcome, item = of_request.get(answer.custom_id), items.get(request.item_key)
            if outcome is None or item is None:
                missing = "outcomes.csv" if outcome is None else "the item files"
                raise UserError(
                    f"request {answer.custom_id!r} is not in {missing}; make that file again"
                )
            passages = given.passages(answer)
            for record in _instances(identity, request, answer, item, outcome, metrics, passages):
                stream.write(_json(record) + "\n")
                n_rows += 1
    aggregate = _aggregate(identity, own, items, metrics, first, n_failed, provenance)
    aggregate["detailed_evaluation_results"] = {
        "format": "jsonl",
        "file_path": f"{identity.folder}/{samples.name}",
        "hash_algorithm": "sha256",
        "checksum": sha256_of(samples),
        "total_rows": n_rows,
    }
    path = folder / f"{identity.file_uuid}.json"
    write_json(path, aggregate)
    return path


def _instances(
    identity: Identity,
    request: Request,
    answer: Answer,
    item: Item,
    outcome: SampleOutcome,
    metrics: Iterable[Metric],
    passages: Sequence[Passage],
) -> Iterator[dict[str, Any]]:
    """A record per metric that was measured of a response; none of a failed request."""
    shown = TASKS[request.type].shown(item)
    question, reference = str(shown["question"]), list(shown["answers"])
    messages = [{"role": each.role, "content": each.content} for each in request.messages]
    extracted = str(outcome.column(TASKS[outcome.type].extracted) or answer.response_text)
    shared: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": identity.evaluation_id,
        "model_id": identity.settings.model_id,
        "evaluation_name": item.dataset,
        "sample_id": item.id,
        "sample_hash": hashlib.sha256((question + "".join(reference)).encode("utf-8")).hexdigest(),
        "interaction_type": "single_turn",
        "input": {"raw": question, "formatted": _json(messages), "reference": reference},
        "output": {"raw": [answer.response_text]},
        "messages": None,
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": extracted,
                "extraction_method": _LIBRARY,
                "is_terminal": True,
            }
        ],
    }
    if (usage := _usage(answer)) is not None:
        shared["token_usage"] = usage
    if answer.latency_s is not None:
        shared["performance"] = {"latency_ms": round(1000 * answer.latency_s, 6)}
    shared["metadata"] = _metadata(request, answer, item, outcome, passages)
    for metric in metrics:
        value = outcome.number(metric.name)
        if value is not None:
            yield {
                **shared,
                "evaluation_result_id": _result_id(item.dataset, metric),
                "evaluation": {"score": value, "is_correct": outcome.outcome in RIGHT},
            }


def _metadata(
    request: Request,
    answer: Answer,
    item: Item,
    outcome: SampleOutcome,
    passages: Sequence[Passage],
) -> dict[str, str]:
    """What the format has no field for, by the names of our own tables; all values are text."""
    found: dict[str, Any] = {
        "condition": answer.condition,
        "prompt": request.prompt,
        "temp": request.temp,
        "sample_index": request.sample_index,
        "type": request.type,
        "cluster_id": item.cluster_id,
        "outcome": outcome.outcome,
        "finish_reason": answer.finish_reason,
        "request_id": answer.request_id,
        "request_digest": answer.request_digest,
        "served_by": answer.served_by,
        "at_once": answer.at_once,
        "decoding": request.decoding.model_dump_json(),
        "passages": _json([each.id for each in passages]) if passages else None,
        **{f"tags.{name}": value for name, value in item.tags.items()},
    }
    return {name: str(value) for name, value in found.items() if value not in (None, "")}


def _usage(answer: Answer) -> dict[str, int] | None:
    """The tokens of a response, all of the prompt's among the input; ``None`` if not counted."""
    read, written = answer.prompt_tokens, answer.completion_tokens
    if read is None or written is None:
        return None
    found = {
        "input_tokens": read,
        "output_tokens": written,
        "total_tokens": read + written if answer.total_tokens is None else answer.total_tokens,
    }
    if answer.cached_tokens is not None:
        found["input_tokens_cache_read"] = answer.cached_tokens
    if answer.cache_write_tokens is not None:
        found["input_tokens_cache_write"] = answer.cache_write_tokens
    return found


def _aggregate(
    identity: Identity,
    scores: Sequence[ItemScores],
    items: Mapping[str, Item],
    metrics: Sequence[Metric],
    first: Request | None,
    n_failed: int,
    provenance: Provenance,
) -> dict[str, Any]:
    settings, times = identity.settings, provenance.answered
    at = times.last if times else datetime.fromtimestamp(0, UTC)
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": identity.evaluation_id,
        "evaluation_timestamp": at.isoformat(),
        "retrieved_timestamp": str(identity.timestamp),
        "source_metadata": {
            "source_name": settings.title or settings.experiment,
            "source_type": "evaluation_run",
            "source_organization_name": _UNKNOWN,
            "evaluator_relationship": "other",
        },
        "eval_library": {
            "name": _LIBRARY,
            "version": provenance.packages.get("assay-workflow", _UNKNOWN),
            "additional_details": {
                "prompt_set": settings.prompt_set,
                "condition": settings.condition,
                "failed_requests": str(n_failed),
            },
        },
        "model_info": {
            "name": settings.model,
            "id": settings.model_id,
            "developer": settings.developer,
            "inference_engine": {"name": settings.engine},
            "additional_details": {
                "deployment_type": settings.deployment_type,
                "model_availability": settings.model_availability,
                "backend": settings.backend,
            },
        },
        "evaluation_results": list(_results(settings, scores, items, metrics, first)),
    }


def _results(
    settings: EvalSettings,
    scores: Sequence[ItemScores],
    items: Mapping[str, Item],
    metrics: Sequence[Metric],
    first: Request | None,
) -> Iterator[dict[str, Any]]:
    """A result per data set and metric: the mean over the data set's items."""
    for dataset, rows in by_dataset(scores, items).items():
        for metric in metrics:
            found = mean_score(rows, items, metric, settings.confidence)
            if found is not None:
                yield {
                    "evaluation_result_id": _result_id(dataset, metric),
                    "evaluation_name": dataset,
                    "source_data": _source(settings, dataset),
                    "metric_config": _metric_config(metric),
                    "score_details": _score(found, settings.confidence),
                    "generation_config": _generation(settings, first),
                }


def _source(settings: EvalSettings, dataset: str) -> dict[str, Any]:
    """Where a data set comes from: the Hub, an address (without its query), or elsewhere."""
    named = {"dataset_name": dataset}
    if dataset in settings.benchmarks:
        return {**named, "source_type": "hf_dataset", "hf_repo": settings.benchmarks[dataset].id}
    if dataset in settings.urls:
        return {**named, "source_type": "url", "url": [shortened(settings.urls[dataset])]}
    return {**named, "source_type": "other"}


def _metric_config(metric: Metric) -> dict[str, Any]:
    is_share = metric.kind == "share"
    return {
        "evaluation_description": metric.definition,
        "metric_id": f"{_LIBRARY}.{metric.name}",
        "metric_name": metric.label,
        "metric_unit": "proportion" if is_share else metric.unit or "units",
        "lower_is_better": metric.better == "lower",
        "score_type": "continuous",
        "min_score": 0.0,
        "max_score": 1.0 if is_share else "Infinity",
        "additional_details": {"better": metric.better},
    }


def _score(found: Mean, confidence: float) -> dict[str, Any]:
    uncertainty: dict[str, Any] = {"num_samples": found.n_items}
    if found.deviation is not None:
        uncertainty["standard_deviation"] = found.deviation
    if found.standard_error is not None:
        uncertainty["standard_error"] = {
            "value": found.standard_error,
            "method": "cluster-robust (CR2)",
        }
        uncertainty["confidence_interval"] = {
            "lower": found.low,
            "upper": found.high,
            "confidence_level": confidence,
            "method": "cluster-robust t",
        }
    return {
        "score": found.value,
        "details": {"n_clusters": str(found.n_clusters)},
        "uncertainty": uncertainty,
    }


def _generation(settings: EvalSettings, first: Request | None) -> dict[str, Any]:
    """How answers were generated: what all requests share; their seeds differ."""
    if first is None:
        return {}
    if settings.engine == IMPORTED:
        sent = first.decoding.model_dump()  # as the file of answers has it
    else:
        sent = sent_values(settings.engine, settings.model, first.decoding, settings.shape)
    system = "\n".join(each.content for each in first.messages if each.role == "system")
    return {
        "generation_args": {
            "temperature": sent.get("temperature"),
            "top_p": sent.get("top_p"),
            "top_k": sent.get("top_k"),
            "max_tokens": sent.get("max_new_tokens"),
        },
        "additional_details": {"prompt": settings.prompt, "system_prompt": system},
    }


def _result_id(dataset: str, metric: Metric) -> str:
    return f"{dataset}/{metric.name}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


@command
def main() -> None:
    """Write one evaluation in the format Every Eval Ever."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="EvalSettings as JSON")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--answers", type=Path, required=True, help="answers.csv")
    parser.add_argument("--outcomes", type=Path, required=True, help="outcomes.csv")
    parser.add_argument("--scores", type=Path, required=True, help="per_item_scores.csv")
    parser.add_argument("--provenance", type=Path, required=True, help="provenance.json")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write")
    arguments = parser.parse_args()
    require_unchanged(
        [arguments.answers, arguments.outcomes, arguments.scores, arguments.provenance]
    )
    write_evaluation(
        arguments.output,
        read_settings(arguments.settings, EvalSettings),
        read_items(arguments.items),
        read_csv(arguments.answers, Answer),
        read_outcomes(arguments.outcomes),
        read_item_scores(arguments.scores),
        score_columns(arguments.scores),
        read_settings(arguments.provenance, Provenance),
    )


if __name__ == "__main__":
    main()
