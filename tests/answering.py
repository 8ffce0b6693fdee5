"""What the tests of inference share: requests, answers, a scripted client, and a part's run."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from conftest import REPOSITORY

from workflow_scripts.answers.executor import SyncExecutor
from workflow_scripts.backends.client import InferenceClient, RequestError
from workflow_scripts.backends.llama_cpp import BindingName
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.files import read_jsonl, write_jsonl
from workflow_scripts.core.records import Completion, Decoding, Message, RawLine, Request, Usage

Client = TypeVar("Client", bound=InferenceClient)
Made = TypeVar("Made")

IDENTITY = {"engine": "test", "model": "m"}


def request(number: int = 0, **changes: object) -> Request:
    values: dict[str, object] = {
        "custom_id": f"d|{number}|control|0.0|0|closed_book",
        "dataset": "d",
        "item_id": str(number),
        "prompt": "control",
        "temp": "0.0",
        "sample_index": 0,
        "type": "closed_book",
        "messages": [
            Message(role="system", content="Answer."),
            Message(role="user", content=f"Question {number}?"),
        ],
        "decoding": Decoding(temperature=0.0, max_new_tokens=8, seed=0),
    }
    return Request.model_validate({**values, **changes})


def completion(text: str = "Oslo") -> Completion:
    return Completion(
        response_text=text,
        finish_reason="stop",
        request_id="r",
        usage=Usage(prompt_tokens=3, completion_tokens=1, total_tokens=4),
        latency_s=0.25,
    )


class Scripted:
    """A client that does what a script says for each question, and counts what it was asked."""

    max_concurrent = 1000

    def __init__(self, script: Mapping[str, list[str]] | None = None) -> None:
        self.script = {question: list(steps) for question, steps in (script or {}).items()}
        self.asked: list[str] = []
        self.most_at_once = 0
        self.bears: int | None = None  # more at once are pushed back
        self.closed = False
        self._at_once = 0

    async def open(self) -> None:
        pass

    async def check(self) -> str:
        return "scripted"

    async def close(self) -> None:
        self.closed = True

    def identity(self) -> Mapping[str, str]:
        return IDENTITY

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        question = messages[-1].content
        self.asked.append(question)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(0.002)
        crowded = self.bears is not None and self._at_once > self.bears
        self._at_once -= 1
        step = self.script[question].pop(0) if self.script.get(question) else "answer"
        if crowded:
            raise RequestError("too many", retryable=True, overloaded=True)
        if step == "answer":
            return completion(f"to {question}")
        raise RequestError(
            step,
            retryable=step in ("busy", "lost"),
            may_be_charged=step == "lost",
        )


def run(
    folder: Path,
    client: InferenceClient,
    requests: list[Request],
    *,
    retries: int = 0,
    max_concurrent: int = 1,
    adaptive: bool = False,
) -> list[RawLine]:
    write_jsonl(folder / "input.jsonl", requests)
    executor = SyncExecutor(client, folder / "journal", max_retries=retries, adaptive=adaptive)
    executor.run_jsonl(folder / "input.jsonl", folder / "raw.jsonl", max_concurrent)
    return list(read_jsonl(folder / "raw.jsonl", RawLine))


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; fail after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def journaled(root: Path) -> list[dict[str, Any]]:
    """The whole lines with answers in all journals under a folder."""
    lines = (
        json.loads(line)
        for path in root.rglob("*.jsonl")
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    )
    return [line for line in lines if "completion" in line]


def use(client: Client, work: Callable[[Client], Awaitable[Made]]) -> Made:
    """What comes of some work with a client, which is opened before and closed after it."""

    async def whole() -> Made:
        try:
            await client.open()
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(whole())


# The embedded model


def ask(client: InferenceClient, question: str, decoding: Decoding) -> Completion:
    return asyncio.run(client.generate(chat(question), decoding))


def demo_settings(model: Path, binding: BindingName = "xllamacpp") -> BackendSettings:
    return BackendSettings(
        backend="local",
        local_engine="llama_cpp",
        local_binding=binding,
        local_model=str(model),
        n_ctx=512,
        n_threads=1,
    )


def chat(question: str) -> list[Message]:
    system = (REPOSITORY / "prompts/system/control.txt").read_text(encoding="utf-8").strip()
    return [Message(role="system", content=system), Message(role="user", content=question)]


GREEDY = Decoding(temperature=0.0, max_new_tokens=16, seed=0)
SAMPLED = Decoding(temperature=1.0, max_new_tokens=16, seed=7)
CAPITAL = "Answer the question in a few words.\n\nQuestion: What is the capital of France?"
