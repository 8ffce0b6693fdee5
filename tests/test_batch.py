"""Batch jobs: each request is paid for once, wherever a process is killed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from answering import completion
from batch_provider import IDENTITY, REQUESTS, SETTINGS, Killed, Provider, run_part

from workflow_scripts.errors import UserError
from workflow_scripts.files import read_jsonl, write_jsonl
from workflow_scripts.infer import batch, collect, poll, submit
from workflow_scripts.infer.batch import Completed
from workflow_scripts.infer.client import RequestError
from workflow_scripts.infer.failures import failed_attempts
from workflow_scripts.infer.journal import request_digest
from workflow_scripts.records import RawLine

KEYS = [request_digest(IDENTITY, each) for each in REQUESTS]


def texts(lines: list[RawLine]) -> list[str | None]:
    return [line.response_text for line in lines]


ANSWERS = [f"to {key[:6]}" for key in KEYS]


def test_a_part_is_answered_by_one_job(provider: Provider, tmp_path: Path) -> None:
    lines = run_part(tmp_path, REQUESTS)
    assert texts(lines) == ANSWERS
    assert [line.custom_id for line in lines] == [each.custom_id for each in REQUESTS]
    assert len(provider.jobs) == 1
    assert set(provider.billed.values()) == {1}


def test_wherever_it_is_killed_everything_is_billed_once(
    provider: Provider, tmp_path: Path
) -> None:
    """Every step of an undisturbed run is a point to be killed at, and all pairs of near ones."""
    run_part(tmp_path / "undisturbed", REQUESTS)
    steps = provider.steps
    assert steps > 15
    for kill_at in range(1, steps + 1):
        provider.__init__(kill_at=kill_at)
        lines = run_part(tmp_path / f"killed-{kill_at}", REQUESTS)
        assert texts(lines) == ANSWERS, kill_at
        assert len(provider.jobs) == 1, kill_at
        assert set(provider.billed.values()) == {1}, kill_at


def test_a_lost_reply_to_the_creation_makes_no_second_job(
    provider: Provider, tmp_path: Path
) -> None:
    provider.lost_replies = 1
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS
    assert len(provider.jobs) == 1


def test_a_second_run_of_the_part_asks_the_provider_nothing(
    provider: Provider, tmp_path: Path
) -> None:
    run_part(tmp_path, REQUESTS)
    steps = provider.steps
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS
    assert provider.steps == steps


def test_parts_that_share_requests_share_the_job(provider: Provider, tmp_path: Path) -> None:
    """Parts are cut anew while the first one's job is running."""
    folder = tmp_path
    journal = folder / "journal"
    for name, requests in (("a", REQUESTS[:4]), ("b", REQUESTS[2:])):
        write_jsonl(folder / f"{name}.jsonl", requests)
    first = asyncio.run(submit.submit(folder / "a.jsonl", SETTINGS, journal))
    second = asyncio.run(submit.submit(folder / "b.jsonl", SETTINGS, journal))
    assert [len(job.keys) for job in provider.jobs.values()] == [4, 1]
    assert [job.id for job in second.jobs] == ["job-0", "job-1"]
    for name, submitted, wanted in (("b", second, ANSWERS[2:]), ("a", first, ANSWERS[:4])):
        completed = asyncio.run(poll.poll(submitted, SETTINGS, journal))
        raw = folder / f"raw-{name}.jsonl"
        asyncio.run(collect.collect(folder / f"{name}.jsonl", completed, SETTINGS, journal, raw))
        assert texts(list(read_jsonl(raw, RawLine))) == wanted
    assert set(provider.billed.values()) == {1}


def test_a_part_is_cut_where_a_job_would_be_too_big(provider: Provider, tmp_path: Path) -> None:
    provider.max_requests = 2
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS
    assert [len(job.keys) for job in provider.jobs.values()] == [2, 2, 1]


def test_what_expired_is_tried_again_alone(provider: Provider, tmp_path: Path) -> None:
    expired = RequestError("expired", retryable=True)
    provider.outcome = lambda key, attempt: (
        expired if key == KEYS[3] and attempt == 1 else completion(f"to {key[:6]}")
    )
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS
    assert [job.keys for job in provider.jobs.values()][1:] == [[KEYS[3]]]


def test_what_did_not_come_back_is_tried_again_alone(provider: Provider, tmp_path: Path) -> None:
    provider.outcome = lambda key, attempt: (
        None if key == KEYS[0] and attempt < 3 else completion(f"to {key[:6]}")
    )
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS
    assert [job.keys for job in provider.jobs.values()][1:] == [[KEYS[0]], [KEYS[0]]]


def test_what_was_refused_is_left_to_the_next_run(provider: Provider, tmp_path: Path) -> None:
    provider.outcome = lambda key, attempt: (
        RequestError("too long", retryable=False) if key == KEYS[1] else completion(f"to {key[:6]}")
    )
    lines = run_part(tmp_path, REQUESTS)
    assert [line.error.message for line in lines if line.error] == ["too long"]
    assert len(provider.jobs) == 1
    assert failed_attempts(tmp_path / "raw-part.jsonl") == 1


def test_what_never_works_becomes_an_error_line(provider: Provider, tmp_path: Path) -> None:
    provider.outcome = lambda key, attempt: (
        RequestError("busy", retryable=True) if key == KEYS[1] else completion(f"to {key[:6]}")
    )
    lines = run_part(tmp_path, REQUESTS)
    assert [line.error.message for line in lines if line.error] == ["busy"]
    assert len(provider.jobs) == 3
    assert failed_attempts(tmp_path / "raw-part.jsonl") == 1


def test_a_full_queue_is_waited_for_and_is_no_failed_try(
    provider: Provider, tmp_path: Path
) -> None:
    provider.full_for = 6
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS
    assert len(provider.jobs) == 7
    assert set(provider.billed.values()) == {1}


@pytest.mark.parametrize("end", ["failed", "gone"])
def test_a_job_that_never_ran_is_submitted_again_and_its_reason_told(
    provider: Provider, tmp_path: Path, end: str
) -> None:
    provider.end = end
    lines = run_part(tmp_path, REQUESTS)
    assert len(provider.jobs) == 3
    assert len({job.name for job in provider.jobs.values()}) == 3
    assert {line.error.message for line in lines if line.error} == {
        "the job is DONE: no reason given"
    }
    assert not provider.billed


def test_foreign_and_repeated_results_are_told_and_harmless(
    provider: Provider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    provider.extra = [("0" * 64, completion("foreign")), (KEYS[2], completion("again"))]
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS
    assert f"though it was never asked: {'0' * 64}" in caplog.text
    assert f"twice: {KEYS[2]}" in caplog.text


def test_a_passing_trouble_of_the_creation_is_tried_again(
    provider: Provider, tmp_path: Path
) -> None:
    provider.create_errors = [RequestError("busy", retryable=True)] * 2
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS


def test_a_full_queue_at_creation_is_waited_for(provider: Provider, tmp_path: Path) -> None:
    full = RequestError("too many", retryable=True, overloaded=True)
    provider.create_errors = [full] * 20
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS
    assert len(provider.jobs) == 1


def test_a_refused_creation_is_told_and_can_be_repeated(provider: Provider, tmp_path: Path) -> None:
    provider.create_errors = [RequestError("no such model", retryable=False)]
    with pytest.raises(UserError, match=r"cannot be submitted: no such model.*Nothing is lost"):
        run_part(tmp_path, REQUESTS)
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS
    assert len(provider.jobs) == 1


def test_a_job_is_written_down_before_and_after_its_creation(
    provider: Provider, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "part.jsonl", REQUESTS)
    provider.kill_at = 4  # the intent is written (1, 2), looked for (3), about to be created (4)
    with pytest.raises(Killed):
        asyncio.run(submit.submit(tmp_path / "part.jsonl", SETTINGS, tmp_path / "journal"))
    (record,) = (tmp_path / "journal").rglob("assay-*.json")
    intended = json.loads(record.read_text(encoding="utf-8"))
    assert intended["id"] is None
    assert not provider.jobs
    submitted = asyncio.run(submit.submit(tmp_path / "part.jsonl", SETTINGS, tmp_path / "journal"))
    assert json.loads(record.read_text(encoding="utf-8"))["id"] == "job-0"
    assert submitted.jobs[0].name == intended["name"] == provider.jobs["job-0"].name
    assert submitted.requests == 5
    assert submitted.answered_before == 0


def test_an_interrupted_wait_says_how_to_go_on() -> None:
    told = "go on at the provider; run the same command again"
    with pytest.raises(SystemExit, match=told), batch.left_running():
        raise KeyboardInterrupt


def test_no_jobs_are_needed_when_the_journal_has_all(provider: Provider, tmp_path: Path) -> None:
    run_part(tmp_path, REQUESTS)
    renamed = [each.model_copy(update={"custom_id": f"x{n}"}) for n, each in enumerate(REQUESTS)]
    write_jsonl(tmp_path / "renamed.jsonl", renamed)
    submitted = asyncio.run(
        submit.submit(tmp_path / "renamed.jsonl", SETTINGS, tmp_path / "journal")
    )
    assert submitted.jobs == []
    assert submitted.answered_before == 5
    assert asyncio.run(poll.poll(submitted, SETTINGS, tmp_path / "journal")) == Completed(jobs=[])
