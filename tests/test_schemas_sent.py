"""JSON schemas arrive at every backend in its dialect, come back enforced, or are refused."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import answering
import anthropic
import fireworks
import jsonschema_rs
import ollama
import openai
import pytest
from answering import chat
from batch_parts import BatchPart
from google import genai
from local_backends import ready
from servers.anthropic import AnthropicServer
from servers.base import ProviderServer, running
from servers.fireworks import ACCOUNT, FireworksServer
from servers.fireworks import MODEL as GPT_OSS
from servers.gemini import GeminiServer
from servers.ollama import OllamaServer
from servers.openai import OpenAIServer
from servers.openai_compatible import CompatibleServer

from workflow_scripts.answers.settings import InferSettings
from workflow_scripts.backends.check import CheckSettings, findings
from workflow_scripts.backends.client import BatchClient, make_client
from workflow_scripts.backends.schema import NotEnforced, not_enforced
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_jsonl
from workflow_scripts.core.records import Answer, Decoding, Request
from workflow_scripts.report.overview import SchemaCounts, SchemaTally
from workflow_scripts.schemas.reading import read_back
from workflow_scripts.schemas.validation import read_schema

Json = dict[str, Any]

EXACT: Json = {
    "type": "object",
    "title": "A town",
    "properties": {
        "name": {"type": "string"},
        "kind": {"enum": ["town", "city"]},
        "founded": {"type": "integer"},
        "twins": {"type": "array", "items": {"$ref": "#/$defs/twin"}},
        "area": {"type": ["number", "null"]},
    },
    "required": ["kind", "name"],
    "additionalProperties": False,
    "$defs": {
        "twin": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
        },
    },
}
"""Every backend enforces it. ``founded`` may be left out and not be null, ``area`` may be both."""

LOOSE: Json = {**EXACT, "properties": {**EXACT["properties"], "no": {"not": {"type": "null"}}}}
LOOSE["properties"]["name"] = {"type": "string", "not": {"const": "x"}}
del LOOSE["properties"]["no"]

ELSEWHERE: Json = {"type": "object", "properties": {"a": {"$ref": "https://example.org/s.json"}}}
MAP: Json = {"type": "object", "additionalProperties": {"type": "string"}}


def call(method: Any, body: Json) -> Any:
    """Call an SDK's method; what it does not name itself goes into the body as it is."""
    named = inspect.signature(method).parameters
    extra = {name: value for name, value in body.items() if name not in named}
    return method(**{k: v for k, v in body.items() if k in named}, extra_body=extra)


def of_openai(server: Any, body: Json, path: str) -> str | None:
    sdk = openai.OpenAI(api_key="key-of-the-test", base_url=f"{server.url}{path}", max_retries=0)
    content: str | None = call(sdk.chat.completions.create, body).choices[0].message.content
    return content


def of_fireworks(server: Any, body: Json) -> str | None:
    url = f"{server.url}/inference"
    sdk = fireworks.Fireworks(api_key=server.key, account_id="me", base_url=url, max_retries=0)
    content: str | None = call(sdk.chat.completions.create, body).choices[0].message.content
    return content


def of_anthropic(server: Any, body: Json) -> str | None:
    sdk = anthropic.Anthropic(api_key=server.key, base_url=server.url, max_retries=0)
    # This SDK names a version of the API that takes no sampling parameters.
    body = {name: value for name, value in body.items() if name != "temperature"}
    text: str = call(sdk.messages.create, body).content[0].text
    return text


def of_gemini(server: Any, body: Json) -> str | None:
    options = genai.types.HttpOptions(base_url=server.url)
    client = genai.Client(api_key=server.key, http_options=options)
    config = genai.types.GenerateContentConfig.model_validate(body["generationConfig"])
    reply = client.models.generate_content(
        model="gemini-2.5-flash", contents=body["contents"], config=config
    )
    return reply.text


def of_ollama(server: Any, body: Json) -> str | None:
    known = inspect.signature(ollama.Client.chat).parameters
    body = {name: value for name, value in body.items() if name in known}
    return ollama.Client(host=server.url).chat(**body).message.content


@dataclass(frozen=True)
class Place:
    """A backend: its server and client, where a body has the schema, and the provider's SDK."""

    make_server: Callable[[], Any]
    settings: Json
    schema: Callable[[Json], Json]
    sdk: Callable[[Any, Json], str | None]
    environment: dict[str, str] = field(default_factory=dict)


def chat_schema(body: Json) -> Json:
    found = body["response_format"]
    assert found["json_schema"]["strict"] is True
    return dict(found["json_schema"]["schema"])


KEY = "key-of-the-test"


def own(server: str) -> Callable[[], CompatibleServer]:
    def make() -> CompatibleServer:
        made = CompatibleServer()
        made.be_vllm() if server == "vllm" else made.be_llama_server()
        return made

    return make


COMPATIBLE = {"backend": "openai_compatible", "model_id": "tiny-3m"}
PLACES = {
    "openai": Place(
        OpenAIServer,
        {"backend": "openai", "model_id": "gpt-4o-mini"},
        chat_schema,
        lambda server, body: of_openai(server, body, "/v1"),
        {"OPENAI_API_KEY": KEY},
    ),
    "fireworks": Place(
        FireworksServer,
        {"backend": "fireworks", "model_id": GPT_OSS},
        chat_schema,
        of_fireworks,
        {"FIREWORKS_API_KEY": KEY, "FIREWORKS_ACCOUNT_ID": ACCOUNT},
    ),
    "anthropic": Place(
        AnthropicServer,
        {"backend": "anthropic", "model_id": "claude-haiku-4-5"},
        lambda body: dict(body["output_config"]["format"]["schema"]),
        of_anthropic,
        {"ANTHROPIC_API_KEY": KEY},
    ),
    "gemini": Place(
        GeminiServer,
        {"backend": "gemini", "model_id": "gemini-2.5-flash"},
        lambda body: dict(body["generationConfig"]["responseJsonSchema"]),
        of_gemini,
        {"GEMINI_API_KEY": KEY},
    ),
    "vllm": Place(
        own("vllm"), COMPATIBLE, chat_schema, lambda server, body: of_openai(server, body, "/v1")
    ),
    "llama-server": Place(
        own("llamacpp"),
        COMPATIBLE,
        chat_schema,
        lambda server, body: of_openai(server, body, "/v1"),
    ),
    "ollama": Place(
        OllamaServer,
        {"backend": "local", "local_engine": "ollama", "local_model": "tiny:3m", "n_ctx": 999},
        lambda body: dict(body["format"]),
        of_ollama,
    ),
}


@contextmanager
def at_work(name: str) -> Iterator[tuple[Place, ProviderServer, BackendSettings]]:
    place = PLACES[name]
    with ready(), running(place.make_server()) as server, pytest.MonkeyPatch.context() as patch:
        for variable, value in place.environment.items():
            patch.setenv(variable, value)
        known = {**place.settings, "local_endpoint": server.url}
        yield place, server, BackendSettings.model_validate(known)


def asked(schema: Json, number: int = 1) -> Request:
    decoding = Decoding(temperature=0.0, max_new_tokens=500, seed=0, json_schema=schema)
    return answering.request(number, decoding=decoding)


@pytest.mark.parametrize("name", PLACES)
def test_a_schema_arrives_and_its_answer_obeys(name: str, tmp_path: Path) -> None:
    with at_work(name) as (place, server, known):
        client = make_client(known)
        requests = [asked(EXACT), asked(LOOSE, 2), answering.request(3)]
        lines = answering.run(tmp_path, client, requests)
        assert [line.schema_enforced for line in lines] == ["exactly", "loosened", None]
        *bodies, free = server.bodies[-3:]
        with pytest.raises(KeyError):
            place.schema(free)
        sent = place.schema(bodies[0])
        assert list(sent["properties"]) == list(EXACT["properties"])
        assert place.schema(bodies[1]) == sent
        answer = json.loads(lines[0].response_text or "")
        assert jsonschema_rs.validator_for(sent).is_valid(answer)
        read = read_back(EXACT, answer)
        assert read_schema(EXACT).flaw(read) is None
        assert jsonschema_rs.validator_for(EXACT).is_valid(read)
        remarks = not_enforced(client.identity(), [asked(LOOSE)])
        assert remarks == {NotEnforced("d", "not", "/properties/name/not"): 1}
        text = place.sdk(server, dict(bodies[0]))  # the same body, by the provider's own SDK
        assert json.loads(text or "") == answer
        if name in ("openai", "fireworks", "anthropic", "gemini"):
            batch: BatchClient = client  # type: ignore[assignment]
            line = batch.batch_line("0" * 64, asked(EXACT))
            body = next(line[key] for key in ("body", "params", "request") if key in line)
            assert place.schema(body) == sent


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("name", ["openai", "fireworks", "anthropic", "gemini"])
def test_a_batch_job_enforces_schemas_and_its_answers_are_read_back(
    name: str, tmp_path: Path
) -> None:
    """Submitted, polled, collected; the servers refuse schemas that are not in their dialect."""
    with at_work(name) as (_, server, known):
        backend = known.model_copy(update={"poll_interval_s": 0.001})
        settings = InferSettings(backend=backend, max_retries=2)
        requests = [asked(EXACT), asked(LOOSE, 2), answering.request(3)]
        part = BatchPart(server, settings, tmp_path / "j", tmp_path / "part.jsonl", requests)
        asyncio.run(part.run())
        lines = part.lines()
        assert [line.schema_enforced for line in lines] == ["exactly", "loosened", None]
        assert lines[2].response_text == part.answers[2]
        for line, schema in zip(lines, (EXACT, LOOSE), strict=False):
            answer = json.loads(line.response_text or "")
            read = read_back(schema, answer)
            assert jsonschema_rs.validator_for(EXACT).is_valid(read)
            if name == "openai":  # whose dialect has no optional properties
                assert answer["founded"] is None
                assert "founded" not in read
        assert list(server.billed().values()) == [1, 1, 1]


def test_the_check_names_what_is_not_enforced(tmp_path: Path) -> None:
    with at_work("ollama") as (_, _, known):
        loose, elsewhere = (tmp_path / name for name in ("loose.jsonl", "elsewhere.jsonl"))
        write_jsonl(loose, [asked(EXACT), asked(LOOSE, 2)])
        write_jsonl(elsewhere, [asked(ELSEWHERE)])
        parts = {"a": [str(loose)], "b": [str(loose), str(elsewhere)]}
        check = CheckSettings(backends={"a": known, "b": known}, schema_parts=parts)
        found = asyncio.run(findings(check))
    assert "; data set d: not at /properties/name is not enforced" in str(found["a"])
    assert isinstance(found["b"], UserError)
    assert "data set d, item 1: its JSON schema cannot be enforced" in str(found["b"])


@pytest.mark.parametrize("name", PLACES)
def test_what_cannot_be_enforced_is_told_before_any_request(name: str, tmp_path: Path) -> None:
    with at_work(name) as (_, server, known):
        client = make_client(known)
        requests = [answering.request(1), asked(ELSEWHERE, 2)]
        with pytest.raises(UserError, match=r"data set d, item 2: .*'\$ref' at /properties/a"):
            answering.run(tmp_path, client, requests)
        assert not [body for body in server.bodies if len(body["messages"]) > 1]


def test_answers_are_counted_by_how_their_schema_was_enforced() -> None:
    held = [("a", "exactly"), ("a", "loosened"), ("a", None), ("b", None), ("b", None)]
    tally = SchemaTally()
    for number, (arm, enforced) in enumerate(held):
        answer = Answer(
            custom_id=f"d|{number}|{arm}|0.0|0|structured", dataset="d", item_id=str(number),
            condition=arm, temp="0.0", sample_index=0, type="structured", prompt=arm,
            finish_reason=None if number == 4 else "stop", schema_enforced=enforced,
        )  # fmt: skip
        tally.add(answer)
    assert tally.counts() == [
        SchemaCounts("structured", "a", exactly=1, loosened=1, not_enforced=1),
        SchemaCounts("structured", "b", exactly=0, loosened=0, not_enforced=1),
    ]


def test_a_strict_server_refuses_what_breaks_its_rules() -> None:
    with at_work("openai") as (place, server, _):
        body = {**chat_body(), "model": "gpt-4o-mini"}
        for schema in (EXACT, MAP, {"anyOf": [EXACT]}):
            named = {"name": "answer", "schema": schema, "strict": True}
            form = {"type": "json_schema", "json_schema": named}
            with pytest.raises(openai.BadRequestError, match="Invalid schema"):
                place.sdk(server, {**body, "response_format": form})


def chat_body() -> Json:
    return {"messages": [message.model_dump() for message in chat("?")]}


def test_an_unknown_server_shows_first_that_it_enforces(tmp_path: Path) -> None:
    with ready(), running(CompatibleServer()) as server:
        settings = {**COMPATIBLE, "local_endpoint": server.url}
        client = make_client(BackendSettings.model_validate(settings))
        (line,) = answering.run(tmp_path, client, [asked(EXACT)])
        assert line.schema_enforced == "exactly"
        assert len(server.bodies) == 2
    with ready(), running(CompatibleServer()) as server:
        server.enforces = False
        settings = {**COMPATIBLE, "local_endpoint": server.url}
        client = make_client(BackendSettings.model_validate(settings))
        with pytest.raises(UserError, match="does not hold answers to a JSON schema"):
            answering.run(tmp_path / "other", client, [asked(EXACT), asked(LOOSE)])


def test_claude_is_told_both_its_effort_and_the_schema(tmp_path: Path) -> None:
    with at_work("anthropic") as (_, server, known):
        request = asked(EXACT)
        decoding = request.decoding.model_copy(update={"reasoning": "low"})
        client = make_client(known.model_copy(update={"model_id": "claude-opus-5"}))
        server.models = {**server.models, "claude-opus-5": server.models[known.model]}
        answering.run(tmp_path, client, [request.model_copy(update={"decoding": decoding})])
        assert server.bodies[-1]["output_config"].keys() == {"effort", "format"}
