"""What the tests of hosted providers' clients ask, and how they use a client."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from conftest import REPOSITORY, clean_environment
from servers.base import ProviderServer

from workflow_scripts.config.schema import BackendSettings
from workflow_scripts.files import write_json, write_jsonl
from workflow_scripts.infer.client import (
    BatchClient,
    BatchIntent,
    InferenceClient,
    RequestError,
    make_client,
)
from workflow_scripts.infer.collect import collect
from workflow_scripts.infer.poll import poll
from workflow_scripts.infer.settings import InferSettings
from workflow_scripts.infer.submit import submit
from workflow_scripts.records import Completion, Decoding, Message, Request

DECODING = Decoding(temperature=0.0, max_new_tokens=1200, seed=0)
SAMPLED = Decoding(
    temperature=0.7, max_new_tokens=1200, top_p=0.9, top_k=20, stop=["END", "\n"], seed=42
)

Result = TypeVar("Result")
Client = TypeVar("Client", bound=InferenceClient)


def chat(question: str = "Where is Oslo?", system: str = "Answer.") -> list[Message]:
    return [Message(role="system", content=system), Message(role="user", content=question)]


def request(number: int, **changes: object) -> Request:
    values: dict[str, object] = {
        "custom_id": f"d|{number}|control|0.0|0|closed_book",
        "dataset": "d",
        "item_id": str(number),
        "prompt": "control",
        "temp": "0.0",
        "sample_index": 0,
        "type": "closed_book",
        "messages": chat(question(number)),
        "decoding": DECODING,
    }
    return Request.model_validate({**values, **changes})


def question(number: int) -> str:
    return f"Where is Zürich {number}?\nWhere\u2028exactly?"


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def use(client: Client, action: Callable[[Client], Awaitable[Result]]) -> Result:
    """What an action with a client gives; the client is opened before and closed after."""

    async def run() -> Result:
        try:
            await client.open()
            return await action(client)
        finally:
            await client.close()

    return asyncio.run(run())


def asked(
    settings: BackendSettings, messages: Sequence[Message], decoding: Decoding = DECODING
) -> Completion:
    """The answer of a new client to one chat."""
    return use(make_client(settings), lambda client: client.generate(messages, decoding))


def refused(
    settings: BackendSettings, messages: Sequence[Message], decoding: Decoding = DECODING
) -> RequestError:
    """Why a new client has no answer to one chat."""
    try:
        asked(settings, messages, decoding)
    except RequestError as error:
        return error
    raise AssertionError("there is an answer")


def cut_off(
    server: ProviderServer, client: Client, action: Callable[[Client], Awaitable[object]]
) -> None:
    """Cut an action off as soon as the server hangs in a fault ("slow" or "after slow")."""
    hangs = threading.Event()
    handler: Any = server.RequestHandlerClass
    misbehave = handler.misbehave

    def noted(self: Any, fault: str, reply: Any) -> None:
        hangs.set()
        misbehave(self, fault, reply)

    async def run(client: Client) -> None:
        task = asyncio.ensure_future(action(client))
        hanging = asyncio.ensure_future(asyncio.to_thread(hangs.wait))
        await asyncio.wait([task, hanging], return_when=asyncio.FIRST_COMPLETED)
        hangs.set()
        assert not task.done(), "it came to its end before it could be cut off"
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    handler.misbehave = noted
    try:
        use(client, run)
    finally:
        handler.misbehave = misbehave


def intent(requests: int, at: datetime | None = None, name: str = "a") -> BatchIntent:
    digest = hashlib.sha256(name.encode()).hexdigest()[:24]
    return BatchIntent(f"assay-{digest}", requests, at or datetime.now(UTC))


def lines_of(settings: BackendSettings, requests: Sequence[Request], folder: Path) -> Path:
    """A file of a job's lines, as the batch machine writes it."""
    client: Any = make_client(settings)
    path = folder / "lines.jsonl"
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for number, each in enumerate(requests):
            line = json.dumps(client.batch_line(key(number), each), ensure_ascii=False)
            stream.write(line + "\n")
    return path


async def gathered(client: BatchClient, job: str) -> dict[str, Completion | RequestError]:
    """A job's results by key; of several for the same key, the first."""
    found: dict[str, Completion | RequestError] = {}
    async for each, result in client.batch_results(job):
        found.setdefault(each, result)
    return found


def run_whole(settings: BackendSettings, requests: Sequence[Request], folder: Path) -> None:
    """The three commands of a part, in one process."""
    whole = InferSettings(backend=settings, max_retries=2)
    write_jsonl(folder / "input.jsonl", requests)

    async def run() -> None:
        submitted = await submit(folder / "input.jsonl", whole, folder / "journal")
        completed = await poll(submitted, whole, folder / "journal")
        await collect(
            folder / "input.jsonl", completed, whole, folder / "journal", folder / "raw.jsonl"
        )

    asyncio.run(run())


def kill_and_submit_again(
    settings: BackendSettings,
    keys: dict[str, str],
    folder: Path,
    reached: Callable[[], bool],
) -> None:
    """Kill the command that submits a part once a point is reached, and run it again."""
    write_jsonl(folder / "input.jsonl", [request(number) for number in range(5)])
    backend = settings.model_dump(mode="json")
    write_json(folder / "settings.json", {"backend": backend, "max_retries": 2})
    command = [
        *(sys.executable, "-m", "workflow_scripts.infer.submit"),
        *("--requests", str(folder / "input.jsonl")),
        *("--settings", str(folder / "settings.json")),
        *("--journal", str(folder / "journal")),
        *("--output", str(folder / "submitted.json")),
    ]
    environment = clean_environment() | keys
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    while not reached():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (folder / "submitted.json").exists()
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True)
    assert (folder / "submitted.json").exists()
