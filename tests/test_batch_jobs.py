"""Looking at the jobs that are at the providers, cancelling one, and having its rest sent again."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from answering import request
from backends import HOSTED_BATCH, KEY, Backend
from batch_parts import BatchPart
from batch_provider import priced
from conftest import Project
from servers.anthropic import AnthropicServer
from servers.base import running

from workflow_scripts.answers import jobs
from workflow_scripts.answers.jobs import JobsSettings
from workflow_scripts.answers.settings import InferSettings
from workflow_scripts.answers.submit import submit
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.errors import UserError

REQUESTS = [request(number) for number in range(3)]
PRICE = {"input_per_million": 1000.0, "output_per_million": 1000.0}

pytestmark = pytest.mark.usefixtures("at_once")


@pytest.fixture(params=HOSTED_BATCH, ids=lambda backend: backend.name)
def hosted(request: pytest.FixtureRequest) -> Backend:
    backend: Backend = request.param
    return backend


@pytest.fixture
def server(hosted: Backend) -> Iterator[Any]:
    with running(hosted.server()) as server:
        yield server


@pytest.fixture
def part(hosted: Backend, server: Any, tmp_path: Path) -> BatchPart:
    config = hosted.settings(server) | {"poll_interval_s": 0.001}
    settings = InferSettings(backend=BackendSettings(**config), max_retries=2)
    return BatchPart(server, settings, tmp_path / "journal", tmp_path / "part.jsonl", REQUESTS)


def settings_of(part: BatchPart) -> JobsSettings:
    """Two models of the account, which is looked at once."""
    return JobsSettings(models={"a/one": part.settings, "a/two": part.settings})


def shown(part: BatchPart) -> list[str]:
    return asyncio.run(jobs.show(settings_of(part), part.journal))


def submitted_id(part: BatchPart) -> str:
    part.submitted = asyncio.run(submit(part.asked, part.settings, part.journal))
    (job,) = part.submitted.jobs
    assert job.id is not None
    return job.id


def test_a_running_job_is_shown_and_a_collected_one_is_not(part: BatchPart) -> None:
    job_id = submitted_id(part)
    head, columns, row = shown(part)
    assert head.endswith(": 1 jobs to see to")
    assert columns.split() == ["id", "state", "age", "requests", "US$", "job"]
    assert part.submitted is not None
    assert row.split()[0] == job_id
    assert row.split()[-1] == part.submitted.jobs[0].name
    assert "0 min" in row
    assert " 3 " in row
    asyncio.run(part.run())
    assert shown(part) == [head.replace("1 jobs", "no jobs")]


def test_a_running_job_of_somebody_else_is_shown(part: BatchPart, tmp_path: Path) -> None:
    job_id = submitted_id(part)
    elsewhere = asyncio.run(jobs.show(settings_of(part), tmp_path / "another"))
    assert elsewhere[-1].split()[0] == job_id
    assert elsewhere[-1].endswith("not of this folder")


def test_a_cancelled_job_is_sent_again_only_when_the_user_says_so(part: BatchPart) -> None:
    part.server.rows_per_poll = 0
    job_id = submitted_id(part)
    with pytest.raises(UserError, match="still runs"):
        asyncio.run(jobs.resend(job_id, settings_of(part), part.journal))
    said = asyncio.run(jobs.cancel(job_id, settings_of(part), part.journal))
    assert said == f"{job_id}: the provider was asked to cancel it"
    for _ in range(2):
        asyncio.run(part.run())
        assert part.texts() == [None] * 3
        assert all(line.error and job_id in line.error.message for line in part.lines())
        part.start_again()
    assert len(part.server.bills) == 0
    assert "not sent again" in shown(part)[-1]
    asyncio.run(jobs.resend(job_id, settings_of(part), part.journal))
    part.server.rows_per_poll = None
    part.start_again()
    assert part.texts() == part.answers
    assert list(part.server.billed().values()) == [1] * 3
    with pytest.raises(UserError, match="nothing of it is kept back"):
        asyncio.run(jobs.resend(_last_name(part), settings_of(part), part.journal))


def _last_name(part: BatchPart) -> str:
    """The name of the job that was collected last."""
    (record,) = [
        path
        for path in part.journal.rglob("assay-*.json")
        if json.loads(path.read_text(encoding="utf-8"))["held"] is None
    ]
    return record.stem


def test_a_job_that_is_nowhere(part: BatchPart) -> None:
    with pytest.raises(UserError, match="nothing: no such job at the configured providers"):
        asyncio.run(jobs.cancel("nothing", settings_of(part), part.journal))
    with pytest.raises(UserError, match="nothing: no such job in"):
        asyncio.run(jobs.resend("nothing", settings_of(part), part.journal))


def test_a_provider_that_cannot_be_reached_is_told(part: BatchPart) -> None:
    part.server.faults = lambda *_: "500"
    with pytest.raises(UserError, match="The jobs cannot be listed now"):
        shown(part)


def test_what_a_job_may_cost_and_has_cost_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = "claude-3-haiku-20240307"
    with running(AnthropicServer()) as server:
        settings = priced(local_endpoint=server.url, model_id=model, pricing={model: PRICE})
        monkeypatch.chdir(tmp_path)
        part = BatchPart(server, settings, tmp_path / "journal", tmp_path / "part.jsonl", REQUESTS)
        server.rows_per_poll = 0
        job_id = submitted_id(part)
        assert re.search(r"at most \$0\.\d\d ", shown(part)[-1])
        asyncio.run(jobs.cancel(job_id, settings_of(part), part.journal))
        asyncio.run(part.run())
        assert "  cancelled, not sent again  " in shown(part)[-1]
        assert "  $0.00  " in shown(part)[-1]


def test_the_rule_shows_the_jobs_and_how_to_cancel_one(project: Project) -> None:
    with running(AnthropicServer()) as server:
        config = yaml.safe_load(project.read("config/fireworks.yaml"))
        config |= {"backend": "anthropic", "model_id": "claude-3-haiku-20240307"}
        config["local_endpoint"] = server.url
        (project.root / "jobs.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        (project.root / ".env").write_text(f"ANTHROPIC_API_KEY={KEY}\n", encoding="utf-8")
        told = project.snakemake("jobs", "--configfile", "jobs.yaml").stderr
        assert f"{server.url}: no jobs to see to" in told
        assert "jobs --settings results/fireworks/settings/jobs-" in told
        assert "--cancel ID" in told
        assert KEY not in told
