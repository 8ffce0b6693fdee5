"""Batch jobs: each request is paid for once, wherever a process is killed."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from pathlib import Path

import pytest
from answering import completion, until
from batch_provider import (
    IDENTITY,
    REQUESTS,
    SETTINGS,
    Client,
    Killed,
    Provider,
    ledger,
    priced,
    run_part,
    written,
)

from workflow_scripts.answers import batch, collect, poll, submit
from workflow_scripts.answers.batch import Completed
from workflow_scripts.answers.claims import Claims
from workflow_scripts.answers.executor import SyncExecutor
from workflow_scripts.answers.failures import failed_attempts
from workflow_scripts.answers.job_folder import job_folders
from workflow_scripts.answers.journal import Journal, journal_folder, request_digest
from workflow_scripts.backends.client import RequestError
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_jsonl, write_jsonl
from workflow_scripts.core.records import RawLine

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


def test_what_a_job_holds_is_not_sent_one_by_one(provider: Provider, tmp_path: Path) -> None:
    asked, raw, journal = tmp_path / "asked.jsonl", tmp_path / "raw.jsonl", tmp_path / "journal"
    write_jsonl(asked, REQUESTS[:2])
    asyncio.run(submit.submit(asked, SETTINGS, journal))

    def one_by_one() -> list[RawLine]:
        SyncExecutor(Client(provider), journal, max_retries=0).run_jsonl(asked, raw, 1)
        return list(read_jsonl(raw, RawLine))

    problems = [line.error.message for line in one_by_one() if line.error]
    assert len(problems) == 2
    assert all("batch job holds this request" in each for each in problems)
    run_part(tmp_path, REQUESTS[:2], "asked")
    assert texts(one_by_one()) == ANSWERS[:2]
    assert set(provider.billed.values()) == {1}


def test_requests_that_another_process_sends_one_by_one_are_waited_for(
    provider: Provider, tmp_path: Path
) -> None:
    asked, journal = tmp_path / "asked.jsonl", tmp_path / "journal"
    folder = journal_folder(journal, IDENTITY)
    write_jsonl(asked, REQUESTS)

    def submit_all() -> None:
        asyncio.run(submit.submit(asked, SETTINGS, journal))

    with Claims(folder).claim(KEYS[:2]):
        thread = threading.Thread(target=submit_all)
        thread.start()
        until(lambda: bool(provider.jobs))
        with Journal(folder, IDENTITY) as other:  # one is answered, one fails there
            other.append(KEYS[0], completion("sent alone"))
    thread.join(timeout=60)
    assert [job.keys for job in provider.jobs.values()] == [KEYS[2:], [KEYS[1]]]
    assert texts(run_part(tmp_path, REQUESTS, "asked")) == ["sent alone", *ANSWERS[1:]]
    assert set(provider.billed.values()) == {1}


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


def test_a_job_that_never_ran_is_submitted_again_and_its_reason_told(
    provider: Provider, tmp_path: Path
) -> None:
    provider.end = "failed"
    lines = run_part(tmp_path, REQUESTS)
    assert len(provider.jobs) == 3
    assert len({job.name for job in provider.jobs.values()}) == 3
    assert {line.error.message for line in lines if line.error} == {
        "the job is DONE: no reason given"
    }
    assert not provider.billed


@pytest.mark.parametrize(
    ("end", "told"),
    [("cancelled", "was cancelled at the provider"), ("gone", "is not at the provider any more")],
)
def test_a_job_that_was_stopped_from_outside_stays_so_until_the_user_has_it_sent_again(
    provider: Provider, tmp_path: Path, end: str, told: str
) -> None:
    stopped = RequestError("canceled", retryable=True)
    provider.end = end
    provider.outcome = lambda key, attempt: (
        stopped if key != KEYS[2] and attempt == 1 else completion(f"to {key[:6]}")
    )
    for _ in range(3):  # each start finds the same
        lines = run_part(tmp_path, REQUESTS)
        assert len(provider.jobs) == 1
        answers = [None, None, ANSWERS[2] if end == "cancelled" else None, None, None]
        assert texts(lines) == answers
        errors = [line.error for line in lines if line.error]
        assert all(f"the job job-0 {told}" in error.message for error in errors)
        assert failed_attempts(tmp_path / "raw-part.jsonl") > 0  # so the next start looks again
    (folder,) = job_folders(tmp_path / "journal", "provider")
    (job,) = folder.jobs()
    folder.write(job.model_copy(update={"resend": True}))
    provider.end = "ended"
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS
    assert len(provider.jobs) == 2


def test_a_result_that_cannot_be_read_is_kept_and_read_again_and_never_bought_again(
    provider: Provider, tmp_path: Path
) -> None:
    provider.unreadable = {ANSWERS[1], ANSWERS[3]}
    for name in ("part", "other"):  # another part that asks the same does not buy it either
        lines = run_part(tmp_path, REQUESTS, name)
        assert texts(lines) == [ANSWERS[0], None, ANSWERS[2], None, ANSWERS[4]]
        assert lines[1].error is not None
        assert re.search(r"cannot be read \(.*/jobs/assay-\w+\.results\)", lines[1].error.message)
        assert failed_attempts(tmp_path / f"raw-{name}.jsonl") == 1
    provider.unreadable = {ANSWERS[3]}  # a later version reads more
    assert texts(run_part(tmp_path, REQUESTS)) == [*ANSWERS[:3], None, ANSWERS[4]]
    provider.unreadable = set()
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS
    assert len(provider.jobs) == 1
    assert set(provider.billed.values()) == {1}


def test_results_that_were_kept_and_are_missing_are_not_bought_again(
    provider: Provider, tmp_path: Path
) -> None:
    provider.unreadable = {ANSWERS[1]}
    run_part(tmp_path, REQUESTS)
    (kept,) = tmp_path.rglob("*.results")
    kept.unlink()
    error = run_part(tmp_path, REQUESTS)[1].error
    assert error is not None
    assert f"was kept in {kept.as_posix()}, which is missing" in error.message
    assert len(provider.jobs) == 1


def test_too_few_results_stop_and_are_downloaded_again(provider: Provider, tmp_path: Path) -> None:
    provider.counts_all = True
    provider.outcome = lambda key, attempt: None if key == KEYS[0] else completion(f"to {key[:6]}")
    with pytest.raises(UserError, match=r"job-0: 5 results are expected, 4 came.*sent again"):
        run_part(tmp_path, REQUESTS)
    assert len(provider.jobs) == 1
    provider.outcome = None
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS
    assert len(provider.jobs) == 1


def test_too_few_results_are_taken_where_the_user_has_the_rest_sent_again(
    provider: Provider, tmp_path: Path
) -> None:
    provider.counts_all = True
    provider.outcome = lambda key, attempt: (
        None if key == KEYS[0] and attempt == 1 else completion(f"to {key[:6]}")
    )
    with pytest.raises(UserError, match="4 came"):
        run_part(tmp_path, REQUESTS)
    (folder,) = job_folders(tmp_path / "journal", "provider")
    (job,) = folder.jobs()
    folder.write(job.model_copy(update={"resend": True}))
    assert texts(run_part(tmp_path, REQUESTS)) == ANSWERS
    assert [job.keys for job in provider.jobs.values()][1:] == [[KEYS[0]]]


@pytest.mark.parametrize("end", ["ended", "gone", "cancelled"])
def test_what_a_provider_may_have_charged_is_in_the_ledger(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    settings = priced()
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "part.jsonl", REQUESTS)
    asyncio.run(submit.submit(tmp_path / "part.jsonl", settings, tmp_path / "journal"))
    reserved = ledger().total_usd
    assert reserved > 0
    provider.end = end
    provider.unreadable = {ANSWERS[1], ANSWERS[3]}
    run_part(tmp_path, REQUESTS, settings=settings)
    answered = 4 * 1000 / 1e6 / 2  # three and one token, at half the price
    lost = {"gone": 5, "ended": 2, "cancelled": 2}[end]
    paid = 0 if end == "gone" else 3 * answered
    assert ledger().reserved_usd == 0
    assert ledger().total_usd == pytest.approx(paid + reserved / 5 * lost)


def test_a_job_that_was_never_created_is_not_in_the_ledger(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another part finds out that it is not at the provider."""
    settings = priced()
    monkeypatch.chdir(tmp_path)
    for name, requests in (("a", REQUESTS[:3]), ("b", REQUESTS[3:])):
        write_jsonl(tmp_path / f"{name}.jsonl", requests)
    provider.kill_at = 3  # the intent is written, and nothing is sent
    with pytest.raises(Killed):
        asyncio.run(submit.submit(tmp_path / "a.jsonl", settings, tmp_path / "journal"))
    (intent,) = tmp_path.rglob("assay-*.json")
    of_a = ledger().total_usd
    asyncio.run(submit.submit(tmp_path / "b.jsonl", settings, tmp_path / "journal"))
    assert not intent.exists()
    assert 0 < ledger().total_usd < of_a


def test_results_are_kept_as_they_came(provider: Provider, tmp_path: Path) -> None:
    run_part(tmp_path, REQUESTS)
    (kept,) = tmp_path.rglob("*.results")
    rows = [written(key, completion(f"to {key[:6]}")) for key in provider.jobs["job-0"].keys]
    assert kept.read_bytes().splitlines() == rows[::-1]


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
    provider.kill_at = 3  # the intent is written (1, 2), the job is about to be created (3)
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
    told = "continue at the provider; run the same command again"
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
