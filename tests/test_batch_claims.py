"""Whose a batch is, where the provider takes no name: its results' keys decide."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answering import request
from backends import HOSTED_BATCH, Backend
from batch_parts import BatchPart, Kill, jobs_at
from servers.anthropic import AnthropicServer
from servers.base import running
from servers.fireworks import ACCOUNT

from workflow_scripts.answers.batch import opened
from workflow_scripts.answers.job_folder import Job, JobFolder, job_folders
from workflow_scripts.answers.part import Part
from workflow_scripts.answers.settings import InferSettings
from workflow_scripts.backends.client import make_client
from workflow_scripts.backends.settings import BackendSettings

(ANTHROPIC,) = [each for each in HOSTED_BATCH if each.config["backend"] == "anthropic"]
SENT = Kill("POST /v1/messages/batches", after=True)
NOT_SENT = Kill("POST /v1/messages/batches", after=False)

pytestmark = pytest.mark.usefixtures("at_once")


@pytest.fixture
def server() -> Iterator[AnthropicServer]:
    with running(AnthropicServer()) as server:
        yield server


def part(
    server: Any,
    folder: Path,
    name: str,
    first: int,
    journal: str = "journal",
    backend: Backend = ANTHROPIC,
) -> BatchPart:
    config = backend.settings(server) | {"poll_interval_s": 0.001}
    settings = InferSettings(backend=BackendSettings(**config), max_retries=0)
    requests = [request(first + number) for number in range(4)]
    return BatchPart(server, settings, folder / journal, folder / f"{name}.jsonl", requests)


def the_folder(journal: Path) -> JobFolder:
    (folder,) = job_folders(journal, "anthropic")
    return folder


def as_before(journal: Path, intents: Path, job: Job) -> None:
    """Put an intent back, open, as versions before 0.2 left several of them."""
    shutil.copytree(intents, the_folder(journal).path, dirs_exist_ok=True)
    the_folder(journal).write(job.model_copy(update={"id": None, "address": None}))


@pytest.mark.parametrize("a_was_sent", [False, True])
@pytest.mark.parametrize("first", ["a", "b"])
def test_of_two_open_intents_the_one_with_the_keys_gets_the_batch(
    server: AnthropicServer, tmp_path: Path, first: str, a_was_sent: bool
) -> None:
    a, b = part(server, tmp_path, "a", 0), part(server, tmp_path, "b", 4)
    a.run_until(SENT if a_was_sent else NOT_SENT)
    (of_a,) = the_folder(a.journal).jobs()
    shutil.copytree(the_folder(a.journal).path, tmp_path / "intents")
    b.run_until(SENT)
    assert jobs_at(server) == 1 + a_was_sent
    as_before(a.journal, tmp_path / "intents", of_a)
    for each in (a, b) if first == "a" else (b, a):
        asyncio.run(each.run())
        assert each.texts() == each.answers
    assert list(server.billed().values()) == [1] * 8
    assert jobs_at(server) == 2


@pytest.mark.parametrize("mine_was_sent", [False, True])
def test_a_stranger_s_batch_is_given_up_and_no_retry_is_spent_on_it(
    server: AnthropicServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    mine_was_sent: bool,
) -> None:
    """Somebody with the same workspace has created a batch of the same size, a moment before."""
    mine = part(server, tmp_path, "mine", 0)
    stranger = part(server, tmp_path, "stranger", 4, "elsewhere")
    stranger.run_until(SENT)
    mine.run_until(SENT if mine_was_sent else NOT_SENT)
    theirs = next(iter(server.batches.values()))
    (intent,) = the_folder(mine.journal).jobs()
    theirs.created = intent.intent.at.timestamp()  # so that it looks most like mine
    asyncio.run(mine.run())
    assert mine.texts() == mine.answers
    assert "turned out to hold other requests" in caplog.text
    asyncio.run(stranger.run())
    assert stranger.texts() == stranger.answers
    assert list(server.billed().values()) == [1] * 8
    assert jobs_at(server) == 2


@pytest.mark.parametrize("first", ["a", "b"])
def test_answers_that_a_wrong_claim_brings_are_kept(
    server: AnthropicServer, tmp_path: Path, first: str
) -> None:
    """A version before 0.2 has claimed B's batch for A, whose own was never created."""
    a, b = part(server, tmp_path, "a", 0), part(server, tmp_path, "b", 4)
    a.run_until(NOT_SENT)
    (of_a,) = the_folder(a.journal).jobs()
    shutil.copytree(the_folder(a.journal).path, tmp_path / "intents")
    b.run_until(SENT)
    (batch,) = server.batches
    as_before(a.journal, tmp_path / "intents", of_a)
    the_folder(a.journal).write(of_a.model_copy(update={"id": batch, "address": None}))
    for each in (a, b) if first == "a" else (b, a):
        asyncio.run(each.run())
        assert each.texts() == each.answers
    assert list(server.billed().values()) == [1] * 8
    assert jobs_at(server) == 2


@pytest.mark.parametrize("backend", HOSTED_BATCH, ids=lambda backend: backend.name)
def test_a_process_that_began_before_the_intent_looks_for_its_job(
    backend: Backend, tmp_path: Path
) -> None:
    """It waited for the lock while the other one submitted and was killed."""
    create = {
        "anthropic": "POST /v1/messages/batches",
        "openai": "POST /v1/batches",
        "gemini": "POST /v1beta/models/gemini-2.0-flash:batchGenerateContent",
        "fireworks": f"POST /v1/accounts/{ACCOUNT}/batchInferenceJobs",
    }[backend.config["backend"]]
    with running(backend.server()) as server:
        a = part(server, tmp_path, "a", 0, backend=backend)
        b = part(server, tmp_path, "b", 4, backend=backend)

        async def later() -> None:
            client = make_client(b.settings.backend)
            async with opened(client, b.journal, 0.001) as batches:
                await asyncio.to_thread(a.run_until, Kill(create, after=True))
                asked = Part(b.asked, client.identity(), b.journal)
                asked.look_up()
                await batches.submit(asked)

        asyncio.run(later())
        for each in (a, b):
            asyncio.run(each.run())
            assert each.texts() == each.answers
        assert list(server.billed().values()) == [1] * 8
        assert jobs_at(server) == 2
