"""The settings of docs/servers.md work with the services that they are for."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from backends import documented_services
from conftest import REPOSITORY
from local_backends import DECODING, Backend, openai_settings, ready
from pydantic import ValidationError
from servers.base import Json, running
from servers.openai_compatible import CompatibleHandler, CompatibleServer
from servers.services import SERVICES, ServiceServer

from workflow_scripts.backends.capabilities import sent, takes_temperature
from workflow_scripts.backends.client import RequestError
from workflow_scripts.backends.schema import dialect_of
from workflow_scripts.backends.settings import BackendSettings, header_variable
from workflow_scripts.backends.shape import Shape
from workflow_scripts.config.checks import impossible_decoding
from workflow_scripts.config.models import backends
from workflow_scripts.config.schema import Config
from workflow_scripts.core.errors import UserError

KEY = "sk-test-3f9c2a7b1d"


BLOCKS = documented_services()


def test_each_block_has_a_service() -> None:
    assert BLOCKS.keys() == SERVICES.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_answers_with_the_settings_of_its_block(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    block, service = BLOCKS[name], SERVICES[name]
    assert urlsplit(block["base_url"]).path == service.path
    for value in block.get("headers", {}).values():
        monkeypatch.setenv(header_variable(value), KEY)
    with ready(), running(ServiceServer(service, block["model_id"], KEY)) as server:
        backend = Backend(server, {**block, "base_url": server.url + service.path})
        said = backend.check()
        assert ("not checked" in said) == (service.models == "missing")
        decoding = DECODING.model_copy(update={"temperature": 0.7, "stop": ["."]})
        answer = backend.ask("Oslo", decoding)
        assert (answer.response_text, answer.finish_reason) == ("to Oslo", "stop")
        if service.models != "missing":
            with pytest.raises(UserError, match=f"it serves: {re.escape(block['model_id'])}"):
                backend.check(model_id=block["model_id"] + "x")
        sent = server.bodies[-1]
        assert sent["temperature"] == 0.7
        assert sent.items() >= block.get("extra_body", {}).items()
        for variable in map(header_variable, block.get("headers", {}).values()):
            monkeypatch.setenv(variable, "sk-wrong-8e1d")
            with pytest.raises((UserError, RequestError), match="401") as refused:
                backend.ask("Oslo", decoding)
            assert "8e1d" not in str(refused.value)
            monkeypatch.delenv(variable)
            with pytest.raises(UserError, match=f"{variable} is not set"):
                backend.check()


def test_what_is_not_sent_is_said() -> None:
    shape = Shape(
        omit=["temperature", "seed"],
        rename={"max_tokens": "max_completion_tokens"},
        extra_body={"thinking": {"type": "disabled"}},
    )
    said = sent("openai_compatible", "m", DECODING, shape)
    assert said.parameters == {"thinking": {"type": "disabled"}, "max_completion_tokens": 8}
    assert said.not_sent == {"temperature": "the config omits it (omit)"}
    assert not takes_temperature("openai_compatible", "m", None, shape)
    identity = {"engine": "openai_compatible", **Shape(omit=["response_format"]).identity()}
    assert dialect_of(identity) is None  # a JSON schema is refused before any request


@pytest.mark.parametrize(
    ("status", "code", "retryable", "overloaded"),
    [
        (400, "json_validate_failed", True, False),  # Groq
        (424, None, True, False),  # Bedrock
        (498, "capacity_exceeded", True, True),  # Groq
        (403, None, False, False),  # Together: the prompt is too long
        (402, None, False, False),
    ],
)
def test_errors_of_single_services(
    status: int, code: str | None, retryable: bool, overloaded: bool
) -> None:
    with ready(), running(Refusing(status, code)) as server:
        with pytest.raises(RequestError) as told:
            refusing(server).ask()
        assert (told.value.retryable, told.value.overloaded) == (retryable, overloaded)


def test_what_azures_filter_blocks_is_a_refusal() -> None:
    with ready(), running(Refusing(400, "content_filter")) as server:
        answer = refusing(server).ask()
        assert (answer.response_text, answer.finish_reason) == ("", "refused:content_filter")


class RefusingHandler(CompatibleHandler):
    server: Refusing

    def refusal(self, body: Json) -> tuple[int, Json] | None:
        status, code = self.server.status, self.server.code
        return status, self.error_body(status, "refused", code)


class Refusing(CompatibleServer):
    """A server that refuses each chat."""

    def __init__(self, status: int, code: str | None) -> None:
        super().__init__()
        self.RequestHandlerClass = RefusingHandler
        self.status, self.code = status, code


def refusing(server: Refusing) -> Backend:
    return Backend(server, openai_settings(server))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"base_url": "http://x/v1/chat/completions"}, "leave out /chat/completions at the end"),
        ({"local_endpoint": "http://x/v1/models"}, "leave out /models at the end"),
        ({"headers": {"api-key": "sk-abc"}}, "must come from the environment"),
        ({"headers": {"a b": "${KEY}"}}, "no header that a config can set"),
        ({"query": {"api_key": "x"}}, "a key does not belong into the address"),
        ({"extra_body": {"temperature": 1}}, "Assay writes temperature itself.*temps"),
        ({"base_url": "http://x", "local_endpoint": "http://y"}, "not both"),
        ({"backend": "openai", "omit": ["seed"]}, "'openai' does not take omit"),
        ({"backend": "openai", "local_endpoint": "http://localhost:11434"}, "Ollama's port"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as told:
        BackendSettings(**{"backend": "openai_compatible", "model_id": "m", **settings})
    assert "sk-abc" not in told.value.errors()[0]["msg"]


def test_what_is_about_one_server_is_not_passed_on() -> None:
    config = Config.model_validate(
        {
            **yaml.safe_load((REPOSITORY / "config/fireworks.yaml").read_text(encoding="utf-8")),
            "backend": "openai_compatible",
            "base_url": "http://x/v1",
            "headers": {"api-key": "${KEY_OF_X}"},
            "extra_body": {"a": 1},
            "backends": {
                "same": {"model_id": "m"},
                "other": {"base_url": "http://y/v1"},
                "hosted": {"backend": "anthropic", "model_id": "m"},
            },
        }
    )
    found = backends(config)
    assert found["same"].headers == {"api-key": "${KEY_OF_X}"}
    assert found["other"].headers == found["hosted"].headers == {}
    assert found["other"].extra_body == {}


def test_a_misspelt_model_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    values = yaml.safe_load((REPOSITORY / "config/fireworks.yaml").read_text(encoding="utf-8"))
    config = Config.model_validate({**values, "backend": "openai", "model_id": "gpt-5.4-mimi"})
    ((place, problem), *_) = impossible_decoding(config)
    assert place == ("model_id",)
    assert problem.startswith(
        "Assay knows no model 'gpt-5.4-mimi' at openai; did you mean gpt-5.4-mini"
    )


def test_what_is_sent_otherwise_is_part_of_the_identity() -> None:
    def shape(**changes: Any) -> dict[str, str]:
        settings = BackendSettings(
            backend="openai_compatible", base_url="http://x/v1", model_id="m", **changes
        )
        return settings.shape.identity()

    assert shape() == shape(headers={"api-key": "${A}"}, query={"v": "1"}) == {}
    assert shape(omit=["top_p", "seed"]) == shape(omit=["seed", "top_p"]) == {"omit": "seed,top_p"}
    assert shape(extra_body={"a": False}) == {"extra_body": '{"a": false}'}
    assert shape(rename={"seed": "random_seed"}) == {"rename": "seed:random_seed"}
