"""One arm's answers to one task at one temperature as a log of Inspect AI, for `inspect view`.

Run as ``python -m workflow_scripts.export.inspect_log --settings settings.json --items …
--answers answers.csv --outcomes outcomes.csv --scores per_item_scores.csv
--provenance provenance.json --output TASK.control.t0.0.eval``.

The format is Inspect AI's ``.eval``, which its documentation recommends over ``.json``: a ZIP
archive with ``header.json`` (an ``EvalLog`` without samples), ``summaries.json`` (one
``EvalSampleSummary`` per sample) and ``samples/{id}_epoch_{epoch}.json`` (one ``EvalSample`` each).
Reference: https://inspect.aisi.org.uk/eval-logs.html and the models in ``inspect_ai.log``. Samples
are written one by one, so memory holds the summaries and the outcomes alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import Field

from ..answers.parts import ArmParts
from ..backends.capabilities import sent_values
from ..backends.shape import Shape
from ..config.trial import OWN_TEMPERATURE
from ..core.block import Block
from ..core.errors import UserError, command
from ..core.files import atomic_path, read_csv, read_settings
from ..core.metric import Metric
from ..core.records import (
    Answer,
    Decoding,
    Item,
    ItemScores,
    Request,
    RequestMeta,
    SampleOutcome,
    TaskName,
    Usage,
)
from ..report.provenance import Answered, Provenance
from ..tasks.given import ArmRetrieval, Given
from ..tasks.items import read_items
from ..tasks.registry import TASKS
from ..tasks.score_tables import read_item_scores, read_outcomes, score_columns
from ..verify.files import require_unchanged

LOG_VERSION = 2
"""The version of Inspect AI's log format that is written."""

_SHORTEST = 1024
"""Characters of a text that a summary holds; Inspect AI cuts its own summaries like this."""

_NEVER = datetime.fromtimestamp(0, UTC)
"""The time of answers that did not come."""

_STOP_REASONS = {"stop": "stop", "length": "max_tokens"}
_GENERATE_CONFIG = {
    "temperature": "temperature",
    "max_new_tokens": "max_tokens",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop_seqs",
}
"""Our decoding parameters by Inspect AI's names."""


class InspectSettings(Block):
    """Whose answers to which task make up one log.

    ``parts`` are the arm's parts of that task and temperature. ``retrieval``: of an arm that
    searches.
    """

    experiment: str
    title: str | None
    backend: str
    engine: str
    model: str
    n_ctx: int | None
    prompt_set: str
    condition: str
    prompt: str
    task: TaskName
    temp: str
    parts: ArmParts
    takes_temperature: bool = Field(True, exclude_if=lambda takes: takes)
    shape: Shape = Field(default_factory=Shape, exclude_if=lambda shape: shape == Shape())
    retrieval: ArmRetrieval | None = Field(None, exclude_if=lambda found: found is None)

    @property
    def temperature(self) -> str:
        """The temperature in words."""
        return self.temp if self.takes_temperature else OWN_TEMPERATURE

    @property
    def retrievals(self) -> dict[str, ArmRetrieval]:
        """The retrieval of the arm by its condition, if it searches."""
        return {} if self.retrieval is None else {self.condition: self.retrieval}

    @property
    def model_name(self) -> str:
        """The model as Inspect AI names models: engine and model."""
        return f"{self.engine}/{self.model}"


class Log:
    """What becomes the header, gathered while samples are written."""

    def __init__(self, settings: InspectSettings) -> None:
        self._settings = settings
        self._usage: Counter[str] = Counter()
        self._datasets: dict[str, None] = {}
        self._ids: dict[str, None] = {}
        self._first: Request | None = None
        self._n_samples = 0
        self._n_failed = 0
        self._epochs = 1

    def add(self, request: Request, answer: Answer, usage: Mapping[str, int] | None) -> None:
        """Count one sample."""
        self._first = self._first or request
        self._datasets[request.dataset] = None
        self._ids[request.item_key] = None
        self._epochs = max(self._epochs, request.sample_index + 1)
        self._n_samples += 1
        self._n_failed += answer.failed
        self._usage.update(usage or {})

    def header(
        self, scores: Iterable[ItemScores], metrics: Iterable[Metric], times: Answered | None
    ) -> dict[str, Any]:
        """An ``EvalLog`` without samples; the results are means of the items' ``scores``."""
        settings = self._settings
        identity = _identity(settings)
        config = self._generate_config()
        results = list(_results(scores, metrics))
        first, last = (times.first, times.last) if times else (_NEVER, _NEVER)
        return {
            "version": LOG_VERSION,
            "status": "success",
            "eval": {
                "eval_id": _id("eval", identity),
                "run_id": _id("run", identity),
                "task_id": _id("task", identity),
                "created": last.isoformat(),
                "task": f"{settings.experiment}/{settings.task}",
                "task_display_name": f"{settings.task}: {settings.prompt} "
                f"(t={settings.temperature})",
                "task_version": 0,
                "task_args": {
                    "prompt_set": settings.prompt_set,
                    "condition": settings.condition,
                    "prompt": settings.prompt,
                    "temperature": settings.temperature,
                },
                "tags": [settings.prompt_set, settings.condition],
                "dataset": {
                    "name": ", ".join(self._datasets),
                    "samples": len(self._ids),
                    "sample_ids": list(self._ids),
                    "shuffled": False,
                },
                "model": settings.model_name,
                "model_generate_config": config,
                "model_args": {"backend": settings.backend, "n_ctx": settings.n_ctx},
                "config": {"epochs": self._epochs, "epochs_reducer": ["mean"]},
                "packages": {},
                "metadata": {"experiment": settings.experiment, "title": settings.title},
                "scorers": [{"name": each["name"]} for each in results],
            },
            "plan": {
                "name": "plan",
                "steps": []
                if settings.parts.answers
                else [
                    {"solver": "system_message", "params": {"template": self._system_prompt()}},
                    {"solver": "generate", "params": {}},
                ],
                "config": config,
            },
            "results": {
                "total_samples": self._n_samples,
                "completed_samples": self._n_samples - self._n_failed,
                "scores": results,
            },
            "stats": {
                "started_at": first.isoformat(),
                "completed_at": last.isoformat(),
                "model_usage": {settings.model_name: dict(self._usage)} if self._usage else {},
            },
        }

    def _generate_config(self) -> dict[str, Any]:
        """The decoding parameters that all requests share; seeds differ."""
        if self._first is None or self._settings.parts.answers:
            return {}
        engine, model = self._settings.engine, self._settings.model
        sent = sent_values(engine, model, self._first.decoding, self._settings.shape)
        return {theirs: sent[ours] for ours, theirs in _GENERATE_CONFIG.items() if ours in sent}

    def _system_prompt(self) -> str:
        messages = self._first.messages if self._first else []
        return "\n".join(each.content for each in messages if each.role == "system")


def write_log(
    path: Path,
    settings: InspectSettings,
    items: Mapping[str, Item],
    answers: Iterable[Answer],
    outcomes: Iterable[SampleOutcome],
    scores: Iterable[ItemScores],
    metrics: Sequence[Metric],
    times: Answered | None,
) -> None:
    """Write the log of an arm; rows of the tables that are not its are ignored.

    ``metrics`` are those of the trial; the log has those of which the arm has scores. ``times``
    are those of the trial's answers.

    Raises:
        UserError: a request without its answer, outcome or item.
    """
    place = (settings.condition, settings.task, settings.temp)
    of_request = {
        row.custom_id: row for row in outcomes if (row.condition, row.type, row.temp) == place
    }
    log, given = Log(settings), Given(settings.retrievals)
    summaries: list[str] = []
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for request, answer in answered(settings, answers):
            outcome, item = of_request.get(answer.custom_id), items.get(request.item_key)
            if outcome is None or item is None:
                missing = "outcomes.csv" if outcome is None else "the item files"
                raise UserError(
                    f"request {answer.custom_id!r} is not in {missing}; make that file again"
                )
            usage = _usage(answer.usage)
            sample = _sample(settings, request, answer, item, outcome, metrics, usage)
            if TASKS[request.type].searches:
                sample["metadata"]["passages"] = [each.id for each in given.passages(answer)]
            log.add(request, answer, usage)
            summaries.append(_json(_summary(sample)))
            _put(archive, f"samples/{sample['id']}_epoch_{sample['epoch']}.json", _json(sample))
        own = (row for row in scores if (row.condition, row.type, row.temp) == place)
        _put(archive, "summaries.json", f"[{','.join(summaries)}]")
        _put(archive, "header.json", _json(log.header(own, metrics, times)))


def answered(
    settings: InspectSettings, answers: Iterable[Answer]
) -> Iterator[tuple[Request, Answer]]:
    """Yield the arm's requests with their answers.

    Raises:
        UserError: answers.csv does not have the answers to just these requests.
    """
    place = (settings.condition, settings.task, settings.temp)
    own = (row for row in answers if (row.condition, row.type, row.temp) == place)
    for request, answer in zip_longest(_requests(settings.parts), own):
        asked = request and request.named(settings.condition)
        if request is None or answer is None or answer.custom_id != asked:
            found = answer and answer.custom_id
            raise UserError(
                f"answers.csv has {found!r} where {asked!r} was asked. Delete it and run again: it "
                "is made again from the raw parts."
            )
        yield request, answer


def _requests(parts: ArmParts) -> Iterator[Request]:
    """What was sent; of answers that come from a file, only whose they are is known."""
    if parts.answers is None:
        yield from parts.requests(Request)
        return
    unknown = Decoding(temperature=0, max_new_tokens=1, seed=0)
    for meta in parts.requests(RequestMeta):
        yield Request(**dict(meta), messages=[], decoding=unknown)


def _sample(
    settings: InspectSettings,
    request: Request,
    given: Answer,
    item: Item,
    outcome: SampleOutcome,
    metrics: Iterable[Metric],
    usage: dict[str, int] | None,
) -> dict[str, Any]:
    """An ``EvalSample``."""
    sent = [{"role": each.role, "content": each.content} for each in request.messages]
    sample: dict[str, Any] = {
        "id": request.item_key,
        "epoch": request.sample_index + 1,
        "input": sent or TASKS[request.type].shown(item)["question"],
        "target": TASKS[request.type].shown(item)["answers"],
        "messages": sent,
        "output": {"model": settings.model_name, "choices": []},
        "scores": {},
        "metadata": {
            "custom_id": outcome.custom_id,
            "dataset": item.dataset,
            "cluster_id": item.cluster_id,
            "subgroups": list(item.subgroups()),
            "outcome": outcome.outcome,
            **{name: outcome.column(name) for name in TASKS[request.type].details},
            **({} if settings.parts.answers else {"seed": request.decoding.seed}),
        },
        "store": {},
        "events": [],
        "model_usage": {settings.model_name: usage} if usage else {},
        "attachments": {},
        "uuid": _id("sample", outcome.custom_id, _identity(settings)),
    }
    if given.latency_s is not None:
        sample["total_time"] = sample["working_time"] = given.latency_s
    if given.failed:
        message = f"{given.error_type}: {given.error_message}"
        sample["error"] = {"message": message, "traceback": "", "traceback_ansi": ""}
        sample["output"]["error"] = message
        return sample
    answer = {
        "role": "assistant",
        "content": given.response_text,
        "source": "generate",
        "model": settings.model_name,
    }
    sample["messages"] = [*sent, answer]
    sample["output"] = _output(settings, given, answer, usage)
    sample["scores"] = _scores(outcome, metrics, given.response_text)
    return sample


def _output(
    settings: InspectSettings,
    given: Answer,
    answer: dict[str, Any],
    usage: dict[str, int] | None,
) -> dict[str, Any]:
    """A ``ModelOutput``."""
    reason = given.finish_reason or ""
    refused = reason.startswith("refused")
    stop = "content_filter" if refused else _STOP_REASONS.get(reason, "unknown")
    output: dict[str, Any] = {
        "model": settings.model_name,
        "choices": [{"message": answer, "stop_reason": stop}],
        "completion": given.response_text,
        "metadata": {"finish_reason": reason},
        "response_id": given.request_id,
    }
    if usage:
        output["usage"] = usage
    if given.latency_s is not None:
        output["time"] = given.latency_s
    return output


def _scores(outcome: SampleOutcome, metrics: Iterable[Metric], response: str) -> dict[str, Any]:
    """A ``Score`` per metric that was measured."""
    answer = outcome.column(TASKS[outcome.type].extracted) or response
    values = {metric.short: outcome.number(metric.name) for metric in metrics}
    return {
        name: {"value": value, "answer": answer, "explanation": f"Outcome: {outcome.outcome}."}
        for name, value in values.items()
        if value is not None
    }


def _results(scores: Iterable[ItemScores], metrics: Iterable[Metric]) -> Iterator[dict[str, Any]]:
    """An ``EvalScore`` per metric: the mean over items, as significance.json has it."""
    rows = list(scores)
    for metric in metrics:
        name = metric.short
        values = [value for row in rows if (value := row.score(metric.name)) is not None]
        if values:
            mean = math.fsum(values) / len(values)
            yield {
                "name": name,
                "scorer": name,
                "reducer": "mean",
                "scored_samples": len(values),
                "unscored_samples": len(rows) - len(values),
                "metrics": {"mean": {"name": "mean", "value": mean}},
            }


def _usage(usage: Usage) -> dict[str, int] | None:
    """A ``ModelUsage``, whose input tokens are those at full price; ``None`` if not counted."""
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    read, written = usage.cached_tokens, usage.cache_write_tokens
    found = {
        "input_tokens": usage.prompt_tokens - (read or 0) - (written or 0),
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens or usage.prompt_tokens + usage.completion_tokens,
    }
    if read is not None:
        found["input_tokens_cache_read"] = read
    if written is not None:
        found["input_tokens_cache_write"] = written
    return found


def _summary(sample: dict[str, Any]) -> dict[str, Any]:
    """An ``EvalSampleSummary``: the sample as lists of samples show it, long texts cut."""
    same = ("id", "epoch", "metadata", "model_usage", "total_time", "working_time", "uuid")
    summary: dict[str, Any] = {name: sample[name] for name in same if name in sample}
    summary["input"] = (
        _cut(sample["input"])
        if isinstance(sample["input"], str)
        else [{**each, "content": _cut(each["content"])} for each in sample["input"]]
    )
    summary["target"] = [_cut(each) for each in sample["target"]]
    summary["scores"] = {
        name: {**score, "answer": _cut(score["answer"])} for name, score in sample["scores"].items()
    }
    summary["completed"] = True
    summary["message_count"] = len(sample["messages"])
    if "error" in sample:
        summary["error"] = _cut(sample["error"]["message"])
    return summary


def _cut(text: str) -> str:
    return text if len(text) <= _SHORTEST else f"{text[:_SHORTEST]}…"


def _identity(settings: InspectSettings) -> str:
    """What tells a log from all others."""
    return "|".join(
        (
            str(settings.parts.raw_folder),
            settings.prompt_set,
            settings.condition,
            settings.task,
            settings.temp,
        )
    )


def _id(*of: str) -> str:
    """A short id in the place of Inspect AI's random ones, so that equal inputs give equal logs."""
    return hashlib.sha256("\0".join(of).encode("utf-8")).hexdigest()[:22]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _put(archive: zipfile.ZipFile, name: str, text: str) -> None:
    """Add a file without a time stamp, so that equal inputs give equal bytes."""
    member = zipfile.ZipInfo(name)
    member.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(member, text.encode("utf-8"))


@command
def main() -> None:
    """Write one log for `inspect view`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="InspectSettings as JSON")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--answers", type=Path, required=True, help="answers.csv")
    parser.add_argument("--outcomes", type=Path, required=True, help="outcomes.csv")
    parser.add_argument("--scores", type=Path, required=True, help="per_item_scores.csv")
    parser.add_argument("--provenance", type=Path, required=True, help="provenance.json")
    parser.add_argument("--output", type=Path, required=True, help="the .eval file to write")
    arguments = parser.parse_args()
    require_unchanged(
        [arguments.answers, arguments.outcomes, arguments.scores, arguments.provenance]
    )
    write_log(
        arguments.output,
        read_settings(arguments.settings, InspectSettings),
        read_items(arguments.items),
        read_csv(arguments.answers, Answer),
        read_outcomes(arguments.outcomes),
        read_item_scores(arguments.scores),
        score_columns(arguments.scores),
        read_settings(arguments.provenance, Provenance).answered,
    )


if __name__ == "__main__":
    main()
