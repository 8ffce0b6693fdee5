"""The test servers of Anthropic and Gemini are faithful: the official clients work with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from google import genai
from google.genai import errors, types
from servers.anthropic import AnthropicServer
from servers.base import running
from servers.gemini import GeminiServer


def first_try(what: str, fault: str) -> Callable[[str, int], str]:
    return lambda asked, tries: fault if asked == what and not tries else ""


def always(what: str, fault: str) -> Callable[[str, int], str]:
    return lambda asked, tries: fault if asked == what else ""


# Anthropic


@pytest.fixture
def of_anthropic() -> Iterator[AnthropicServer]:
    with running(AnthropicServer()) as server:
        assert isinstance(server, AnthropicServer)
        yield server


def claude(server: AnthropicServer, **changes: Any) -> anthropic.Anthropic:
    known: Any = {"base_url": server.url, "api_key": server.key, "max_retries": 0}
    return anthropic.Anthropic(**(known | changes))


def params(question: str, **changes: Any) -> Any:
    messages = [{"role": "user", "content": question}]
    return {"model": "claude-haiku-4-5", "max_tokens": 8, "messages": messages} | changes


def asked(*questions: str, **changes: Any) -> Any:
    return [
        {"custom_id": f"id-{number}", "params": params(question, **changes)}
        for number, question in enumerate(questions)
    ]


def test_a_message_of_anthropic(of_anthropic: AnthropicServer) -> None:
    message = claude(of_anthropic).messages.create(
        **params("one two three", max_tokens=2, system="Answer briefly.")
    )
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "to one"}]
    assert (message.role, message.stop_reason) == ("assistant", "max_tokens")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (5, 2)
    assert [job for job, _ in of_anthropic.bills] == ["alone"]


def test_claude_stops_thinks_and_caches(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    message = client.messages.create(**params("one STOP two", stop_sequences=["STOP"]))
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "STOP")
    thinking = params("one", model="claude-opus-5-5", max_tokens=12)
    message = client.messages.create(**thinking)
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.usage.output_tokens == 12
    message = client.messages.create(**thinking | {"max_tokens": 9})
    assert ([block.type for block in message.content], message.stop_reason) == (
        ["thinking"],
        "max_tokens",
    )
    of_anthropic.least_cached = 3
    system = [
        {
            "type": "text",
            "text": "Be very brief.",
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
        }
    ]
    usages = [client.messages.create(**params("one", system=system)).usage for _ in range(2)]
    assert [usage.cache_creation_input_tokens for usage in usages] == [3, 0]
    assert [usage.cache_read_input_tokens for usage in usages] == [0, 3]
    assert [usage.input_tokens for usage in usages] == [1, 1]
    assert usages[0].cache_creation is not None
    assert usages[0].cache_creation.ephemeral_1h_input_tokens == 3


OLD_VERSION = {"anthropic-version": "2023-06-01"}


def test_the_new_version_of_the_api_has_no_sampling_parameters(
    of_anthropic: AnthropicServer,
) -> None:
    sampled: Any = {**params("one"), "extra_body": {"temperature": 0.5}}
    with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs"):
        claude(of_anthropic).messages.create(**sampled)
    assert claude(of_anthropic, default_headers=OLD_VERSION).messages.create(**sampled).id


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 3}, "seed: Extra inputs are not permitted"),
        ({"temperature": 1.5}, "temperature: Input should be less than or equal to 1"),
        ({"temperature": 0.5, "top_p": 0.9}, "cannot both be specified"),
        ({"model": "claude-opus-4-8", "temperature": 0.0}, "`temperature` is deprecated"),
        ({"model": "claude-sonnet-5-5", "thinking": {"type": "disabled"}}, "thinking.type.disabl"),
        ({"stop_sequences": ["\n"]}, "each stop sequence must contain non-whitespace"),
        ({"messages": [{"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_claude_refuses_parameters(
    of_anthropic: AnthropicServer, changes: Any, message: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=message) as caught:
        claude(of_anthropic, default_headers=OLD_VERSION).messages.create(
            **params("one"), extra_body=changes
        )
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id == "req_of_the_test"
    assert not of_anthropic.bills


def test_errors_of_anthropic(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
        claude(of_anthropic, api_key="wrong").models.list()
    with pytest.raises(anthropic.NotFoundError, match="model: claude-9"):
        client.messages.create(**params("one", model="claude-9"))
    with pytest.raises(anthropic.NotFoundError, match="model: claude-9"):
        client.models.retrieve("claude-9")
    assert client.models.retrieve("claude-opus-5-5").id == "claude-opus-5-5"
    assert len(list(client.models.list(limit=2))) == len(of_anthropic.models)
    for status, kind in {
        429: anthropic.RateLimitError,
        500: anthropic.InternalServerError,
        529: anthropic.OverloadedError,
    }.items():
        of_anthropic.faults = always("one", str(status))
        with pytest.raises(kind):
            client.messages.create(**params("one"))
    of_anthropic.faults = lambda what, tries: "429" if what == "two" and tries == 0 else ""
    assert claude(of_anthropic, max_retries=1).messages.create(**params("two")).id
    assert of_anthropic.outcomes("429") == {"one": 1, "two": 1}


def test_a_batch_of_anthropic_from_creation_to_results(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    of_anthropic.faults = always("broken", "500")
    batch = client.messages.batches.create(
        requests=[
            *asked("one", "two", "broken"),
            {"custom_id": "bad", "params": params("x", max_tokens=0)},
        ]
    )
    assert (batch.processing_status, batch.results_url) == ("in_progress", None)
    assert batch.request_counts.processing == 4
    of_anthropic.rows_per_poll = 3
    between = client.messages.batches.retrieve(batch.id)
    assert between.processing_status == "in_progress"
    assert between.request_counts.processing == 4  # no counts before the end
    of_anthropic.held = "in_progress"
    with pytest.raises(anthropic.AnthropicError, match="No `results_url`"):
        client.messages.batches.results(batch.id)
    of_anthropic.held = None
    ended = client.messages.batches.retrieve(batch.id)
    assert (ended.processing_status, ended.request_counts.to_dict()) == (
        "ended",
        {"processing": 0, "succeeded": 2, "errored": 2, "canceled": 0, "expired": 0},
    )
    results: Any = {
        each.custom_id: each.result for each in client.messages.batches.results(batch.id)
    }
    assert results["id-0"].message.content[0].text == "to one"
    assert results["id-0"].message.usage.service_tier == "batch"
    assert results["id-2"].error.error.type == "api_error"
    assert results["bad"].error.error.type == "invalid_request_error"
    assert [body["messages"][0]["content"] for _, body in of_anthropic.bills] == ["one", "two"]
    assert client.messages.batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(batch.id)


def test_results_of_anthropic_come_in_another_order(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    batch = client.messages.batches.create(requests=asked(*"abcdefgh"))
    client.messages.batches.retrieve(batch.id)
    ids = [each.custom_id for each in client.messages.batches.results(batch.id)]
    assert ids != sorted(ids)
    assert sorted(ids) == [f"id-{number}" for number in range(8)]


def test_a_canceled_batch_of_anthropic_has_partial_results(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    of_anthropic.rows_per_poll = 1
    batch = client.messages.batches.create(requests=asked("one", "two", "three"))
    client.messages.batches.retrieve(batch.id)
    canceling = client.messages.batches.cancel(batch.id)
    assert canceling.processing_status == "canceling"
    assert canceling.cancel_initiated_at is not None
    counts = client.messages.batches.retrieve(batch.id).request_counts
    assert (counts.succeeded, counts.canceled) == (1, 2)
    kinds = [each.result.type for each in client.messages.batches.results(batch.id)]
    assert sorted(kinds) == ["canceled", "canceled", "succeeded"]
    assert len(of_anthropic.bills) == 1


def test_a_batch_of_anthropic_expires_and_is_archived(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    of_anthropic.rows_per_poll = 2
    batch = client.messages.batches.create(requests=asked("one", "two", "three"))
    client.messages.batches.retrieve(batch.id)
    of_anthropic.ahead += 24 * 3600
    expired = client.messages.batches.retrieve(batch.id)
    assert (expired.processing_status, expired.request_counts.expired) == ("ended", 1)
    assert len(list(client.messages.batches.results(batch.id))) == 3
    of_anthropic.ahead += 29 * 24 * 3600
    assert client.messages.batches.retrieve(batch.id).archived_at is not None
    with pytest.raises(anthropic.NotFoundError, match="archived"):
        client.messages.batches.results(batch.id)


def test_batches_of_anthropic_are_listed_in_pages_newest_first(
    of_anthropic: AnthropicServer,
) -> None:
    client = claude(of_anthropic)
    ids = [client.messages.batches.create(requests=asked("one")).id for _ in range(5)]
    assert [batch.id for batch in client.messages.batches.list(limit=2)] == ids[::-1]
    before = client.messages.batches.list(before_id=ids[1], limit=2)
    assert [batch.id for batch in before.data] == [ids[3], ids[2]]
    with pytest.raises(anthropic.BadRequestError):
        client.messages.batches.list(limit=1001)


def test_anthropic_refuses_batches(of_anthropic: AnthropicServer) -> None:
    create = claude(of_anthropic).messages.batches.create
    with pytest.raises(anthropic.BadRequestError, match=r"requests.0.custom_id: String should"):
        create(requests=[{"custom_id": "a|b", "params": params("one")}])
    with pytest.raises(anthropic.BadRequestError, match="unique"):
        create(requests=[*asked("one"), *asked("two")])
    with pytest.raises(anthropic.BadRequestError, match="at least 1"):
        create(requests=[])
    of_anthropic.most_requests = 2
    with pytest.raises(anthropic.RequestTooLargeError):
        create(requests=asked("one", "two", "three"))
    assert not of_anthropic.batches


def test_faults_of_anthropic_before_and_after_the_effect(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    create = "POST /v1/messages/batches"
    for fault, batches in {
        "500": 0,
        "reset": 0,
        "after 500": 1,
        "after reset": 2,
        "half": 2,
        "after half": 3,
    }.items():
        of_anthropic.faults = always(create, fault)
        with pytest.raises((anthropic.APIStatusError, anthropic.APIConnectionError)):
            client.messages.batches.create(requests=asked("one"))
        assert len(of_anthropic.batches) == batches, fault
    of_anthropic.faults = lambda what, tries: ""
    of_anthropic.unseen = of_anthropic.unlisted = 1
    batch = client.messages.batches.create(requests=asked("one"))
    assert len(client.messages.batches.list().data) == 3
    assert len(client.messages.batches.list().data) == 4
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(batch.id)
    assert client.messages.batches.retrieve(batch.id).id == batch.id


def test_output_faults_of_anthropic(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    batch = client.messages.batches.create(requests=asked("one", "two", "three"))
    client.messages.batches.retrieve(batch.id)
    of_anthropic.output_faults = ("missing", "twice", "unknown")
    ids = [each.custom_id for each in client.messages.batches.results(batch.id)]
    assert len(ids) == 4
    assert len(set(ids)) == 3
    assert "nobody-asked" in ids
    of_anthropic.output_faults = ("malformed",)
    with pytest.raises(json.JSONDecodeError):
        list(client.messages.batches.results(batch.id))


# Gemini

CREATE = "POST /v1/models/gemini-2.5-flash:batchGenerateContent"
MODEL = "gemini-2.5-flash"


@pytest.fixture
def of_gemini() -> Iterator[GeminiServer]:
    with running(GeminiServer()) as server:
        assert isinstance(server, GeminiServer)
        yield server


def gemini(server: GeminiServer, key: str | None = None) -> genai.Client:
    return genai.Client(
        api_key=key or server.key, http_options=types.HttpOptions(base_url=server.url)
    )


def lines(*questions: str, **config: Any) -> str:
    return "".join(
        json.dumps(
            {
                "key": f"key-{number}",
                "request": {
                    "contents": [{"role": "user", "parts": [{"text": question}]}],
                    "generationConfig": config,
                },
            }
        )
        + "\n"
        for number, question in enumerate(questions)
    )


def uploaded(client: genai.Client, folder: Path, content: str) -> str:
    (folder / "input.jsonl").write_text(content, encoding="utf-8")
    file = client.files.upload(
        file=folder / "input.jsonl",
        config=types.UploadFileConfig(display_name="input", mime_type="application/jsonl"),
    )
    assert file.name is not None
    return file.name


def created(client: genai.Client, source: Any, name: str = "job") -> str:
    job = client.batches.create(model=MODEL, src=source, config={"display_name": name})
    assert (job.display_name, job.done) == (name, False)
    assert job.name is not None
    return job.name


def polled(client: genai.Client, name: str) -> types.BatchJob:
    """The job after two polls: the first one starts it, the second one ends it."""
    assert client.batches.get(name=name).state == "JOB_STATE_RUNNING"
    return client.batches.get(name=name)


def downloaded(client: genai.Client, job: types.BatchJob) -> dict[str, Any]:
    assert job.dest is not None
    assert job.dest.file_name is not None
    content = client.files.download(file=job.dest.file_name).decode()
    return {(line := json.loads(text))["key"]: line for text in content.splitlines()}


def test_content_of_gemini(of_gemini: GeminiServer) -> None:
    client = gemini(of_gemini)
    reply = client.models.generate_content(
        model=MODEL,
        contents="one two three",
        config=types.GenerateContentConfig(
            system_instruction="Answer briefly.",
            temperature=0.5,
            top_p=0.9,
            top_k=20,
            seed=1,
            max_output_tokens=2,
            stop_sequences=["STOP"],
            thinking_config=types.ThinkingConfig(thinking_budget=0),
        ),
    )
    assert reply.text == "to one"
    assert reply.candidates is not None
    assert reply.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert reply.usage_metadata is not None
    assert reply.usage_metadata.prompt_token_count == 5
    assert reply.usage_metadata.total_token_count == 7
    assert reply.response_id
    assert [job for job, _ in of_gemini.bills] == ["alone"]


def test_gemini_thinks_and_refuses(of_gemini: GeminiServer) -> None:
    of_gemini.shows_thoughts = True
    client = gemini(of_gemini)
    generate = client.models.generate_content
    reply = generate(model=MODEL, contents="one")
    assert reply.candidates is not None
    assert reply.candidates[0].content is not None
    parts = reply.candidates[0].content.parts or []
    assert [bool(part.thought) for part in parts] == [True, False]
    assert reply.text == "to one"
    reply = generate(model=MODEL, contents="one", config={"max_output_tokens": 10})
    assert reply.text is None
    of_gemini.ending = lambda question: "blocked PROHIBITED_CONTENT"
    reply = generate(model=MODEL, contents="one")
    assert reply.candidates is None
    assert reply.prompt_feedback is not None
    assert reply.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    of_gemini.ending = lambda question: "SAFETY"
    reply = generate(model=MODEL, contents="one")
    assert (reply.candidates or [])[0].finish_reason == types.FinishReason.SAFETY


@pytest.mark.parametrize(
    ("model", "config", "message"),
    [
        (MODEL, {"temperature": 2.5}, "temperature"),
        (MODEL, {"seed": 2**31}, "TYPE_INT32"),
        (MODEL, {"stop_sequences": list("abcdef")}, "stop sequences"),
        (MODEL, {"thinking_config": {"thinking_level": "LOW"}}, "Thinking level is not supported"),
        (MODEL, {"thinking_config": {"thinking_level": "LOW", "thinking_budget": 0}}, "only one"),
        ("gemini-2.5-pro", {"thinking_config": {"thinking_budget": 0}}, "Budget 0 is invalid"),
        ("gemini-3.8-flash", {"thinking_config": {"thinking_level": "MINIMAL"}}, "MINIMAL is not"),
        ("gemini-2.0-flash", {"thinking_config": {"thinking_budget": 0}}, "not enabled"),
        (MODEL, {"max_output_tokens": 0}, "positive"),
        (MODEL, {"frequency_penalty": 0.5}, "Unknown name"),
    ],
)
def test_gemini_refuses_parameters(
    of_gemini: GeminiServer, model: str, config: Any, message: str
) -> None:
    client = gemini(of_gemini)
    with pytest.raises(errors.ClientError, match=message) as caught:
        client.models.generate_content(model=model, contents="one", config=config)
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


def test_errors_of_gemini(of_gemini: GeminiServer) -> None:
    client, stranger = gemini(of_gemini), gemini(of_gemini, "wrong")
    with pytest.raises(errors.ClientError, match="API key not valid") as caught:
        stranger.models.list()
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert "API_KEY_INVALID" in str(caught.value.details)
    with pytest.raises(errors.ClientError, match="models/gemini-9 is not found"):
        client.models.generate_content(model="gemini-9", contents="one")
    with pytest.raises(errors.ClientError, match="not found"):
        client.models.get(model="gemini-9")
    assert client.models.get(model=MODEL).name == f"models/{MODEL}"
    assert len(list(client.models.list(config={"page_size": 2}))) == len(of_gemini.models)
    for fault, status in {"429": "RESOURCE_EXHAUSTED", "503": "UNAVAILABLE"}.items():
        of_gemini.faults = always("one", fault)
        with pytest.raises(errors.APIError) as refused:
            client.models.generate_content(model=MODEL, contents="one")
        assert refused.value.status == status
        assert ("retryDelay" in str(refused.value.details)) == (fault == "429")


def test_a_file_batch_of_gemini_from_upload_to_results(
    of_gemini: GeminiServer, tmp_path: Path
) -> None:
    client = gemini(of_gemini)
    of_gemini.faults = always("broken", "500")
    content = lines("one", "two", "broken") + lines("bad", temperature=9.0).replace("key-0", "bad")
    name = created(client, uploaded(client, tmp_path, content))
    assert client.batches.get(name=name).state == "JOB_STATE_RUNNING"
    assert of_gemini.batches[name.removeprefix("batches/")].model == MODEL
    job = client.batches.get(name=name)
    assert (job.state, job.done) == ("JOB_STATE_SUCCEEDED", True)
    results = downloaded(client, job)
    reply = types.GenerateContentResponse.model_validate(results["key-0"]["response"])
    assert reply.text == "to one"
    assert results["key-2"]["error"]["code"] == 13
    assert results["bad"]["error"]["code"] == 3
    assert [body["contents"][0]["parts"][0]["text"] for _, body in of_gemini.bills] == [
        "one",
        "two",
    ]
    shown = of_gemini.calls[-1]
    assert shown.startswith("GET /v1/files/batch-")
    assert shown.endswith(":download")
    assert client.batches.delete(name=name) is not None
    with pytest.raises(errors.ClientError, match="not found"):
        client.batches.get(name=name)


def test_an_inline_batch_of_gemini(of_gemini: GeminiServer) -> None:
    client = gemini(of_gemini)
    source: Any = [{"contents": "one", "metadata": {"key": "a"}}, {"contents": "two"}]
    job = polled(client, created(client, source))
    assert job.dest is not None
    first, second = job.dest.inlined_responses or []
    assert first.response is not None
    assert second.response is not None
    assert (first.metadata, first.response.text) == ({"key": "a"}, "to one")
    assert (second.metadata, second.response.text) == (None, "to two")
    of_gemini.most_inline_bytes = 100
    with pytest.raises(errors.ClientError, match="payload size exceeds the limit: 100"):
        created(client, source)


def test_batches_of_gemini_fail_expire_and_are_cancelled(
    of_gemini: GeminiServer, tmp_path: Path
) -> None:
    client = gemini(of_gemini)
    broken = created(client, uploaded(client, tmp_path, lines("one") + "{no json\n"))
    assert polled(client, broken).state == "JOB_STATE_FAILED"
    of_gemini.rows_per_poll = 1
    good = uploaded(client, tmp_path, lines("one", "two", "three"))
    cancelled = created(client, good)
    assert polled(client, cancelled).state == "JOB_STATE_RUNNING"
    client.batches.cancel(name=cancelled)
    job = client.batches.get(name=cancelled)
    assert job.state == "JOB_STATE_CANCELLED"
    results = downloaded(client, job)
    assert ["error" in results[f"key-{number}"] for number in range(3)] == [False, True, True]
    assert len(of_gemini.bills) == 1
    late = created(client, good)
    of_gemini.ahead += 49 * 3600
    job = client.batches.get(name=late)
    assert (job.state, job.dest) == ("JOB_STATE_EXPIRED", None)
    assert len(of_gemini.bills) == 1
    with pytest.raises(errors.ClientError, match="may not exist"):  # files expire too
        created(client, good)


def test_batches_and_files_of_gemini_are_listed_in_pages(
    of_gemini: GeminiServer, tmp_path: Path
) -> None:
    client = gemini(of_gemini)
    files = [uploaded(client, tmp_path, lines("one")) for _ in range(5)]
    names = [created(client, files[0], f"job {number}") for number in range(5)]
    listed = list(client.batches.list(config={"page_size": 2}))
    assert [job.name for job in listed] == names[::-1]
    assert listed[0].display_name == "job 4"
    found = list(client.files.list(config={"page_size": 2}))
    assert [file.name for file in found] == files[::-1]
    assert (found[0].display_name, found[0].state) == ("input", types.FileState.ACTIVE)
    client.files.delete(name=files[0])
    with pytest.raises(errors.ClientError, match="may not exist"):
        client.files.get(name=files[0])


def test_large_uploads_of_gemini_come_in_parts(of_gemini: GeminiServer, tmp_path: Path) -> None:
    client = gemini(of_gemini)
    content = lines("x" * 9_000_000)
    uploaded(client, tmp_path, content)
    assert of_gemini.called("POST /upload/v1/files") == 1
    assert of_gemini.called("POST /upload/v1beta/files") == 2
    assert [file.content for file in of_gemini.files.values()] == [content.encode()]
    of_gemini.most_file_bytes = 100
    with pytest.raises((errors.ClientError, KeyError), match=r"limit|Upload URL"):
        uploaded(client, tmp_path, content)


def test_faults_of_gemini_before_and_after_the_effect(
    of_gemini: GeminiServer, tmp_path: Path
) -> None:
    client = gemini(of_gemini)
    of_gemini.processing = 1
    file = uploaded(client, tmp_path, lines("one", "two", "three"))
    with pytest.raises(errors.ClientError, match="not in an ACTIVE state"):
        created(client, file)
    assert client.files.get(name=file).state == types.FileState.ACTIVE
    for fault, batches in {
        "500": 0,
        "after 500": 1,
        "after reset": 2,
        "half": 2,
        "after half": 3,
    }.items():
        of_gemini.faults = always(CREATE, fault)
        with pytest.raises(Exception, match=r".") as caught:
            created(client, file)
        assert "Error" in type(caught.value).__name__
        assert len(of_gemini.batches) == batches, fault
    of_gemini.faults = lambda what, tries: ""
    of_gemini.output_faults = ("missing", "twice", "unknown")
    results = downloaded(client, polled(client, created(client, file)))
    assert len(results) == 3
    assert "nobody" in results
