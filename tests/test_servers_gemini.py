"""The test server of Gemini is faithful: the official client works with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from servers.base import running
from servers.faults import always
from servers.gemini import GeminiServer

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
    of_gemini.finish = "blocked PROHIBITED_CONTENT"
    reply = generate(model=MODEL, contents="one")
    assert reply.candidates is None
    assert reply.prompt_feedback is not None
    assert reply.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    of_gemini.finish = "SAFETY"
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
    assert "nobody-asked" in results
