"""A job's file of results, at each provider: what is not whole, and what cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answering import request
from backends import HOSTED_BATCH, Backend
from batch_parts import BatchPart, jobs_at
from servers.base import running
from servers.hosted import PAGE

from workflow_scripts.answers.settings import InferSettings
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.errors import UserError

REQUESTS = [request(number) for number in range(4)]

pytestmark = pytest.mark.usefixtures("at_once")


@pytest.fixture(params=HOSTED_BATCH, ids=lambda backend: backend.name)
def part(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BatchPart]:
    backend: Backend = request.param
    with running(backend.server()) as server:
        config = backend.settings(server) | {"poll_interval_s": 0.001}
        settings = InferSettings(backend=BackendSettings(**config), max_retries=2)
        yield BatchPart(server, settings, tmp_path / "journal", tmp_path / "part.jsonl", REQUESTS)


def reads_results(call: str) -> bool:
    is_file = call.endswith(("/content", "/results", ":download"))
    return call.startswith("GET ") and (is_file or "/storage/download/" in call)


def billed(server: Any) -> list[int]:
    return list(server.billed().values())


def without_counts(value: Any) -> Any:
    """A reply about a job without the field in which the provider counts its requests."""
    if isinstance(value, dict):
        counts = {"request_counts", "batchStats", "jobProgress"}
        return {name: without_counts(each) for name, each in value.items() if name not in counts}
    return [without_counts(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("fault", [PAGE, "after half JSON", "empty"])
def test_another_page_instead_of_the_results_buys_nothing_again(
    part: BatchPart, fault: str
) -> None:
    part.server.faults = lambda call, _: fault if reads_results(call) else ""
    for _ in range(2):
        with pytest.raises(UserError, match=r"4 results are expected, [0-3] came\. Nothing of it"):
            asyncio.run(part.run())
    assert billed(part.server) == [1] * 4
    part.server.faults = lambda *_: ""
    asyncio.run(part.run())
    assert part.texts() == part.answers
    assert billed(part.server) == [1] * 4


def test_a_result_that_cannot_be_read_is_an_error_line_and_is_never_bought_again(
    part: BatchPart,
) -> None:
    part.server.output_faults = ("shapeless",)
    asyncio.run(part.run())
    for _ in range(2):
        part.start_again()
        errors = [line.error for line in part.lines() if line.error is not None]
        assert [error.type for error in errors] == ["UnreadableReplyError"]
        assert "It is paid: each start reads it again" in errors[0].message
        assert sum(text is not None for text in part.texts()) == 3
        assert billed(part.server) == [1] * 4


@pytest.mark.parametrize("part", [each for each in HOSTED_BATCH if "anthropic" not in each.name],
                         ids=lambda backend: backend.name, indirect=True)  # fmt: skip
def test_where_the_provider_counts_nothing_each_request_has_a_result(
    part: BatchPart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the SDKs' types counts may be absent, but for Anthropic's."""
    handler = part.server.RequestHandlerClass
    send_json = handler.send_json
    monkeypatch.setattr(
        handler,
        "send_json",
        lambda self, status, body, *rest: send_json(self, status, without_counts(body), *rest),
    )
    part.server.faults = lambda call, _: PAGE if reads_results(call) else ""
    with pytest.raises(UserError, match=r"4 results are expected, [0-3] came\."):
        asyncio.run(part.run())
    assert jobs_at(part.server) == 1
    part.server.faults = lambda *_: ""
    asyncio.run(part.run())
    assert part.texts() == part.answers
    assert billed(part.server) == [1] * 4
