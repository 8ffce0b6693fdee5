"""Which server an answer came from: what decides, what is recorded, what earlier versions left."""

from __future__ import annotations

import asyncio
import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import answering
import ollama
import pytest
from answering import journaled, request
from conftest import REPOSITORY
from local_backends import DECODING, Backend, openai_settings, run
from servers.base import running
from servers.openai_compatible import CompatibleServer

from workflow_scripts.answers.journal import Journal, journal_folder, request_digest
from workflow_scripts.answers.reuse import Answers, Wanted
from workflow_scripts.backends.check import CheckSettings, findings
from workflow_scripts.backends.reuse import Reuse, shortfall
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.config.load import read_config
from workflow_scripts.config.schema import Config
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Completion, Usage
from workflow_scripts.rules import stages
from workflow_scripts.rules.experiment import Experiment, Job

FLOAT32, BFLOAT16 = "vllm-0.32.0-305edf5f", "vllm-0.32.0-8c1d2e3f"


def job(config: Config, backend: str) -> Job:
    return Job(Experiment(config), {"backend": backend, "model": "tiny-3m"})


def questions(server: CompatibleServer) -> list[str]:
    """What was answered but for the probes."""
    return sorted(each for each in server.outcomes("answered").elements() if each != ".")


# What decides


def test_another_precision_is_another_model(of_openai: Backend, tmp_path: Path) -> None:
    of_openai.server.be_vllm(FLOAT32)
    run(tmp_path, of_openai.client(), [request(1)])
    run(tmp_path, of_openai.client(), [request(1)])
    assert questions(of_openai.server) == ["Question 1?"]
    of_openai.server.be_vllm(BFLOAT16)  # restarted
    (line,) = run(tmp_path, of_openai.client(), [request(1)])
    assert questions(of_openai.server) == ["Question 1?", "Question 1?"]
    assert line.served_by is not None and line.served_by["fingerprint"] == BFLOAT16


def test_a_server_that_changes_between_two_requests_is_asked_no_more(
    of_openai: Backend, tmp_path: Path
) -> None:
    of_openai.server.be_vllm(FLOAT32)
    client = of_openai.client()

    def answer(question: str) -> str:
        if question == "Question 2?":
            of_openai.server.fingerprint = BFLOAT16
        return f"to {question}"

    of_openai.server.answer = answer
    with pytest.raises(UserError, match=rf"now answers as {BFLOAT16}, not as {FLOAT32}.*Run again"):
        run_alone(tmp_path, client, 4)
    assert [line["completion"]["response_text"] for line in journaled(tmp_path)] == [
        "to Question 1?"
    ]


def run_alone(folder: Path, client: Any, count: int) -> None:
    answering.run(folder, client, [request(n) for n in range(1, count + 1)], max_concurrent=1)


@pytest.mark.parametrize("change", [{"build": "b10500-1234567"}, {"template": "{{ y }}"}])
def test_another_build_or_template_of_llama_server_is_another_model(
    of_openai: Backend, change: dict[str, str]
) -> None:
    of_openai.server.be_llama_server()
    before = of_openai.identity()
    of_openai.server.be_llama_server(**change)
    assert of_openai.identity() != before


def test_a_server_that_tells_what_it_runs_may_move(of_openai: Backend) -> None:
    elsewhere = {"local_endpoint": of_openai.server.url.replace("127.0.0.1", "localhost") + "/v1/"}
    of_openai.server.be_vllm()
    assert of_openai.identity() == of_openai.identity(**elsewhere)
    of_openai.server.be_llama_server()
    assert of_openai.identity() == of_openai.identity(**elsewhere)


def test_the_address_tells_apart_what_tells_nothing_of_itself(of_openai: Backend) -> None:
    elsewhere = {"local_endpoint": of_openai.server.url.replace("127.0.0.1", "localhost")}
    silent = of_openai.identity()
    assert silent != of_openai.identity(**elsewhere)
    assert silent != of_openai.identity(model_version="q8")
    assert of_openai.identity(model_version="q8", **elsewhere) == of_openai.identity(
        model_version="q8"
    )
    of_openai.server.be_vllm()
    of_openai.server.fingerprint = None  # vllm --fingerprint-mode none
    assert of_openai.identity() != of_openai.identity(**elsewhere)


def test_the_identity_does_not_change_because_a_server_fails(of_openai: Backend) -> None:
    of_openai.server.be_llama_server()
    of_openai.server.faults = lambda path, tries: "500" if path == "/props" else ""
    with pytest.raises(UserError, match=r"status 500.*GET /props"):
        of_openai.identity()


def test_ollama_s_identity_has_the_digest_that_its_own_client_reads(of_ollama: Backend) -> None:
    url = of_ollama.server.url
    listed = {each.model: each for each in ollama.Client(host=url).list().models}
    with urllib.request.urlopen(f"{url}/api/version") as response:  # noqa: S310 - our own server
        version = json.load(response)["version"]
    for tag, told in listed.items():
        assert of_ollama.identity(local_model=tag) == {
            "engine": "ollama",
            "endpoint": "/api/chat",
            "model": tag,
            "model_digest": told.digest,
            "n_ctx": "64",
            "think": "false",
            "version": version,
        }


def test_another_version_of_ollama_is_asked_again(of_ollama: Backend) -> None:
    before = of_ollama.identity()
    assert of_ollama.identity(model_version="with flash attention") != before
    of_ollama.server.version = "0.33.0"
    assert of_ollama.identity() != before


def test_builds_of_ollama_of_one_s_own_are_told_apart_by_model_version(of_ollama: Backend) -> None:
    """They all say 0.0.0."""
    of_ollama.server.version = "0.0.0"
    one, two = (of_ollama.identity(model_version=build) for build in ("a", "b"))
    assert one["version"] == two["version"]
    assert one != two


@pytest.mark.parametrize(
    ("listed", "shown"),
    [
        ({"modified_at": "2026-12-01T00:00:00Z", "size": 4, "details": None}, {}),
        ({"capabilities": ["completion"], "context_length": 4096, "embedding_length": 8}, {}),
        ({}, {"license": "MIT", "system": "Be brief.", "requires": "0.30.0", "tensors": []}),
        ({}, {"parameters": "seed 1", "messages": [{"role": "user", "content": "Hi"}]}),
        ({}, {"projector_info": {"x": 1}, "newly_made": {"x": 1}, "template_source": None}),
    ],
)
def test_of_what_ollama_reports_only_the_digest_says_which_model_it_is(
    of_ollama: Backend, listed: dict[str, Any], shown: dict[str, Any]
) -> None:
    """The digest covers the layers: weights, template, system prompt, parameters and messages."""
    before = of_ollama.identity()
    of_ollama.server.listed, of_ollama.server.shown = listed, shown
    assert of_ollama.identity() == before
    of_ollama.server.models["tiny:3m"] = "c" * 64
    assert of_ollama.identity() == {**before, "model_digest": "c" * 64}


@pytest.mark.parametrize("name", ["tiny", "me/tiny", "registry.example.org:5000/me/tiny"])
def test_a_tag_of_ollama_without_a_version_is_the_latest(of_ollama: Backend, name: str) -> None:
    of_ollama.server.models = {f"{name}:3m": "a" * 64, f"{name}:latest": "b" * 64}
    assert of_ollama.identity(local_model=name)["model_digest"] == "b" * 64
    assert of_ollama.identity(local_model=f"{name}:3m")["model_digest"] == "a" * 64


@pytest.mark.parametrize("where", ["listed", "shown"])
def test_a_model_that_ollama_passes_on_is_refused(of_ollama: Backend, where: str) -> None:
    """Its digest is that of a stub, not of weights."""
    remote = {"remote_host": "https://ollama.com:443", "remote_model": "big"}
    setattr(of_ollama.server, where, remote)
    with pytest.raises(UserError, match=r"passes each request on to https://ollama.com:443\."):
        of_ollama.check()
    with pytest.raises(UserError, match="Change local_model"):
        of_ollama.ask()
    assert not of_ollama.server.bodies


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("gpt-oss:120b-cloud", True),
        ("me/glm-5:cloud", True),
        ("weather-cloud", False),
        ("me/cloud:3m", False),
    ],
)
def test_names_of_models_at_ollamas_cloud(of_ollama: Backend, name: str, refused: bool) -> None:
    of_ollama.server.models = {name: "a" * 64, f"{name}:latest": "b" * 64}
    if refused:
        with pytest.raises(UserError, match="passes each request on to its cloud"):
            of_ollama.check(local_model=name)
        assert not of_ollama.server.connections
    else:
        assert name in of_ollama.check(local_model=name)


def test_what_ollama_reports_of_an_answer_is_recorded(of_ollama: Backend, tmp_path: Path) -> None:
    (line,) = run(tmp_path, of_ollama.client(), [request(1)])
    assert line.served_by == {
        "address": of_ollama.server.url,
        "server": "ollama",
        "version": of_ollama.server.version,
        "model": "a" * 64,
        "context_length": "64",
    }


# What is recorded


def test_a_raw_line_says_who_answered_and_how_many_were_asked_at_once(
    of_openai: Backend, of_ollama: Backend, tmp_path: Path
) -> None:
    of_openai.server.be_vllm()
    (line,) = run(tmp_path / "a", of_openai.client(model_version="x"), [request(1)])
    assert line.served_by == {
        "address": of_openai.server.url,
        "server": "vllm",
        "version": "0.32.0",
        "fingerprint": FLOAT32,
        "context_length": "4096",
        "model_version": "x",
    }
    (line,) = run(tmp_path / "b", of_ollama.client(), [request(1)])
    assert line.served_by is not None
    assert line.served_by["address"] == of_ollama.server.url
    assert line.served_by["version"] == "0.12.6"
    assert line.at_once == 1
    of_openai.server.latency_s = 0.05
    lines = run(tmp_path / "c", of_openai.client(), [request(n) for n in range(4)])
    assert max(line.at_once or 0 for line in lines) > 1


# Two servers in one config


CONFIG = """
backends:
  one: {{backend: openai_compatible, local_endpoint: "{one}", model_id: tiny-3m}}
  two: {{backend: openai_compatible, local_endpoint: "{two}", model_id: tiny-3m{more}}}
datasets: {{d: {{format: jsonl, path: items.jsonl, task: closed_book}}}}
prompt_sets: {{p: {{control: control.txt, treatment: treatment.txt}}}}
"""


def config(folder: Path, one: str, two: str, more: str = "") -> Config:
    shutil.copytree(REPOSITORY / "prompts", folder / "prompts", dirs_exist_ok=True)
    for name in ("control", "treatment"):
        (folder / f"{name}.txt").write_text(f"Be {name}.", encoding="utf-8")
    item = {"id": "1", "question": "Where?", "answers": ["here"]}
    (folder / "items.jsonl").write_text(json.dumps(item) + "\n", encoding="utf-8")
    path = folder / "config.yaml"
    path.write_text(CONFIG.format(one=one, two=two, more=more), encoding="utf-8")
    return read_config(path)


@pytest.mark.parametrize(
    ("second", "more", "alike"),
    [
        (FLOAT32, "", True),
        (BFLOAT16, "", False),
        (FLOAT32, ", model_version: on the GPU", False),
    ],
)
def test_two_servers_that_cannot_be_told_apart_are_an_error_before_any_job(
    of_openai: Backend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    second: str,
    more: str,
    alike: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    of_openai.server.be_vllm(FLOAT32)
    with running(CompatibleServer()) as other:
        other.be_vllm(second)
        found = config(tmp_path, of_openai.server.url, f"{other.url}/v1", more)
        settings = stages.check_one(job(found, "one"))
        (said,) = asyncio.run(findings(settings)).values()
    assert isinstance(said, UserError) == alike
    if alike:
        assert "report the same about tiny-3m" in str(said)
        assert other.url in str(said) and "model_version" in str(said)


def test_a_backend_beside_it_that_is_down_is_not_its_fault(
    of_openai: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = config(tmp_path, of_openai.server.url, "http://127.0.0.1:9")
    (said,) = asyncio.run(findings(stages.check_one(job(found, "one")))).values()
    assert "serves tiny-3m" in str(said)


def test_one_server_under_two_names_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = config(tmp_path, "http://localhost:1", "http://localhost:1/v1/")
    assert stages.check_one(job(found, "one")).backends["one/tiny-3m"].rivals == {}


def test_what_can_change_the_answers_runs_inference_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    urls = ("http://localhost:1", "http://localhost:2")
    said = {stages.decides(job(config(tmp_path, *urls, more), "two")) for more in
            ("", ", model_version: a", ", model_version: b")}  # fmt: skip
    assert len(said) == 3
    found = config(tmp_path, *urls)
    assert stages.decides(job(found, "one")) != stages.decides(job(found, "two"))


# What earlier versions left


def old_answer(folder: Path, identity: dict[str, str], numbers: range) -> None:
    """Answers as version 0.1 wrote them: without identity, checksum and server."""
    path = journal_folder(folder / "journal", identity) / "1700000000000000000-1-aaaaaaaa.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    answer = {
        "response_text": "old", "finish_reason": "stop", "request_id": "r",
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}, "latency_s": 0.25,
    }  # fmt: skip
    lines = [
        {"digest": request_digest(identity, request(number)), "completion": answer}
        for number in numbers
    ]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")


VLLM_BEFORE = {
    "engine": "openai_compatible",
    "endpoint": "/v1/chat/completions",
    "model": "tiny-3m",
    "server": "vllm",
    "root": "org/tiny-3m",
}


def test_answers_of_earlier_versions_are_found_without_a_request(
    of_openai: Backend, tmp_path: Path
) -> None:
    of_openai.server.be_vllm()
    old_answer(tmp_path, VLLM_BEFORE, range(2))
    lines = run(tmp_path, of_openai.client(), [request(n) for n in range(3)])
    assert questions(of_openai.server) == ["Question 2?"]
    assert [line.response_text for line in lines] == ["old", "old", "to Question 2?"]
    # The raw line refers to the answer as it lies in the journal.
    assert lines[0].request_digest == request_digest(VLLM_BEFORE, request(0))
    assert lines[0].answer_checksum == lines[0].completion().checksum(str(lines[0].request_digest))
    assert lines[0].served_by is None
    run(tmp_path, of_openai.client(), [request(n) for n in range(3)])
    assert questions(of_openai.server) == ["Question 2?"]


def test_ollamas_answers_of_earlier_versions_are_found(of_ollama: Backend, tmp_path: Path) -> None:
    before = {
        "engine": "ollama",
        "endpoint": "/api/chat",
        "model": "tiny:3m",
        "model_digest": "a" * 64,
        "n_ctx": "64",
        "think": "false",
    }
    old_answer(tmp_path, before, range(2))
    run(tmp_path, of_ollama.client(), [request(n) for n in range(2)])
    assert of_ollama.server.outcomes("answered").total() == 0


def test_two_servers_do_not_share_what_earlier_versions_left(
    of_openai: Backend, tmp_path: Path
) -> None:
    old_answer(tmp_path, VLLM_BEFORE, range(1))
    of_openai.server.be_vllm(FLOAT32)
    run(tmp_path, of_openai.client(), [request(0)])
    assert questions(of_openai.server) == []
    of_openai.server.be_vllm(BFLOAT16)
    run(tmp_path, of_openai.client(), [request(0)])
    assert questions(of_openai.server) == ["Question 0?"]
    of_openai.server.be_vllm(FLOAT32)
    run(tmp_path, of_openai.client(), [request(0)])
    assert questions(of_openai.server) == ["Question 0?"]


def test_where_one_config_names_two_servers_neither_gets_what_earlier_versions_left(
    of_openai: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were asked under one identity: nobody knows whose the answers are."""
    monkeypatch.chdir(tmp_path)
    of_openai.server.be_vllm()
    old_answer(tmp_path, VLLM_BEFORE, range(1))
    found = config(tmp_path, of_openai.server.url, "http://127.0.0.1:9")
    settings = stages.check_one(job(found, "one")).backends["one/tiny-3m"]
    run(tmp_path, Backend(None, settings.model_dump()).client(), [request(0)])
    assert questions(of_openai.server) == ["Question 0?"]


def test_a_plan_counts_them_and_claims_nothing(tmp_path: Path) -> None:
    old_answer(tmp_path, VLLM_BEFORE, range(1))
    now = VLLM_BEFORE | {"fingerprint": FLOAT32}
    reuse = Reuse(former=VLLM_BEFORE)
    wanted = {request_digest(now, request(0)): Wanted.of(request(0), reuse)}
    assert len(Answers(tmp_path / "journal", now, reuse).find(wanted, claim=False)) == 1
    other = VLLM_BEFORE | {"fingerprint": BFLOAT16}
    wanted = {request_digest(other, request(0)): Wanted.of(request(0), reuse)}
    assert len(Answers(tmp_path / "journal", other, reuse).find(wanted, claim=True)) == 1
    wanted = {request_digest(now, request(0)): Wanted.of(request(0), reuse)}
    assert len(Answers(tmp_path / "journal", now, reuse).find(wanted, claim=False)) == 0


# Too little room


def test_an_answer_with_less_room_than_allowed_is_a_failure(
    of_openai: Backend, tmp_path: Path
) -> None:
    """vLLM lowers max_tokens to what is left of its context, without an error."""
    of_openai.server.be_vllm()
    of_openai.server.models["tiny-3m"]["max_model_len"] = 6  # the prompt has 3 words
    of_openai.server.answer = lambda question: "I do not know where that is at all"
    (line,) = run(tmp_path, of_openai.client(), [request(1)])
    assert line.error is not None
    assert "did not fit" in line.error.message and "3 tokens" in line.error.message
    assert "max_new_tokens=8" in line.error.message
    assert journaled(tmp_path) == []
    failed = json.loads((tmp_path / "raw.failures.json").read_text(encoding="utf-8"))
    assert failed["failed"] == [line.custom_id]  # the next run tries it again
    of_openai.server.models["tiny-3m"]["max_model_len"] = 11
    (line,) = run(tmp_path, of_openai.client(), [request(1)])
    assert (line.response_text, line.finish_reason) == (
        "I do not know where that is at",
        "length",
    )


def test_a_cut_answer_of_an_earlier_version_is_asked_again(
    of_openai: Backend, tmp_path: Path
) -> None:
    identity = of_openai.identity()
    cut = Completion(
        response_text="I", finish_reason="length", request_id="r",
        usage=Usage(prompt_tokens=3, completion_tokens=1, total_tokens=4), latency_s=0.1,
    )  # fmt: skip
    with Journal(journal_folder(tmp_path / "journal", identity), identity) as journal:
        journal.append(request_digest(identity, request(1)), cut)
    (line,) = run(tmp_path, of_openai.client(), [request(1)])
    assert line.response_text == "to Question 1?"


def test_a_hosted_answer_that_was_cut_off_early_is_not_bought_again() -> None:
    """Gemini cuts off a few tokens before the limit."""
    answer = Completion(
        response_text="I", finish_reason="length", request_id="r", latency_s=0.1,
        usage=Usage(prompt_tokens=3, completion_tokens=6, total_tokens=9),
    )  # fmt: skip
    assert Reuse().shortfall(answer, 8) is None
    assert Reuse(counts_exactly=True).shortfall(answer, 8) is not None


@pytest.mark.parametrize(
    "usage",
    [
        Usage(prompt_tokens=3, completion_tokens=8, total_tokens=11),
        Usage(prompt_tokens=3, completion_tokens=2, total_tokens=11),  # reasoning left out (xAI)
        Usage(),
        Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0),  # counted by nobody
    ],
)
def test_an_answer_as_long_as_allowed_is_one(usage: Usage) -> None:
    answer = Completion(
        response_text="I", finish_reason="length", request_id="r", usage=usage, latency_s=0.1
    )
    assert shortfall(answer, 8) is None
    assert shortfall(answer.model_copy(update={"finish_reason": "stop"}), 800) is None


@pytest.mark.parametrize(
    ("most", "said"),
    [(4096, UserError), (4095, str), (4090, "may be too short"), (100, "serves tiny-3m")],
)
def test_check_compares_the_longest_answer_with_the_context(
    of_openai: Backend, most: int, said: Any
) -> None:
    settings = CheckSettings(
        backends={"a": BackendSettings(**openai_settings(of_openai.server))},
        max_new_tokens=most,
        prompt_bytes=40,
    )
    (found,) = asyncio.run(findings(settings)).values()
    if isinstance(said, type):
        assert isinstance(found, said), found
    else:
        assert said in str(found)


def test_that_another_backend_thinks_is_no_reason_for_a_longer_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = config(tmp_path, "http://localhost:1", "http://localhost:2", ", reasoning: high")
    plain, thinking = (stages.check_one(job(found, name)).max_new_tokens for name in ("one", "two"))
    assert thinking - plain == 24_576
    of_each = {"one/tiny-3m": plain, "two/tiny-3m": thinking}
    assert stages.check(job(found, "one")).longest_answers == of_each


# Stop texts


def test_more_stop_texts_than_a_server_takes_end_an_answer_all_the_same(
    of_openai: Backend,
) -> None:
    of_openai.server.be_vllm()
    of_openai.server.answer = lambda question: "one two three four five"
    decoding = DECODING.model_copy(update={"stop": ["v", "w", "x", "y", " three"]})
    answer = of_openai.ask(decoding=decoding)
    assert (answer.response_text, answer.finish_reason) == ("one t", "stop")
    decoding = DECODING.model_copy(update={"stop": ["q", "j", "x", "y", " three"]})
    answer = of_openai.ask(decoding=decoding)
    assert (answer.response_text, answer.finish_reason) == ("one two", "stop")
    assert len(of_openai.server.bodies[-1]["stop"]) == 4
