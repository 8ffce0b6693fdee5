"""One arm's answers to a task as the exports get them: answered, refused, cut off and failed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from question_records import Item, scored
from trial_parts import trial_parts

from workflow_scripts.answers.predictions import answer
from workflow_scripts.core.files import write_jsonl
from workflow_scripts.core.records import (
    Answer,
    Decoding,
    ErrorRow,
    Failure,
    Message,
    Prediction,
    RawLine,
    Request,
    Usage,
    custom_id,
)
from workflow_scripts.export.inspect_log import InspectSettings, write_log
from workflow_scripts.metrics.settings import Unsupported
from workflow_scripts.report.provenance import Answered
from workflow_scripts.tasks.question_answering import QuestionAnswering
from workflow_scripts.tasks.settings import ScoreSettings

METRICS = QuestionAnswering.metrics
PARTS = ["open_book.careful.t0.7.p000.jsonl", "open_book.careful.t0.7.p001.jsonl"]
TIMES = Answered(
    first=datetime.fromtimestamp(1_700_000_000, UTC),
    last=datetime.fromtimestamp(1_700_000_060, UTC),
)
PASSAGE = "Mira Holt lives in Oslo. She eats rice."

# Response, finish reason; of two samples per item.
ANSWERS = [
    ("Oslo", "stop"), ("oslo.", "stop"),
    ("I don't know.", "stop"), ("Oslo", "stop"),
    ("Bergen", "stop"), ("The city of Bergen by the sea in the west is", "length"),
    ("", "refused:content_filter"), ("", "stop"),
    ("<script>alert('1')</script>", "stop"), ("", "length"),
    ("I cannot help with that.", "stop"), ("Answer: **Oslo**\n\nBecause.", "stop"),
]  # fmt: skip


def items() -> list[Item]:
    return [
        Item(
            id=f"i/{number}",
            dataset="demo",
            question="Where does Mira Holt live?",
            answers=[] if number == 3 else ["Oslo", "Oslo, Norway"],
            context=PASSAGE,
            is_unanswerable=number == 3,
            cluster_id="passage-1",
        )
        for number in range(len(ANSWERS) // 2)
    ]


class Arm:
    """The files of one arm with what stands in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items = items()
        self.requests: list[Request] = []
        self.lines: list[RawLine] = []
        predictions, errors = [], []
        for number, (text, reason) in enumerate(ANSWERS):
            item, sample = self.items[number // 2], number % 2
            named = custom_id("demo", item.id, "careful", "0.7", sample, "open_book")
            meta: dict[str, Any] = {
                "custom_id": named, "dataset": "demo", "item_id": item.id, "prompt": "careful",
                "temp": "0.7", "sample_index": sample, "type": "open_book",
            }  # fmt: skip
            messages = [
                Message(role="system", content="Answer only if you are sure."),
                Message(role="user", content=f"Passage: {PASSAGE}\n\n{item.question}"),
            ]
            decoding = Decoding(
                temperature=0.7, max_new_tokens=9, top_p=0.9, stop=["\n"], seed=sample
            )
            self.requests.append(Request(**meta, messages=messages, decoding=decoding))
            row = {key: value for key, value in meta.items() if key != "prompt"}
            row |= {
                "custom_id": named.replace("|careful|", "|treatment|"), "condition": "treatment",
            }  # fmt: skip
            if number == 1:
                error = Failure(type="timeout", message="no answer within 60 s")
                self.lines.append(RawLine(**meta, error=error))
                errors.append(ErrorRow(**row, error_type=error.type, error_message=error.message))
                continue
            usage = Usage(
                prompt_tokens=100, completion_tokens=number, total_tokens=100 + number,
                cached_tokens=60 if number == 0 else None,
                cache_write_tokens=10 if number == 0 else None,
            )  # fmt: skip
            if number == 2:
                usage = Usage()
            answer: dict[str, Any] = {
                "request_id": f"r{number}", "finish_reason": reason, "response_text": text,
            }  # fmt: skip
            latency = None if number == 3 else 0.25
            self.lines.append(RawLine(**meta, **answer, usage=usage, latency_s=latency))
            predictions.append(Prediction(**row, **answer))
        rules = ScoreSettings(
            unsupported=Unsupported(strategy="overlap", threshold=0.5), abstention_phrases=[]
        )
        table = {item.key: item for item in self.items}
        self.scores, self.outcomes = scored(predictions, table, rules, errors)
        self.settings = InspectSettings(
            experiment="demo", title="Does it help?", backend="local", engine="llama_cpp",
            model="assay-demo", n_ctx=2048, prompt_set="abstention", condition="treatment",
            prompt="careful", task="open_book", temp="0.7",
            parts=trial_parts(folder / "inputs", folder / "raw", {"t": PARTS}).arms["t"],
        )  # fmt: skip
        for name, start in zip(PARTS, (0, 4), strict=True):
            stop = start + 4 if start == 0 else None
            write_jsonl(folder / "inputs" / name, self.requests[start:stop])

    def answers(self) -> list[Answer]:
        other = [answer("control", line) for line in self.lines[:3]]
        return [*other, *(answer("treatment", line) for line in self.lines)]

    def write(self, name: str = "x.eval") -> Path:
        table = {item.key: item for item in self.items}
        other = [row.model_copy(update={"condition": "control", "em": 0.0}) for row in self.scores]
        scores = [*other, *self.scores]
        tables = (self.answers(), self.outcomes, scores)
        write_log(self.folder / name, self.settings, table, *tables, METRICS, TIMES)
        return self.folder / name
