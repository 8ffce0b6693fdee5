"""Inference: every answer is paid for once, whatever happens."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tenacity
from answering import (
    CAPITAL,
    GREEDY,
    IDENTITY,
    Scripted,
    ask,
    chat,
    completion,
    demo_settings,
    journaled,
    request,
    run,
    until,
)
from conftest import Project, clean_environment, kills
from filelock import FileLock

from workflow_scripts.answers.claims import Claims
from workflow_scripts.answers.failures import failed_attempts, record_failures
from workflow_scripts.answers.journal import Journal, journal_folder, request_digest
from workflow_scripts.backends.client import RequestError, make_client
from workflow_scripts.backends.llama_cpp_client import LlamaCppClient
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_jsonl, write_json, write_jsonl
from workflow_scripts.core.logs import log_to
from workflow_scripts.core.records import Completion, Decoding, Message, RawLine, Request

# The journal


def answers_in(folder: Path, digests: list[str]) -> dict[str, Completion]:
    journal = Journal(folder)
    return {digest: journal.read(place) for digest, place in journal.find(digests).items()}


def test_the_journal_gives_back_what_it_was_told(tmp_path: Path) -> None:
    digests = [request_digest(IDENTITY, request(number)) for number in range(3)]
    with Journal(tmp_path) as journal:
        journal.append(digests[0], completion("Zürich\n\u2028\r"))
        journal.append(digests[1], completion("Oslo"))
    assert answers_in(tmp_path, [digests[0], digests[2]]) == {
        digests[0]: completion("Zürich\n\u2028\r")
    }


@pytest.mark.parametrize("cut", [2, 3, 30, 100])
def test_a_torn_line_is_no_answer_and_hides_none(tmp_path: Path, cut: int) -> None:
    first, second = (request_digest(IDENTITY, request(number)) for number in (1, 2))
    with Journal(tmp_path) as journal:
        journal.append(first, completion("Zürich"))
        journal.append(second, completion("Zürich"))
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(tmp_path) as journal:
        journal.append(second, completion("again"))
    assert answers_in(tmp_path, [first, second]) == {
        first: completion("Zürich"),
        second: completion("again"),
    }


@pytest.mark.parametrize("damage", [b"", b"{", b'"x"', b'{"digest":"d"}', b"\xff\xfe", b"null"])
def test_a_damaged_line_is_no_answer(tmp_path: Path, damage: bytes) -> None:
    digest = request_digest(IDENTITY, request())
    (tmp_path / "1.jsonl").write_bytes(b'{"digest":"' + digest.encode() + b'"' + damage + b"\n")
    assert answers_in(tmp_path, [digest]) == {}


@pytest.mark.parametrize(("old", "new"), [("Oslo", "Rome"), ("stop", "length")])
def test_an_edited_answer_is_refused_with_its_line(tmp_path: Path, old: str, new: str) -> None:
    digests = [request_digest(IDENTITY, request(number)) for number in range(2)]
    with Journal(tmp_path, IDENTITY) as journal:
        journal.append(digests[0], completion("Bergen"))
        journal.append(digests[1], completion("Oslo"))
    (path,) = tmp_path.glob("*.jsonl")
    *before, edited = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*before, edited.replace(old, new), ""]), encoding="utf-8")
    assert answers_in(tmp_path, digests[:1]) == {digests[0]: completion("Bergen")}
    with pytest.raises(UserError, match=r"jsonl, line 3: this answer was changed"):
        answers_in(tmp_path, digests)


def test_answers_swapped_between_requests_are_refused(tmp_path: Path) -> None:
    digests = [request_digest(IDENTITY, request(number)) for number in range(2)]
    with Journal(tmp_path, IDENTITY) as journal:
        for digest, text in zip(digests, ("Bergen", "Oslo"), strict=True):
            journal.append(digest, completion(text))
    (path,) = tmp_path.glob("*.jsonl")
    text = path.read_text(encoding="utf-8")
    first, second = digests
    swapped = text.replace(first, "\0").replace(second, first).replace("\0", second)
    path.write_text(swapped, encoding="utf-8")
    with pytest.raises(UserError, match="changed after it was recorded"):
        answers_in(tmp_path, digests)


def test_a_full_disk_is_told_and_what_was_written_counts(tmp_path: Path, monkeypatch) -> None:
    digests = [request_digest(IDENTITY, request(number)) for number in range(2)]
    with Journal(tmp_path) as journal:
        journal.append(digests[0], completion())
        # A stream onto /dev/full would do, but is not everywhere: half a line, then no space.
        stream: Any = journal._file._stream

        class Full:
            def tell(self) -> int:
                return stream.tell()

            def write(self, data: bytes) -> None:
                stream.write(data[: len(data) // 2])
                raise OSError(errno.ENOSPC, "No space left on device")

            def close(self) -> None:
                stream.close()

        monkeypatch.setattr(journal._file, "_stream", Full())
        with pytest.raises(UserError, match=r"No space left on device.*start again"):
            journal.append(digests[1], completion())
    assert list(answers_in(tmp_path, digests)) == [digests[0]]


def test_a_disk_that_is_nearly_full_stops_the_sending_in_time(tmp_path: Path, monkeypatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    client = Scripted()
    with pytest.raises(UserError, match="only 1 MiB are free"):
        run(tmp_path, client, [request(number) for number in range(5)])
    assert client.asked == []


CHANGES: dict[str, dict[str, object]] = {
    "system": {"messages": [Message(role="system", content="Answer!"), request().messages[1]]},
    "question": {"messages": [request().messages[0], Message(role="user", content="?")]},
    "temperature": {"decoding": Decoding(temperature=0.5, max_new_tokens=8, seed=0)},
    "max_new_tokens": {"decoding": Decoding(temperature=0.0, max_new_tokens=9, seed=0)},
    "top_p": {"decoding": Decoding(temperature=0.0, max_new_tokens=8, seed=0, top_p=0.9)},
    "top_k": {"decoding": Decoding(temperature=0.0, max_new_tokens=8, seed=0, top_k=4)},
    "stop": {"decoding": Decoding(temperature=0.0, max_new_tokens=8, seed=0, stop=["."])},
    "seed": {"decoding": Decoding(temperature=0.0, max_new_tokens=8, seed=1)},
    "sample": {"sample_index": 1},
    "schema": {
        "decoding": Decoding(
            temperature=0.0, max_new_tokens=8, seed=0, json_schema={"type": "null"}
        )
    },
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_decides_the_answer_changes_the_digest(change: str) -> None:
    assert request_digest(IDENTITY, request()) != request_digest(
        IDENTITY, request(**CHANGES[change])
    )


def test_a_request_without_a_schema_has_the_digest_it_had_before_there_were_any() -> None:
    assert request_digest(IDENTITY, request()) == (
        "b5af9c51cf45b2966fbc2b976d71bb7b357834542d99047824ec78a50dab66f9"
    )


SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"enum": [1.0, "é"]}}}
SERVED = {"engine": "ollama", "model": "m"}


def with_schema(schema: dict[str, Any], number: int = 0) -> Request:
    plain = request(number).decoding
    return request(number, decoding=plain.model_copy(update={"json_schema": schema}))


def test_the_order_of_a_schemas_properties_and_who_enforces_it_change_the_digest() -> None:
    turned = {**SCHEMA, "properties": dict(reversed(SCHEMA["properties"].items()))}
    assert turned == SCHEMA
    digests = {
        request_digest(identity, asked)
        for identity in (SERVED, {"engine": "openai", "model": "m"}, {"engine": "test"})
        for asked in (request(), with_schema(SCHEMA), with_schema(turned))
    }
    assert len(digests) == 9


class Enforcing(Scripted):
    """A scripted client whose backend enforces schemas."""

    def identity(self) -> Mapping[str, str]:
        return SERVED


def test_the_raw_line_says_how_its_schema_was_enforced(tmp_path: Path) -> None:
    for _ in range(2):  # answered, and taken from the journal
        bound, free = run(tmp_path, Enforcing(), [with_schema(SCHEMA, 1), request(2)])
        assert (bound.schema_enforced, free.schema_enforced) == ("exactly", None)
    raw = (tmp_path / "raw.jsonl").read_text(encoding="utf-8").splitlines()
    assert ["schema_enforced" in line for line in raw] == [True, False]


def test_nothing_is_sent_to_a_backend_that_cannot_enforce_a_schema(tmp_path: Path) -> None:
    client = Scripted()
    with pytest.raises(UserError, match=r"data set d, item 2: .* cannot be enforced.* test m"):
        run(tmp_path, client, [request(1), with_schema(SCHEMA, 2)])
    assert client.asked == []


def test_a_schema_is_kept_in_a_part(tmp_path: Path) -> None:
    asked = request(**CHANGES["schema"])
    write_jsonl(tmp_path / "part.jsonl", [asked, request()])
    assert list(read_jsonl(tmp_path / "part.jsonl", Request)) == [asked, request()]


def test_another_model_or_engine_changes_the_digest() -> None:
    digests = {
        request_digest(identity, request())
        for identity in (IDENTITY, {**IDENTITY, "model": "n"}, {**IDENTITY, "engine": "other"})
    }
    assert len(digests) == 3


def test_names_do_not_change_the_digest() -> None:
    renamed = request(custom_id="x", dataset="x", item_id="x", prompt="x")
    assert request_digest(IDENTITY, request()) == request_digest(IDENTITY, renamed)


# The executor


def test_answers_come_in_the_order_of_the_requests(tmp_path: Path) -> None:
    requests = [request(number) for number in range(40)]
    client = Scripted()
    lines = run(tmp_path, client, requests, max_concurrent=8)
    assert [line.custom_id for line in lines] == [each.custom_id for each in requests]
    assert [line.response_text for line in lines] == [f"to Question {n}?" for n in range(40)]
    assert 1 < client.most_at_once <= 8


def test_no_more_requests_are_in_flight_than_allowed(tmp_path: Path) -> None:
    client = Scripted()
    run(tmp_path, client, [request(number) for number in range(20)], max_concurrent=3)
    assert client.most_at_once <= 3


def test_answered_requests_are_not_sent_again(tmp_path: Path) -> None:
    first, again = Scripted(), Scripted()
    lines = run(tmp_path, first, [request(1), request(2)])
    assert run(tmp_path, again, [request(1), request(2), request(3)])[:2] == lines
    assert again.asked == ["Question 3?"]


def test_a_passing_failure_is_retried(tmp_path: Path) -> None:
    client = Scripted({"Question 1?": ["busy", "answer"]})
    (line,) = run(tmp_path, client, [request(1)], retries=1)
    assert line.error is None
    assert len(client.asked) == 2


def test_a_lasting_failure_is_not_retried(tmp_path: Path) -> None:
    client = Scripted({"Question 1?": ["never"]})
    (line,) = run(tmp_path, client, [request(1)], retries=5)
    assert line.error is not None
    assert line.error.message == "never"
    assert len(client.asked) == 1


def test_the_next_attempt_sends_only_what_failed(tmp_path: Path) -> None:
    requests = [request(number) for number in range(5)]
    lines = run(tmp_path, Scripted({"Question 3?": ["busy"]}), requests)
    assert [line.item_id for line in lines if line.error] == ["3"]
    assert failed_attempts(tmp_path / "raw.jsonl") == 1
    again = Scripted()
    lines = run(tmp_path, again, requests)
    assert again.asked == ["Question 3?"]
    assert not [line for line in lines if line.error]
    assert failed_attempts(tmp_path / "raw.jsonl") == 1


def test_a_request_that_was_refused_is_sent_again_by_the_next_run(tmp_path: Path) -> None:
    """The server may take it now: it has a longer context, or the model was enabled."""
    client = Scripted({"Question 1?": ["too long"]})
    (line,) = run(tmp_path, client, [request(1)], retries=5)
    assert line.error is not None
    assert client.asked == ["Question 1?"]
    assert failed_attempts(tmp_path / "raw.jsonl") == 1
    (line,) = run(tmp_path, client, [request(1)], retries=5)
    assert line.response_text == "to Question 1?"
    assert failed_attempts(tmp_path / "raw.jsonl") == 1


def test_a_part_where_nothing_is_answered_any_more_is_given_up(tmp_path: Path) -> None:
    requests = [request(number) for number in range(100)]
    client = Scripted({f"Question {number}?": ["down"] for number in range(10, 100)})
    with pytest.raises(UserError, match=r"20 requests in a row failed.*The last one: down"):
        run(tmp_path, client, requests, max_concurrent=4)
    assert 30 <= len(client.asked) <= 34
    assert client.closed
    assert not (tmp_path / "raw.jsonl").exists()
    again = Scripted()
    run(tmp_path, again, requests)
    assert len(again.asked) == 90


def test_failures_here_and_there_do_not_stop_a_part(tmp_path: Path) -> None:
    requests = [request(number) for number in range(90)]
    client = Scripted({f"Question {number}?": ["down"] for number in range(90) if number % 3})
    lines = run(tmp_path, client, requests)
    assert sum(line.error is not None for line in lines) == 60


def test_of_equal_requests_one_is_sent_and_all_are_answered(tmp_path: Path) -> None:
    same = [request(7, custom_id=f"d|{number}|control|0.0|0|closed_book") for number in range(5)]
    client = Scripted()
    lines = run(tmp_path, client, [*same, request(8)], max_concurrent=4)
    assert sorted(client.asked) == ["Question 7?", "Question 8?"]
    assert {line.response_text for line in lines[:5]} == {"to Question 7?"}
    failing = Scripted({"Question 9?": ["down"]})
    nine = [request(9, custom_id=f"d|{number}|control|0.0|0|closed_book") for number in range(2)]
    lines = run(tmp_path, failing, nine)
    assert [line.error is not None for line in lines] == [True, True]
    assert failing.asked == ["Question 9?"]


# How many at once


def test_being_pushed_back_is_no_failed_try(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tenacity.wait_random_exponential", lambda **_: tenacity.wait_fixed(0.01))
    client = Scripted()
    client.bears = 1
    lines = run(tmp_path, client, [request(n) for n in range(12)], max_concurrent=3)
    assert not [line for line in lines if line.error]


# Who is told what


def test_every_failing_attempt_raises_the_number(tmp_path: Path) -> None:
    part = tmp_path / "raw.jsonl"
    numbers = [failed_attempts(part)]
    for failed in ([], ["a"], ["a"], [], []):
        record_failures(part, failed)
        numbers.append(failed_attempts(part))
    assert numbers == [0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"failed_attempts": "1", "failed": []}'])
def test_a_damaged_record_of_failures_is_told(tmp_path: Path, damage: str) -> None:
    (tmp_path / "raw.failures.json").write_text(damage, encoding="utf-8")
    with pytest.raises(UserError, match=r"raw\.failures\.json.*Delete this file and start again"):
        failed_attempts(tmp_path / "raw.jsonl")


def test_the_plan_tells_a_damaged_record_of_failures(project: Project) -> None:
    raw = "results/demo/llama_cpp/assay-demo/default/raw/open_book.control.t0.0.p000"
    record = project.root / f"{raw}.failures.json"
    record.parent.mkdir(parents=True)
    record.write_text("{", encoding="utf-8")
    done = project.snakemake("-n", "--config", "limit_items=2", check=False)
    assert done.returncode != 0
    assert f"error: {raw}.failures.json, line 1: not valid JSON" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        log_to(tmp_path / "folder" / "job.log")
    with pytest.raises(UserError, match="cannot be written"):
        log_to(tmp_path)


# Equal requests of several processes


def test_requests_that_another_process_has_claimed_are_waited_for(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "journal", IDENTITY)
    shared = [request_digest(IDENTITY, request(number)) for number in (1, 2)]
    client = Scripted()
    requests = [request(number) for number in range(4)]
    with Claims(folder).claim(shared) as of_others:
        assert of_others == {}
        thread = threading.Thread(target=run, args=(tmp_path, client, requests))
        thread.start()
        until(lambda: len(client.asked) == 2 and len(list(folder.glob("claims/*.keys"))) == 1)
        with Journal(folder, IDENTITY) as journal:  # one is answered, one fails there
            journal.append(shared[0], completion())
    thread.join(timeout=60)
    assert client.asked == ["Question 0?", "Question 3?", "Question 2?"]
    lines = list(read_jsonl(tmp_path / "raw.jsonl", RawLine))
    assert [line.response_text for line in lines] == [
        "to Question 0?", "Oslo", "to Question 2?", "to Question 3?",
    ]  # fmt: skip
    assert [path.name for path in folder.glob("claims/*")] == ["turn.lock"]


def test_of_two_claims_on_a_request_the_first_holds_until_it_is_given_up(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    with claims.claim(["a" * 64, "b" * 64]):
        with claims.claim(["b" * 64, "c" * 64]) as first, Claims(tmp_path).claim("abc") as second:
            assert first.keys() == {"b" * 64}
            assert second == {}
        with claims.claim(["c" * 64]) as third:
            assert third == {}
    with claims.claim(["a" * 64, "b" * 64]) as last:
        assert last == {}


@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.ENOSYS, errno.EACCES])
def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch, reason: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    client = Scripted()
    with pytest.raises(
        UserError, match=r"turn\.lock: this file cannot be locked \(.*on a disk with"
    ):
        run(tmp_path, client, [request(1)])
    assert client.asked == []


# llama.cpp


def test_the_demo_model_answers(demo: LlamaCppClient) -> None:
    answer = ask(demo, CAPITAL, GREEDY)
    assert answer.response_text == "Paris"
    assert answer.finish_reason == "stop"
    assert answer.usage.prompt_tokens > 20
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_seed_decides_sampled_answers(demo: LlamaCppClient) -> None:
    hot = {"temperature": 2.0, "max_new_tokens": 16}
    texts = [
        ask(demo, CAPITAL, Decoding(**hot, seed=seed)).response_text for seed in (1, 2, 3, 4, 1)
    ]
    assert texts[0] == texts[4]
    assert len(set(texts)) > 1


def test_a_cut_answer_says_so(demo: LlamaCppClient) -> None:
    decoding = Decoding(temperature=2.0, max_new_tokens=1, seed=3)
    answer = ask(demo, "Who is Mira Holt, and who is not?", decoding)
    assert answer.usage.completion_tokens == 1
    assert answer.finish_reason == "length"


def test_a_prompt_that_does_not_fit_is_a_lasting_failure(demo: LlamaCppClient) -> None:
    with pytest.raises(RequestError, match="do not fit into n_ctx=512") as caught:
        ask(demo, "word " * 600, GREEDY)
    assert not caught.value.retryable


def test_a_broken_model_file_is_told_to_the_user(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(UserError, match=r"half\.gguf: this model cannot be read"):
        run(tmp_path, make_client(demo_settings(tmp_path / "half.gguf")), [request(1)])


def test_a_missing_model_file_is_told_to_the_user(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"none\.gguf: no such file"):
        run(tmp_path, make_client(demo_settings(tmp_path / "none.gguf")), [request(1)])


def test_the_model_is_loaded_only_where_something_is_asked(
    demo: LlamaCppClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = run(tmp_path, demo, [request(1)])
    assert line.error is None

    def refuse(*_: object, **__: object) -> None:
        raise UserError("loaded")

    monkeypatch.setattr(type(demo._binding), "load", refuse)
    again = make_client(demo._settings)
    assert run(tmp_path, again, []) == []
    assert run(tmp_path, again, [request(1)]) == [line]
    with pytest.raises(UserError, match="loaded"):
        run(tmp_path, again, [request(2)])


# Kills


def test_kills_lose_nothing_and_ask_nothing_twice(project: Project) -> None:
    """``kill -9`` at random moments of a part's inference, then one undisturbed run."""
    n_kills = kills(usual=8, search=20)
    requests = [
        request(number, messages=chat(CAPITAL.replace("France", f"France {number}")))
        for number in range(40 * n_kills)
    ]
    write_jsonl(project.root / "input.jsonl", requests)
    settings = {
        "backend": demo_settings(Path("resources/models/assay-demo.gguf")).model_dump(mode="json"),
        "max_retries": 2,
    }
    write_json(project.root / "settings.json", settings)

    def command(name: str) -> list[str]:
        return [
            *("-m", "workflow_scripts.answers.send", "--requests", "input.jsonl"),
            *("--settings", "settings.json", "--journal", f"journal-{name}"),
            *("--output", f"{name}/raw.jsonl"),
        ]

    def answered(name: str) -> list[str]:
        return [line["digest"] for line in journaled(project.root / f"journal-{name}")]

    project.run(*command("undisturbed"))
    chance = random.Random(20261121)
    for _ in range(n_kills):
        before = len(answered("killed"))
        process = subprocess.Popen(
            [sys.executable, *command("killed")], cwd=project.root, env=clean_environment(),
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wanted = before + chance.randrange(1, 25)
        while len(answered("killed")) < wanted and process.poll() is None:
            time.sleep(chance.uniform(0, 0.005))
        process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        assert process.wait() != 0, "finished before it was killed; use more requests"
    assert n_kills <= len(answered("killed")) < len(requests)
    project.run(*command("killed"))

    assert len(answered("killed")) == len(set(answered("killed"))) == len(requests)

    def without_latency(name: str) -> list[dict[str, object]]:
        lines = (project.root / name / "raw.jsonl").read_text(encoding="utf-8").splitlines()
        return [{**json.loads(line), "latency_s": None, "answer_checksum": None} for line in lines]

    assert without_latency("killed") == without_latency("undisturbed")
